"""Shares of the way to the best: planted starts, tops and orders."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.looks import Looks
from hpobench_fds.analysis.stats import way
from hpobench_fds.analysis.stats.bands import bands
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.target_times import target_times


def planted(results: Results) -> Results:
    """Chance is 0.1 of ten classes, and FDS's 0.9 the best."""
    for seed in range(6):
        results.add("fds", seed, [(10, 0.5), (20, 0.9)], budget=100)
        results.add("tpe", seed, [(5, 0.5), (50 + seed, 0.86)], budget=100)
        results.add("random_search", seed, [(60, 0.3)], budget=100)
        results.add("cosine", seed, [(1, 0.74)], budget=100)
    return results


def test_shares_go_from_chance_to_the_best_median(results: Results) -> None:
    made = planted(results)
    table = way.way_bands(made.reports, made.runs.assign(classes=10.0))
    fds = table[(table["method"] == "fds") & (table["against"] == "seconds")].set_index("at")
    assert (fds["start"].iloc[0], fds["top"].iloc[0]) == pytest.approx((0.1, 0.9))
    assert fds.loc[[10, 20, 100], "share"].tolist() == pytest.approx([0.5, 1.0, 1.0])
    cosine = table[table["method"] == "cosine"]
    assert cosine["share"].dropna().iloc[-1] == pytest.approx(0.8)
    assert not cosine["searches"].any()


def test_shares_keep_the_medians_and_intervals_of_the_values(results: Results) -> None:
    made, rng = results, np.random.default_rng(0)
    for seed in range(8):
        made.add("fds", seed, [(1, 0.5), (2, 0.7 + 0.1 * rng.random())])
    both = made.reports, made.runs.assign(classes=10.0)
    table, plain = way.way_bands(*both, ("seconds",)), bands(*both)
    for share, value in (("share", "median"), ("share_low", "low"), ("share_high", "high")):
        back = table["start"] + table[share] * (table["top"] - table["start"])
        np.testing.assert_allclose(back, plain[value])


def test_nobody_beyond_the_start_is_a_reason(results: Results) -> None:
    results.add("fds", 0, [(1, 0.1)])
    with pytest.raises(NoAnswer, match="further than"):
        way.way_bands(results.reports, results.runs.assign(classes=10.0))


def test_the_ranking_is_by_how_far_and_then_by_how_soon(results: Results) -> None:
    made = planted(results)
    for seed in range(6):
        made.add("bohb", seed, [(80, 0.9)], budget=100)  # as far as FDS, and later
    runs = made.runs.assign(classes=10.0)
    assert way.ranking(made.reports, runs) == ["fds", "bohb", "tpe", "cosine", "random_search"]


def test_the_reference_is_chosen_then_the_best_of_each_kind(results: Results) -> None:
    made = planted(results)
    for seed in range(6):
        made.add("hd", seed, [(3, 0.4)], budget=100)
    kinds = Looks.of(made.runs).kind_of
    assert way.chosen(made.reports, made.runs, kinds, most=3) == ["fds", "tpe", "hd"]
    assert way.chosen(made.reports, made.runs, kinds, reference="hd", most=2) == ["hd", "fds"]
    assert way.chosen(made.reports, made.runs, kinds, most=9)[-1] == "cosine"  # it searches nothing


# ---- times to targets -----------------------------------------------------------------------------------


def test_times_have_their_median_and_its_interval(results: Results) -> None:
    made = planted(results)
    table = target_times(made.reports, made.runs.assign(classes=10.0), "seconds")
    row = table[(table["method"] == "tpe") & table["headline"].astype(bool)].iloc[0]
    assert row["target"] == pytest.approx(0.86)
    assert (row["median"], row["low"], row["high"], row["bound"]) == (52.5, 50, 55, "")
    assert (row["n_reached"], row["n_seeds"], row["n_failed"]) == (6, 6, 0)


def test_a_target_that_is_not_reached_is_censored_at_the_budget(results: Results) -> None:
    made = planted(results)
    made.add("bohb", 0, [], status="failed")
    table = target_times(made.reports, made.runs.assign(classes=10.0), "seconds")
    own = table[table["headline"].astype(bool)].set_index("method")
    assert own.loc["random_search", ["median", "bound", "n_reached"]].tolist() == [100, ">", 0]
    assert np.isinf(own.loc["random_search", "high"])
    assert own.loc["bohb", ["bound", "n_seeds", "n_failed"]].tolist() == ["?", 0, 1]


def test_half_of_the_seeds_there_leave_a_lower_bound(results: Results) -> None:
    for seed in range(6):
        results.add("fds", seed, [(1, 0.9)], budget=100)
        results.add("tpe", seed, [(10, 0.9 if seed < 2 else 0.2)], budget=100)
    table = target_times(results.reports, results.runs, "seconds")
    row = table[(table["method"] == "tpe") & table["headline"].astype(bool)].iloc[0]
    assert (row["median"], row["bound"], row["least"]) == (100, ">", 10)


def test_few_seeds_have_a_range_and_no_interval(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1 + seed, 0.9)], budget=100)
    row = target_times(results.reports, results.runs, "seconds").iloc[-1]
    assert np.isnan([row["low"], row["high"]]).all()
    assert (row["least"], row["most"], row["median"]) == (1, 3, 2)
