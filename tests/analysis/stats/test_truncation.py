"""Truncated and greedy hypergradients against exact ones of the same training."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import truncation
from planted_truncation import EXACT, add, series


def test_the_three_measures() -> None:
    same = truncation.compare(np.array([3.0, 4.0]), np.array([3.0, 4.0]))
    assert same == pytest.approx({"relative": 0, "cosine": 1, "signs": 1})
    half = truncation.compare(np.array([0.0, 4.0]), np.array([3.0, 4.0]))
    assert half == pytest.approx({"relative": 3 / 5, "cosine": 4 / 5, "signs": 1 / 2})
    against = truncation.compare(np.array([-6.0, -8.0]), np.array([3.0, 4.0]))
    assert against == pytest.approx({"relative": 3, "cosine": -1, "signs": 0})
    nothing = truncation.compare(np.zeros(2), np.array([3.0, 4.0]))
    assert (nothing["relative"], nothing["signs"]) == (1, 0)
    assert np.isnan(nothing["cosine"])


def test_each_hyperparameter_is_compared_with_its_seeds_exact_one(results: Results) -> None:
    add(results, "reverse", EXACT, 100)
    add(results, "t", [0.0, 4.0, 0.5, -2.0], 20, adapter="truncated_reverse")
    table = truncation.errors(results.reports).set_index(["method", "hyperparameter"])
    row = table.loc[("t", "lr")]
    assert (row["kind"], row["horizon"], row["last"], row["share"]) == ("truncated", 100, 20, 0.2)
    assert row["relative"] == pytest.approx(3 / 5)
    assert table.loc[("t", "momentum"), "relative"] == pytest.approx(0.5)
    assert table.loc[("t", "weight_decay"), "relative"] == 0
    assert table.loc[("reverse", "lr"), "last"] == 100
    assert table.loc[("reverse", "lr"), "relative"] == 0


def test_a_short_outer_step_has_the_horizon_that_it_ran(results: Results) -> None:
    series(results, seeds=1)
    reports = results.reports.assign(inner_steps=10, fidelity=0.1)
    assert set(truncation.errors(reports)["horizon"]) == {100}


def test_other_schedules_seeds_and_later_reports_are_not_compared(results: Results) -> None:
    add(results, "reverse", EXACT, 100)
    add(results, "t", EXACT, 20, lr=0.2, adapter="truncated_reverse")
    add(results, "t", EXACT, 20, seed=1, adapter="truncated_reverse")
    add(results, "t", EXACT, 20, adapter="truncated_reverse")
    results._reports[-1]["report"] = 1
    assert set(truncation.errors(results.reports)["method"]) == {"reverse"}


def test_an_exact_hypergradient_of_zero_has_no_relative_error(results: Results) -> None:
    add(results, "reverse", [0.0, 0.0, 1.0, -2.0], 100)
    assert set(truncation.errors(results.reports)["hyperparameter"]) == {"momentum", "weight_decay"}


def test_two_labels_of_the_same_length_are_counted_once(results: Results) -> None:
    series(results)
    for seed in range(3):
        add(results, "again", [9.0, 9.0, 9.0, 9.0], 10, seed=seed, adapter="truncated_reverse")
    table = truncation.summary(truncation.errors(results.reports))
    own = table[(table["last"] == 10) & (table["hyperparameter"] == "lr") & (table["metric"] == "relative")]
    assert own["seeds"].tolist() == [3]
