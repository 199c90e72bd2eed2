"""The speedup's number, its interval and its bounds, with planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.figures import speedup
from hpobench_fds.analysis.stats.speedup import speedup_table

from hpobench_fds.errors import InputError


def planted(results: Results, factor: float, seeds: int = 9, spread: float = 0.2) -> Results:
    """FDS and a TPE that is ``factor`` times slower; times vary from seed to seed, each its own luck."""
    rng = np.random.default_rng(1)
    for seed in range(seeds):
        for method, scale in (("fds", 1.0), ("tpe", factor)):
            luck = np.exp(rng.uniform(-spread, spread))
            results.add(method, seed, [(scale * luck, 0.4), (5 * scale * luck, 0.9)])
    return results


def only(table: pd.DataFrame, method: str = "tpe") -> pd.Series:  # type: ignore[type-arg]
    return table[table["method"] == method].iloc[0]


def test_a_planted_speedup_is_found_and_lies_in_its_interval(results: Results) -> None:
    row = only(speedup_table(*planted(results, 20).both))
    assert row["speedup"] == pytest.approx(20, rel=0.2)
    assert row["low"] < 20 < row["high"]
    assert row["low"] <= row["speedup"] <= row["high"]
    assert row["high"] / row["low"] < 2
    assert (row["censored"], row["n_seeds"], row["n_reached"]) == (False, 9, 9)
    assert (row["target"], row["share"]) == (pytest.approx(0.95 * 0.9), 0.95)
    assert row["p"] == pytest.approx(2 * 0.5**9)


def test_without_spread_the_speedup_is_exact_and_so_is_its_interval(results: Results) -> None:
    row = only(speedup_table(*planted(results, 20, spread=0).both))
    assert (row["speedup"], row["low"], row["high"]) == pytest.approx((20, 20, 20))


def test_the_interval_is_of_the_median_ratio_of_the_seeds(results: Results) -> None:
    for seed in range(9):
        results.add("fds", seed, [(seed + 1, 0.9)]).add("tpe", seed, [((seed + 1) * (seed + 2), 0.9)])
    row = only(speedup_table(*results.both))
    assert (row["speedup"], row["low"], row["high"]) == pytest.approx((6, 3, 9))  # of 2..10, n = 9: 2nd, 8th
    assert (row["least"], row["most"]) == pytest.approx((2, 10))


def test_intervals_hold_together_over_the_rivals(results: Results) -> None:
    planted(results, 20)
    alone = only(speedup_table(*results.both))
    for i in range(9):
        for seed in range(9):
            results.add(f"other_{i}", seed, [(1, 0.9)])
    many = only(speedup_table(*results.both))
    assert many["rivals"] == 10
    assert many["speedup"] == alone["speedup"]
    # At 1 - 0.05/10 nine seeds need their whole range (1 - 2/512), at 95 % the second and the eighth.
    assert (many["low"], many["high"]) == (alone["least"], alone["most"])
    assert many["low"] < alone["low"] < alone["high"] < many["high"]


def test_swapping_the_two_inverts_the_speedup(results: Results) -> None:
    planted(results, 8)
    there = only(speedup_table(*results.both, reference="fds"))["speedup"]
    back = only(speedup_table(*results.both, reference="tpe"), "fds")["speedup"]
    assert there > 1 > back
    assert there * back == pytest.approx(1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """100 studies of ten seeds and lognormal times. Order statistics of ten hold the median in 97.9 %, at
    which fewer than 92 % of the studies have probability 3e-4."""
    hits, trials = 0, 100
    rng = np.random.default_rng(7)
    for _ in range(trials):
        results = Results()
        for seed in range(10):
            for method, scale in (("fds", 1.0), ("tpe", 10.0)):
                results.add(method, seed, [(scale * float(np.exp(rng.normal(0, 0.5))), 0.9)])
        row = only(speedup_table(*results.both))
        hits += bool(row["low"] <= 10 <= row["high"])
    assert hits >= 0.92 * trials


def test_a_method_that_never_gets_there_is_a_lower_bound_at_its_budget(results: Results) -> None:
    for seed in range(6):
        results.add("fds", seed, [(10, 0.9)], budget=300)
        results.add("tpe", seed, [(10, 0.8)], budget=300)
    row = only(speedup_table(*results.both))
    assert (row["speedup"], row["censored"], row["bound"]) == (30, True, ">")
    assert (row["low"], row["high"]) == (30, np.inf)
    assert (row["n_seeds"], row["n_reached"]) == (6, 0)


def test_converging_early_does_not_soften_the_bound(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(10, 0.9)], budget=300, used=20)
        results.add("tpe", seed, [(1, 0.8)], budget=300, used=2)
    assert only(speedup_table(*results.both))["speedup"] == 30


def test_a_crash_is_no_bound(results: Results) -> None:
    """It stopped after a second of a budget of 172: nobody knows what it would have needed."""
    for seed in range(6):
        results.add("fds", seed, [(1, 0.9)], budget=172)
        results.add("exits", seed, [], budget=172, used=0.0, status="failed")
        results.add("killed", seed, [(0.1, 0.9)], budget=172, used=0.2, status="failed")
    table = speedup_table(*results.both)
    for method in ("exits", "killed"):
        row = only(table, method)
        assert (row["bound"], row["n_seeds"], row["n_failed"], row["p"]) == ("?", 0, 6, 1.0)
        assert np.isnan(row["speedup"])


def test_failed_seeds_leave_their_pairs_out_and_are_counted(results: Results) -> None:
    for seed in range(5):
        results.add("fds", seed, [(1, 0.9)])
        results.add("bohb", seed, [(10 + seed, 0.9)] if seed else [], status="complete" if seed else "failed")
    row = only(speedup_table(*results.both), "bohb")
    assert (row["speedup"], row["n_seeds"], row["n_failed"], row["n_failed_reference"]) == (12.5, 4, 1, 0)


def test_a_single_seed_has_no_interval_and_says_so(results: Results) -> None:
    planted(results, 20, seeds=1, spread=0)
    row = only(speedup_table(*results.both))
    assert row["speedup"] == pytest.approx(20)
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])
    assert "no interval: a single seed" in speedup.draw(*results.both).caption


def test_a_given_target_that_the_reference_misses_is_an_upper_bound(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.8)], budget=100).add("tpe", seed, [(50, 0.9)], budget=100)
        results.add("hd", seed, [(1, 0.5)], budget=100)
    table = speedup_table(*results.both, target=0.85)
    assert (only(table)["speedup"], only(table)["bound"]) == (0.5, "<")
    assert only(table, "hd")["bound"] == "?"
    assert np.isnan(only(table, "hd")["speedup"])
    assert only(table)["n_reached_reference"] == 0


def test_a_reference_that_misses_a_target_in_some_seeds_keeps_its_median(results: Results) -> None:
    for seed in range(5):
        results.add("fds", seed, [(10 + seed, 0.9 if seed < 3 else 0.7)]).add("tpe", seed, [(120, 0.9)])
    row = only(speedup_table(*results.both, target=0.85))
    assert (row["speedup"], row["bound"], row["n_reached_reference"]) == (10, "", 3)


def test_a_missing_reference_names_what_is_there(results: Results) -> None:
    results.add("tpe", 0, [(1, 0.9)]).add("bohb", 0, [(1, 0.9)])
    with pytest.raises(InputError, match=r"'fds'.*bohb, tpe"):
        speedup_table(*results.both)


@pytest.mark.parametrize("target", [0, 90, -0.1])
def test_a_target_must_be_a_fraction(results: Results, target: float) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("tpe", 0, [(1, 0.9)])
    with pytest.raises(InputError, match="fraction"):
        speedup_table(*results.both, target=target)


def test_unfinished_runs_are_left_out(results: Results) -> None:
    planted(results, 20, seeds=3, spread=0)
    results.add("tpe", 3, [(1, 0.1)], used=2, status="running")
    results.add("tpe", 4, [(1, 0.1)], used=2, status="interrupted")
    row = only(speedup_table(*results.both))
    assert (row["speedup"], row["n_seeds"]) == (pytest.approx(20), 3)


def test_only_common_seeds_are_compared(results: Results) -> None:
    planted(results, 20, seeds=5, spread=0)
    results.add("tpe", 17, [(1, 0.9)])
    row = only(speedup_table(*results.both))
    assert (row["speedup"], row["n_seeds"]) == (pytest.approx(20), 5)


def test_a_reference_that_failed_everywhere_on_a_problem_gives_no_verdict_but_a_row(results: Results) -> None:
    planted(results, 4, seeds=2, spread=0)
    results.add("fds", 0, [], problem="hard", status="failed").add("tpe", 0, [(1, 0.9)], problem="hard")
    table = speedup_table(*results.both)
    row = table[table["problem"] == "hard"].iloc[0]
    assert row["bound"] == "?"
    assert speedup.draw(*results.both).figure is not None


def test_equal_times_of_zero_are_a_tie(results: Results) -> None:
    results.add("fds", 0, [(0, 0.9)]).add("tpe", 0, [(0, 0.9)])
    assert only(speedup_table(*results.both))["speedup"] == 1


def test_other_clocks(results: Results) -> None:
    planted(results, 20, spread=0)
    for axis in ("inner_steps", "gradient_equivalents"):
        assert only(speedup_table(*results.both, against=axis))["speedup"] == pytest.approx(20)


def test_the_same_results_give_the_same_table(study: Results) -> None:
    pd.testing.assert_frame_equal(speedup_table(*study.both), speedup_table(*study.both))
