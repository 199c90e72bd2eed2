"""The figure of scaling draws medians, and says where hypergradients overtake."""

from __future__ import annotations

import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import scaling
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.scaling import accuracies, overtaken
from planted_scaling import add, series


def test_where_hypergradients_overtake_the_best_black_box_method(results: Results) -> None:
    (row,) = overtaken(accuracies(series(results).runs)).to_dict("records")
    assert row == {"series": "windows", "method": "fds", "above": [9, 27], "of": [1, 3, 9, 27]}
    drawn = scaling.draw(*results.both)
    assert "FDS's incumbents are above every black-box method's at 9, 27 of 1, 3, 9, 27 hyperparameters." in (
        drawn.caption
    )
    assert "n = 3 seeds" in drawn.caption


def test_lines_go_through_the_medians_in_order(results: Results) -> None:
    for size in (27, 3, 9):
        add(results, "fds", size, size / 100)
    drawn = scaling.draw(*results.both)
    incumbent, again = drawn.figure.axes
    (line,) = [a for a in incumbent.lines if a.get_gid() == "scaling:fds"]
    assert list(line.get_ydata()) == pytest.approx([3, 9, 27])
    assert list(line.get_xdata()) == pytest.approx([3, 9, 27], rel=0.05)
    assert incumbent.get_ylabel() == "test accuracy (%)"
    assert {ax.get_xlabel() for ax in (incumbent, again)} == {"hyperparameters (number)"}
    assert "a single seed" in drawn.caption


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_its_words_can_be_read(results: Results, style: str) -> None:
    assert_legible(scaling.draw(*series(results).both, style=style).figure)


@pytest.mark.parametrize("names", [["a", "b", "c"], ["w-1", "w-3"], ["w-1", "w-3", "x-9"], ["1", "3", "9"]])
def test_other_suites_are_no_series(results: Results, names: list[str]) -> None:
    for size, name in zip((1, 3, 9), names, strict=False):
        add(results, "fds", size, 0.5, name=name)
    with pytest.raises(NoAnswer, match="no 3 problems that differ in their number of hyperparameters"):
        scaling.draw(*results.both)
