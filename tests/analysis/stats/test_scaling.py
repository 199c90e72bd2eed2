"""Accuracy against the number of hyperparameters, on problems that differ in nothing else."""

from __future__ import annotations

import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import scaling
from planted_scaling import add, series


def test_medians_by_number_and_what_was_trained_again_apart(results: Results) -> None:
    table = scaling.accuracies(series(results).runs).set_index(["method", "hyperparameters", "measure"])
    assert table.loc[("tpe", 9, "incumbent_test_metric"), "median"] == pytest.approx(0.701)
    assert table.loc[("tpe", 9, "incumbent_test_metric"), "low"] == pytest.approx(0.7)
    assert table.loc[("tpe", 9, "final_test_metric"), "median"] == pytest.approx(0.6)
    assert set(table["series"]) == {"windows"}
    assert set(table["seeds"]) == {3}


def test_a_run_that_failed_has_no_accuracy(results: Results) -> None:
    series(results)
    for seed in (3, 4, 5):
        results.add("tpe", seed, [], problem="windows-9", status="failed")
        results._runs[-1]["schedule_names"] = [f"lr[{i}]" for i in range(9)]
    table = scaling.accuracies(results.runs).set_index(["method", "hyperparameters", "measure"])
    assert table.loc[("tpe", 9, "incumbent_test_metric"), "median"] == pytest.approx(0.701)


def test_two_problems_of_one_size_are_no_series(results: Results) -> None:
    for name, size in {"w-1": 1, "w-2": 3, "w-3": 9, "w-4": 9}.items():
        add(results, "fds", size, 0.5, name=name)
    assert scaling.accuracies(results.runs).empty
