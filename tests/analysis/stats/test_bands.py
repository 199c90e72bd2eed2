"""Medians and bands over seeds: a seed that says nothing makes a method look worse, never better."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.bands import band
from hpobench_fds.analysis.stats.curves import by_problem, curves_of


def test_seed_zero_is_a_seed(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("fds", 1, [(1, 0.5)]).add("fds", 2, [(1, 0.1)])
    table = band(curves_of(*results.both), np.array([1.0]))
    assert table["seeds"].item() == 3
    assert table["median"].item() == 0.5


def test_band_of_known_values(results: Results) -> None:
    for seed, accuracy in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):
        results.add("fds", seed, [(1, accuracy)])
    row = band(curves_of(*results.both), np.array([1.0]), spread="quartiles").iloc[0]
    assert (row["low"], row["median"], row["high"]) == pytest.approx((0.2, 0.3, 0.4))
    row = band(curves_of(*results.both), np.array([1.0])).iloc[0]
    assert (row["low"], row["median"], row["high"]) == pytest.approx((0.1, 0.3, 0.5))


def test_a_method_whose_worst_seeds_report_nothing_looks_worse_not_better(results: Results) -> None:
    good, silent = [0.9, 0.8, 0.7, 0.3, 0.2], [0.9, 0.8, 0.7]
    for seed, accuracy in enumerate(good):
        results.add("tpe", seed, [(1, accuracy)])
        points = [(1.0, accuracy)] if accuracy in silent else []
        results.add("bohb", seed, points, status="complete" if points else "failed")
    methods = by_problem(curves_of(*results.both))["digits"]
    honest, broken = (band(methods[m], np.array([1.0])).iloc[0] for m in ("tpe", "bohb"))
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
    row = band(curves_of(*results.both), np.array([1.0])).iloc[0]
    assert np.isfinite(row["median"]) == defined
    assert row["reported"] == reporting
    if defined:
        assert row["median"] == pytest.approx(0.6)  # not half-way to an imagined 0


def test_a_silent_seed_is_an_infinite_loss(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1.0, 0.6)] if seed else [], status="complete" if seed else "failed")
    curves = curves_of(*results.both, "val_loss")
    row = band(curves, np.array([1.0])).iloc[0]
    assert row["median"] == pytest.approx(0.4)
    assert row["high"] == np.inf
