"""The dots of speedups by their structure."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import speedup
from hpobench_fds.analysis.figures.captions import speedup_text
from hpobench_fds.analysis.stats.frames import NoAnswer
from matplotlib.axes import Axes
from matplotlib.lines import Line2D


@pytest.mark.parametrize(
    ("value", "bound", "text"),
    [(12.3, "", "12x"), (1.44, "", "1.4x"), (0.25, "", "0.25x"), (15.0, ">", "> 15x"),
     (np.nan, "?", "no verdict"), (9.96, "", "10x"), (123.4, "", "123x")],
)  # fmt: skip
def test_speedup_text(value: float, bound: str, text: str) -> None:
    assert speedup_text(value, bound) == text


def dots(ax: Axes) -> dict[str, Line2D]:
    """The dots of a panel by method."""
    found = {str(line.get_gid()): line for line in ax.lines}
    return {gid.partition(":")[2]: line for gid, line in found.items() if gid.startswith("speedup:")}


def test_dots_have_a_log_axis_a_line_at_one_and_words_for_the_direction(study: Results) -> None:
    drawn = speedup.draw(*study.both)
    axes = drawn.figure.axes
    assert [ax.get_title(loc="left").split()[0] for ax in axes] == ["digits", "fashion"]
    for ax in axes:
        assert ax.get_xscale() == "log"
        assert any(list(line.get_xdata()) == [1, 1] for line in ax.lines)
        assert len(ax.get_yticklabels()) == 5
    assert axes[-1].get_xlabel() == "time to the test accuracy above, over that of FDS (times)"
    assert not drawn.figure.legends


def test_dots_stand_at_the_numbers_and_are_hollow_arrows_where_censored(study: Results) -> None:
    drawn = speedup.draw(*study.both)
    for ax, problem in zip(drawn.figure.axes, ["digits", "fashion"], strict=True):
        table = drawn.data[drawn.data["problem"] == problem].set_index("method")
        for method, dot in dots(ax).items():
            assert list(dot.get_xdata()) == pytest.approx([table.loc[method, "speedup"]])
            assert (dot.get_markerfacecolor() == "white") == (table.loc[method, "bound"] != "")
            assert (dot.get_marker() == ">") == (table.loc[method, "bound"] == ">")
    texts = [t.get_text() for t in drawn.figure.axes[0].texts if t.get_text()]
    assert any(text.startswith("> ") for text in texts)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_no_text_of_the_rows_overlaps_another_or_leaves_the_page(study: Results, style: str) -> None:
    assert_legible(speedup.draw(*study.both, style=style).figure)


def test_nothing_to_compare_with_is_a_reason(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)])
    with pytest.raises(NoAnswer, match="no other method"):
        speedup.draw(*results.both)
