"""One legend entry a method, in its own look."""

from __future__ import annotations

from fabricate import Results
from hpobench_fds.analysis.figures import layout, style
from hpobench_fds.analysis.looks import KNOWN, Looks
from matplotlib.lines import Line2D

METHODS = list(KNOWN)


def looks() -> Looks:
    made = Results()
    for method in METHODS:
        made.add(method, 0, [(1, 0.5)])
    return Looks.of(made.runs)


def test_a_method_looks_the_same_whoever_else_is_there() -> None:
    page = style._PAGES["paper"]
    alone = layout.method_handles(["tpe"], Looks(), page)[0]
    beside = layout.method_handles([*METHODS, "tpe", "mine"], looks(), page)[-2]
    assert isinstance(alone, Line2D)
    assert isinstance(beside, Line2D)
    assert (alone.get_color(), alone.get_marker()) == (beside.get_color(), beside.get_marker())
