"""Two exact ways to one hypergradient, held against each other outer step by outer step."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis import agreement
from hpobench_fds.analysis.style import CannotDraw

TRUTH = [[3.0, 4.0, 1.0, -2.0], [1.0, -1.0, 0.0, 2.0]]  # two learning rates, momentum, weight decay


def add(results: Results, method: str, found: list[list[float]], seed: int = 0, shift: float = 0.0) -> None:
    results.add(
        method, seed, [(10.0 * (i + 1), 0.5) for i in range(len(found))],
        schedules=[[0.1 * i + shift * i, 0.05, 0.9, 1e-4] for i in range(len(found))], hypergradients=found,
    )  # fmt: skip


def test_the_two_measures() -> None:
    assert agreement.compare(np.array([3.0, 4.0]), np.array([3.0, 4.0])) == {"relative": 0, "signs": 1}
    apart = agreement.compare(np.array([3.0, -1.0]), np.array([3.0, 4.0]))
    assert apart == pytest.approx({"relative": 1.0, "signs": 0.5})
    assert agreement.compare(np.zeros(2), np.zeros(2)) == {"relative": 0, "signs": 1}
    assert agreement.compare(np.ones(1), np.zeros(1)) == {"relative": np.inf, "signs": 0}


def test_each_outer_step_and_hyperparameter_by_itself(results: Results) -> None:
    add(results, "reverse", TRUTH)
    add(results, "fds", [[3.0, 4.0, 1.1, -2.0], [1.0, 1.0, 0.0, 2.0]])
    table = agreement.differences(results.reports).set_index(["report", "hyperparameter"])
    assert table.loc[(0, "lr"), "relative"] == 0
    assert table.loc[(0, "momentum"), "relative"] == pytest.approx(0.1)
    assert table.loc[(1, "lr"), "signs"] == 0.5
    assert table.loc[(1, "momentum"), "signs"] == 1
    assert set(table["one"]) == {"fds"}
    assert set(table["other"]) == {"reverse"}
    assert set(table["steps"]) == {100}


def test_once_their_schedules_part_they_are_not_compared(results: Results) -> None:
    add(results, "reverse", TRUTH)
    add(results, "fds", TRUTH, shift=0.01)
    assert set(agreement.differences(results.reports)["report"]) == {0}


def test_outer_steps_of_other_lengths_are_not_compared(results: Results) -> None:
    add(results, "reverse", TRUTH)
    add(results, "fds", TRUTH)
    reports = results.reports
    reports.loc[(reports["method"] == "fds") & (reports["report"] == 0), "inner_steps"] = 10
    assert agreement.differences(reports).empty


def test_greedy_ones_and_other_seeds_are_left_out(results: Results) -> None:
    add(results, "reverse", TRUTH)
    add(results, "hd", TRUTH)
    add(results, "fds", TRUTH, seed=1)
    with pytest.raises(CannotDraw, match="no two of reverse, reverse_sharing, fds"):
        agreement.draw(*results.both)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_the_figure_draws_medians_and_the_caption_counts_signs(results: Results, style: str) -> None:
    for seed in range(3):
        off = 1e-5 * (seed + 1)
        add(results, "reverse", TRUTH, seed)
        add(results, "fds", [[3.0, 4.0, 1 + off, -2.0], [1.0, -1.0, 0.0, 2.0]], seed)
    drawn = agreement.draw(*results.both, style=style)
    relative, signs = drawn.figure.axes
    (line,) = [a for a in relative.lines if a.get_gid() == "agreement:momentum"]
    assert list(line.get_ydata()) == pytest.approx([2e-5, agreement.FLOOR])
    assert all(list(a.get_ydata()) == [100, 100] for a in signs.lines)
    assert "24 of 24 signs are equal" in drawn.caption
    assert "n = 3 seeds, 100 inner steps an outer step" in drawn.caption
    assert_legible(drawn.figure)
