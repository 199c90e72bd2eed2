"""A few methods share a panel; of many, every kind has its own. One legend entry a method."""

from __future__ import annotations

from fabricate import Results
from hpobench_fds.analysis.figures import layout, style
from hpobench_fds.analysis.looks import KINDS, KNOWN, Looks
from matplotlib.lines import Line2D

METHODS = list(KNOWN)


def looks() -> Looks:
    made = Results()
    for method in METHODS:
        made.add(method, 0, [(1, 0.5)])
    return Looks.of(made.runs)


def test_a_few_methods_share_a_panel_and_many_have_one_a_kind() -> None:
    few = layout.plan(["a", "b"], METHODS[:8], looks())
    assert few.kinds is None
    assert [panel.title for panel in few.panels] == ["a", "b"]
    many = layout.plan(["a", "b"], METHODS, looks())
    assert (many.rows, many.columns) == (2, len(KINDS) - 1)  # others: none
    assert sorted(m for panel in many.panels[: many.columns] for m in panel.methods) == sorted(METHODS)
    assert max(len(panel.methods) for panel in many.panels) <= 6


def test_a_method_looks_the_same_whoever_else_is_there() -> None:
    page = style._PAGES["paper"]
    alone = layout.method_handles(["tpe"], Looks(), page)[0]
    beside = layout.method_handles([*METHODS, "tpe", "mine"], looks(), page)[-2]
    assert isinstance(alone, Line2D)
    assert isinstance(beside, Line2D)
    assert (alone.get_color(), alone.get_marker()) == (beside.get_color(), beside.get_marker())
