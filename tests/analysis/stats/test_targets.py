"""Targets belong to the problem: planted starts and tops, targets that a suite names, who may set them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.targets import SHARES, headline, targets_of

START = [0.1, 0.05, 0.9, 1e-4]  # the schedule that fabricated reports have unless they say another


def facts(results: Results, **columns: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = results.runs
    for name, value in columns.items():
        runs[name] = pd.Series([value] * len(runs), index=runs.index, dtype=object)
    return results.reports, runs


def test_shares_of_the_way_from_the_initial_schedule_to_the_best_median(results: Results) -> None:
    for seed, top in enumerate([0.7, 0.8, 0.9]):
        results.add("fds", seed, [(1, 0.3 + 0.1 * seed), (2, top)])
        results.add("tpe", seed, [(1, 0.1)], schedules=[[9.0, 9.0, 9.0, 9.0]])
    table = targets_of(*facts(results, initial=START, classes=10.0))
    assert table["share"].tolist() == list(SHARES)
    assert set(table["start"]) == {0.4}  # the median of those that began with it; TPE did not
    assert set(table["top"]) == {0.8}
    assert table["target"].tolist() == pytest.approx([0.6, 0.72, 0.76, 0.78, 0.796])
    row = headline(table, "digits")
    assert row is not None
    assert row["target"] == pytest.approx(0.78)


@pytest.mark.parametrize("first", [0.05, None])
def test_a_start_that_diverged_or_is_not_known_is_guessing(results: Results, first: float | None) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.05), (2, 0.9)])
    initial = START if first is not None else None
    assert set(targets_of(*facts(results, initial=initial, classes=10.0))["start"]) == {0.1}
    assert set(targets_of(*results.both)["start"]) == {0.0}  # nor is the number of classes


def test_named_targets_stand_as_they_are_and_the_highest_is_the_headline(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.5), (2, 0.9)])
    table = targets_of(*facts(results, targets=[0.85, 0.8]))
    assert table["target"].tolist() == [0.8, 0.85]
    assert table["headline"].tolist() == [False, True]
    assert table["share"].isna().all()


def test_any_method_may_set_the_top_and_a_failed_run_may_not(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.5)]).add("cosine", seed, [(1, 0.8)])
        results.add("tpe", seed, [(1, 0.99)], status="failed", used=1.0)
    assert set(targets_of(*results.both)["top"]) == {0.8}


def test_the_targets_do_not_depend_on_who_is_called_the_reference(results: Results) -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        for method in ("fds", "tpe"):
            results.add(method, seed, [(1, 0.5), (2, 0.9 + 0.01 * rng.normal())])
    swapped = [f.replace({"method": {"fds": "tpe", "tpe": "fds"}}) for f in results.both]
    pd.testing.assert_frame_equal(targets_of(*results.both), targets_of(*swapped))


def test_where_nothing_is_better_than_the_start_there_is_one_target(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.5)])
    table = targets_of(*facts(results, initial=START))
    assert table["target"].tolist() == [0.5]
    assert table["headline"].all()


def test_no_complete_run_no_target(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)], status="failed")
    assert targets_of(*results.both).empty
    assert headline(targets_of(*results.both), "digits") is None
