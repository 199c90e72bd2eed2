"""Curves, bands and times to a target, on traces whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.curves import (
    anytime,
    band,
    ends,
    event_times,
    median_interval,
    on_grid,
    quantile,
    settled,
    skipped,
    time_to_target,
    times_to_targets,
)
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.errors import InputError
from hpobench_fds.records.schema import REPORT_COLUMNS, RUN_COLUMNS


def test_the_fabricated_frames_have_the_columns_of_the_contract(study: Results) -> None:
    assert list(study.reports.columns) == REPORT_COLUMNS
    assert list(study.runs.columns) == RUN_COLUMNS


def test_only_incumbents_move_the_curve_even_if_another_report_tests_better(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.9), (3, 0.7)], incumbent=[True, False, True])
    reports = results.reports
    reports.loc[1, "test_accuracy"] = 0.9  # measured, but validation did not choose it
    curve = anytime(reports)
    assert curve["at"].tolist() == [0, 1, 3]
    assert curve["value"].tolist()[1:] == [0.5, 0.7]


def test_a_test_accuracy_that_falls_is_not_hidden_by_a_running_maximum(results: Results) -> None:
    results.add("fds", 0, [(1, 0.8), (2, 0.6)])
    assert on_grid(anytime(results.reports), np.array([1.0, 2.0, 9.0])).tolist() == [0.8, 0.6, 0.6]


def test_a_step_holds_from_its_own_time_on(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.75)])
    values = on_grid(anytime(results.reports), np.array([0.0, 0.999, 1.0, 1.999, 2.0, 50.0]))
    np.testing.assert_array_equal(values, [np.nan, np.nan, 0.5, 0.5, 0.75, 0.75])


def test_of_two_reports_at_one_time_the_later_one_counts(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (1, 0.75)])
    shuffled = results.reports.iloc[::-1]  # rows may come in any order
    assert on_grid(anytime(shuffled), np.array([1.0])).tolist() == [0.75]


def test_other_axes_and_metrics(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.75)])
    steps = anytime(results.reports, "val_loss", "inner_steps")
    assert steps["at"].tolist() == [0, 10, 20]
    assert steps["value"].tolist()[1:] == [0.5, 0.25]
    assert anytime(results.reports, against="gradient_equivalents")["at"].tolist() == [0, 12, 24]


@pytest.mark.parametrize(
    ("metric", "against", "word"), [("speed", "seconds", "test_loss"), ("val_loss", "days", "inner_steps")]
)
def test_unknown_names_are_refused_with_what_is_allowed(
    results: Results, metric: str, against: str, word: str
) -> None:
    results.add("fds", 0, [(1, 0.5)])
    with pytest.raises(InputError, match=word):
        anytime(results.reports, metric, against)


def test_two_suites_with_one_cell_are_refused(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)]).add("fds", 0, [(1, 0.6)], suite="another")
    with pytest.raises(InputError, match="several suites"):
        anytime(results.reports)


def test_a_run_without_any_report_has_a_curve_of_nothing(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)]).add("fds", 1, [], status="failed", used=3.0)
    curves = anytime(*reversed_pair(results))
    assert sorted(curves["seed"].unique()) == [0, 1]
    assert curves[curves["seed"] == 1]["value"].isna().all()


def reversed_pair(results: Results) -> tuple[pd.DataFrame, str, str, pd.DataFrame]:
    return results.reports, "test_accuracy", "seconds", results.runs


def test_seed_zero_is_a_seed(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("fds", 1, [(1, 0.5)]).add("fds", 2, [(1, 0.1)])
    table = band(anytime(results.reports), np.array([1.0]))
    assert table["seeds"].item() == 3
    assert table["median"].item() == 0.5


def test_band_of_known_values(results: Results) -> None:
    for seed, accuracy in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):
        results.add("fds", seed, [(1, accuracy)])
    row = band(anytime(results.reports), np.array([1.0]), spread="quartiles").iloc[0]
    assert (row["low"], row["median"], row["high"]) == pytest.approx((0.2, 0.3, 0.4))
    row = band(anytime(results.reports), np.array([1.0])).iloc[0]
    assert (row["low"], row["median"], row["high"]) == pytest.approx((0.1, 0.3, 0.5))


def test_a_method_whose_worst_seeds_report_nothing_looks_worse_not_better(results: Results) -> None:
    good, silent = [0.9, 0.8, 0.7, 0.3, 0.2], [0.9, 0.8, 0.7]
    for seed, accuracy in enumerate(good):
        results.add("tpe", seed, [(1, accuracy)])
        points = [(1.0, accuracy)] if accuracy in silent else []
        results.add("bohb", seed, points, status="complete" if points else "failed")
    curves = anytime(*reversed_pair(results))
    grid = np.array([1.0])
    honest, broken = (band(curves[curves["method"] == m], grid).iloc[0] for m in ("tpe", "bohb"))
    assert broken["median"] <= honest["median"] == 0.7
    assert broken["low"] == 0.0 < honest["low"]
    assert broken["high"] <= honest["high"]


@pytest.mark.parametrize(("reporting", "defined"), [(1, False), (2, False), (3, True), (4, True)])
def test_the_median_is_defined_once_more_than_half_have_reported(
    results: Results, reporting: int, defined: bool
) -> None:
    for seed in range(4):
        there = seed < reporting
        results.add("fds", seed, [(1.0, 0.6)] if there else [], status="complete" if there else "failed")
    row = band(anytime(*reversed_pair(results)), np.array([1.0])).iloc[0]
    assert np.isfinite(row["median"]) == defined
    assert row["reported"] == reporting
    if defined:
        assert row["median"] == pytest.approx(0.6)  # not half-way to an imagined 0


def test_a_silent_seed_is_an_infinite_loss(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1.0, 0.6)] if seed else [], status="complete" if seed else "failed")
    curves = anytime(results.reports, "val_loss", "seconds", results.runs)
    row = band(curves, np.array([1.0]), metric="val_loss").iloc[0]
    assert row["median"] == pytest.approx(0.4)
    assert row["high"] == np.inf


def test_time_to_target_and_censoring(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (4, 0.8), (9, 0.9)])
    curve = anytime(results.reports)
    assert time_to_target(curve, 0.8, end=100) == (4.0, True)
    assert time_to_target(curve, 0.81, end=100) == (9.0, True)
    assert time_to_target(curve, 0.91, end=100) == (100.0, False)


def test_time_to_a_loss_counts_downwards(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (4, 0.8)])
    curve = anytime(results.reports, "val_loss")
    assert time_to_target(curve, 0.25, end=100, metric="val_loss") == (4.0, True)


def test_runs_are_censored_at_their_budget_unfinished_ones_at_what_they_used(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)], budget=100, used=40)  # converged
    results.add("fds", 1, [(1, 0.5)], budget=100, used=30, status="failed")
    results.add("fds", 2, [(1, 0.5)], budget=100, used=20, status="running")
    results.add("fds", 3, [(1, 0.5)], budget=100, used=104)  # its last evaluation ran over
    results.add("fds", 4, [(1, 0.5)], budget=None, used=7)
    assert ends(results.runs).tolist() == [100, 100, 20, 104, 7]
    assert ends(results.runs, "gradient_equivalents").tolist() == [480, 360, 240, 1248, 84]
    assert settled(results.runs)["seed"].tolist() == [0, 1, 3, 4]


def test_a_failed_run_keeps_the_curve_that_it_had(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.7)], status="failed", used=3)
    curve = anytime(*reversed_pair(results))
    assert on_grid(curve, np.array([2.0, 900.0])).tolist() == [0.7, 0.7]


def test_an_incumbent_whose_test_was_not_measured_is_unknown_not_carried(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.9)])
    reports = results.reports
    reports.loc[1, "test_accuracy"] = None
    assert np.isnan(on_grid(anytime(reports), np.array([2.0]))).all()


finite = st.lists(st.floats(-5, 5), min_size=1, max_size=9)


@given(finite, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_quantile_is_numpys_on_finite_values(values: list[float], q: float) -> None:
    np.testing.assert_allclose(quantile(np.array(values), q), np.quantile(values, q), atol=1e-12)


@given(finite, st.integers(0, 9))
def test_quantile_is_never_nan_nor_better_with_silent_seeds(values: list[float], silent: int) -> None:
    with_silent = np.array(values + [-np.inf] * silent)
    median = quantile(with_silent, 0.5)
    assert not np.isnan(median)
    assert median <= quantile(np.array(values), 0.5)


def test_quantile_between_a_number_and_infinity_is_infinite() -> None:
    assert quantile(np.array([1.0, np.inf]), 0.5) == np.inf
    assert quantile(np.array([-np.inf, 1.0]), 0.5) == -np.inf


def test_event_times_are_all_jumps(results: Results) -> None:
    results.add("fds", 0, [(3, 0.5)]).add("fds", 1, [(1, 0.5), (3, 0.6)])
    assert event_times(anytime(results.reports)).tolist() == [0, 1, 3]


# ---- the bootstrap of the median ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("level", [0.95, 0.6])
def test_the_interval_is_that_of_all_resamples(n: int, level: float) -> None:
    """Every one of the n^n resamples, enumerated."""
    values = np.random.default_rng(n).normal(size=n)
    medians = np.sort([np.median(values[list(c)]) for c in itertools.product(range(n), repeat=n)])
    at = [int(np.ceil(q * n**n - 1e-6)) - 1 for q in ((1 - level) / 2, (1 + level) / 2)]
    low, high = median_interval(values[:, None], level)
    assert (low.item(), high.item()) == pytest.approx(tuple(medians[at]))


def test_the_interval_holds_the_median_and_is_as_sure_as_it_says() -> None:
    rng, hits, trials = np.random.default_rng(2), 0, 400
    values = rng.lognormal(size=(15, trials))
    low, high = median_interval(values)
    assert (low <= np.median(values, axis=0)).all()
    assert (np.median(values, axis=0) <= high).all()
    hits = int(((low <= 1.0) & (high >= 1.0)).sum())
    assert 360 <= hits <= 399  # 95 % of 400 is 380, standard deviation 4.4


def test_one_seed_has_no_interval_and_silent_seeds_widen_it() -> None:
    assert np.isnan(median_interval(np.array([[1.0]]))).all()
    low, high = median_interval(np.array([0.5, 0.6, -np.inf]))
    assert (low, high) == (-np.inf, 0.6)


@given(finite, st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_times_to_several_targets_are_the_times_to_each(values: list[float], targets: list[float]) -> None:
    curve = pd.DataFrame({"at": np.arange(len(values), dtype=float), "value": values})
    for metric, reached in (("test_accuracy", np.greater_equal), ("val_loss", np.less_equal)):
        found = times_to_targets(curve, np.array(targets), metric)
        for target, time in zip(targets, found, strict=True):
            hits = np.flatnonzero(reached(values, target))
            assert time == (hits[0] if len(hits) else np.inf)


def test_skipped_runs_are_no_runs(results: Results) -> None:
    runs = results.add("fds", 0, [(1, 0.5)]).add("cmaes", 0, []).runs
    runs.loc[runs["method"] == "cmaes", "stopped"] = "skipped"
    assert settled(runs)["method"].tolist() == ["fds"]
    assert skipped(runs)["method"].tolist() == ["cmaes"]
