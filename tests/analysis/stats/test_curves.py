"""Curves and times to a target, on traces whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.curves import Cell, Curve, curves_of, ends, event_times
from hpobench_fds.analysis.stats.frames import settled, skipped
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.errors import InputError
from hpobench_fds.records.schema import REPORT_COLUMNS, RUN_COLUMNS


def only(curves: list[Curve]) -> Curve:
    (curve,) = curves
    return curve


def test_the_fabricated_frames_have_the_columns_of_the_contract(study: Results) -> None:
    assert list(study.reports.columns) == REPORT_COLUMNS
    assert list(study.runs.columns) == RUN_COLUMNS


def test_only_incumbents_move_the_curve_even_if_another_report_tests_better(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.9), (3, 0.7)], incumbent=[True, False, True])
    reports = results.reports
    reports.loc[1, "test_metric"] = 0.9  # measured, but validation did not choose it
    curve = only(curves_of(reports, results.runs))
    assert curve.times.tolist() == [0, 1, 3]
    assert curve.values.tolist()[1:] == [0.5, 0.7]


def test_a_test_accuracy_that_falls_is_not_hidden_by_a_running_maximum(results: Results) -> None:
    results.add("fds", 0, [(1, 0.8), (2, 0.6)])
    assert only(curves_of(*results.both)).at(np.array([1.0, 2.0, 9.0])).tolist() == [0.8, 0.6, 0.6]


def test_a_step_holds_from_its_own_time_on(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.75)])
    values = only(curves_of(*results.both)).at(np.array([0.0, 0.999, 1.0, 1.999, 2.0, 50.0]))
    np.testing.assert_array_equal(values, [np.nan, np.nan, 0.5, 0.5, 0.75, 0.75])


def test_of_two_reports_at_one_time_the_later_one_counts(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (1, 0.75)])
    shuffled = results.reports.iloc[::-1]  # rows may come in any order
    assert only(curves_of(shuffled, results.runs)).at(np.array([1.0])).tolist() == [0.75]


def test_other_axes_and_metrics(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.75)])
    steps = only(curves_of(*results.both, "val_loss", "inner_steps"))
    assert steps.times.tolist() == [0, 10, 20]
    assert steps.values.tolist()[1:] == [0.5, 0.25]
    assert not steps.higher_is_better
    assert only(curves_of(*results.both, against="gradient_equivalents")).times.tolist() == [0, 12, 24]


@pytest.mark.parametrize(
    ("metric", "against", "word"), [("speed", "seconds", "test_loss"), ("val_loss", "days", "inner_steps")]
)
def test_unknown_names_are_refused_with_what_is_allowed(
    results: Results, metric: str, against: str, word: str
) -> None:
    results.add("fds", 0, [(1, 0.5)])
    with pytest.raises(InputError, match=word):
        curves_of(*results.both, metric, against)


def test_two_suites_with_one_cell_are_refused(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)]).add("fds", 0, [(1, 0.6)], suite="another")
    with pytest.raises(InputError, match="several suites"):
        curves_of(*results.both)


def test_a_run_without_any_report_has_a_curve_of_nothing(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)]).add("fds", 1, [], status="failed", used=3.0)
    curves = curves_of(*results.both)
    assert [curve.cell.seed for curve in curves] == [0, 1]
    assert np.isnan(curves[1].values).all()
    assert np.isnan(curves[1].last)


def test_time_to_target_and_censoring(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (4, 0.8), (9, 0.9)])
    curve = only(curves_of(*results.both))
    assert curve.times_to(np.array([0.8, 0.81, 0.91])).tolist() == [4.0, 9.0, np.inf]


def test_time_to_a_loss_counts_downwards(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (4, 0.8)])
    curve = only(curves_of(*results.both, "val_loss"))
    assert curve.times_to(np.array([0.25])).tolist() == [4.0]


def test_runs_are_censored_at_their_budget_unfinished_ones_at_what_they_used(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)], budget=100, used=40)  # converged
    results.add("fds", 1, [(1, 0.5)], budget=100, used=30, status="failed")
    results.add("fds", 2, [(1, 0.5)], budget=100, used=20, status="running")
    results.add("fds", 3, [(1, 0.5)], budget=100, used=104)  # its last evaluation ran over
    results.add("fds", 4, [(1, 0.5)], budget=None, used=7)
    assert ends(results.runs).tolist() == [100, 30, 20, 104, 7]  # a crash says nothing of the rest
    assert ends(results.runs, "gradient_equivalents").tolist() == [480, 360, 240, 1248, 84]
    limited = results.runs.assign(budget_gradient_equivalents=600.0)
    assert ends(limited, "gradient_equivalents").tolist() == [600, 360, 240, 1248, 600]
    assert settled(results.runs)["seed"].tolist() == [0, 1, 3, 4]


def test_a_failed_run_keeps_the_curve_that_it_had(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.7)], status="failed", used=3)
    curve = only(curves_of(*results.both))
    assert curve.at(np.array([2.0, 900.0])).tolist() == [0.7, 0.7]


def test_an_incumbent_whose_test_was_not_measured_is_unknown_not_carried(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5), (2, 0.9)])
    reports = results.reports
    reports.loc[1, "test_metric"] = None
    assert np.isnan(only(curves_of(reports, results.runs)).at(np.array([2.0]))).all()


finite = st.lists(st.floats(-5, 5), min_size=1, max_size=9)


def test_event_times_are_all_jumps(results: Results) -> None:
    results.add("fds", 0, [(3, 0.5)]).add("fds", 1, [(1, 0.5), (3, 0.6)])
    assert event_times(curves_of(*results.both)).tolist() == [0, 1, 3]


@given(finite, st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_times_to_several_targets_are_the_times_to_each(values: list[float], targets: list[float]) -> None:
    at = np.arange(len(values), dtype=float)
    for higher, reached in ((True, np.greater_equal), (False, np.less_equal)):
        found = Curve(Cell("p", "m", 0), at, np.array(values), higher, 99.0).times_to(np.array(targets))
        for target, time in zip(targets, found, strict=True):
            hits = np.flatnonzero(reached(values, target))
            assert time == (hits[0] if len(hits) else np.inf)


def test_skipped_runs_are_no_runs(results: Results) -> None:
    runs = results.add("fds", 0, [(1, 0.5)]).add("cmaes", 0, []).runs
    runs.loc[runs["method"] == "cmaes", "stopped"] = "skipped"
    assert settled(runs)["method"].tolist() == ["fds"]
    assert skipped(runs)["method"].tolist() == ["cmaes"]
