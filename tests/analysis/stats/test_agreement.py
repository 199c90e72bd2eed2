"""Two exact ways to one hypergradient, held against each other outer step by outer step."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import agreement
from planted_agreement import TRUTH, add


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
