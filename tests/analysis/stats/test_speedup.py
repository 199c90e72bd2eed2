"""The speedup's number, its interval and its bounds, with planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.figures import speedup
from hpobench_fds.analysis.stats.speedup import speedup_table
from hpobench_fds.analysis.stats.targets import own_target

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
    assert row["target"] == 0.9


def test_without_spread_the_speedup_is_exact_and_so_is_its_interval(results: Results) -> None:
    row = only(speedup_table(*planted(results, 20, spread=0).both))
    assert (row["speedup"], row["low"], row["high"]) == pytest.approx((20, 20, 20))


def test_swapping_the_two_inverts_the_speedup(results: Results) -> None:
    planted(results, 8)
    there = only(speedup_table(*results.both, reference="fds"))["speedup"]
    back = only(speedup_table(*results.both, reference="tpe"), "fds")["speedup"]
    assert there > 1 > back
    assert there * back == pytest.approx(1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    hits, trials = 0, 60
    rng = np.random.default_rng(7)
    for _ in range(trials):
        results = Results()
        for seed in range(15):
            for method, scale in (("fds", 1.0), ("tpe", 10.0)):
                results.add(method, seed, [(scale * float(np.exp(rng.normal(0, 0.4))), 0.9)])
        row = only(speedup_table(*results.both, resamples=400))
        hits += bool(row["low"] <= 10 <= row["high"])
    # 95 % of 60 is 57; below 50 has probability 3e-4 at a true coverage of 93 %.
    assert hits >= 50


def test_a_method_that_never_gets_there_is_a_lower_bound_at_its_budget(results: Results) -> None:
    for seed in range(5):
        results.add("fds", seed, [(10, 0.9)], budget=300)
        results.add("tpe", seed, [(10, 0.8)], budget=300)
    row = only(speedup_table(*results.both))
    assert (row["speedup"], row["censored"], row["bound"]) == (30, True, ">")
    assert (row["low"], row["high"]) == (30, np.inf)
    assert (row["n_seeds"], row["n_reached"]) == (5, 0)


def test_converging_or_failing_early_does_not_soften_the_bound(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(10, 0.9)], budget=300, used=20)
        results.add("tpe", seed, [(1, 0.8)], budget=300, used=2, status="failed")
    assert only(speedup_table(*results.both))["speedup"] == 30


def test_a_minority_of_failed_seeds_leaves_a_number_and_makes_it_larger(results: Results) -> None:
    for seed in range(5):
        results.add("fds", seed, [(1, 0.9)])
        results.add("tpe", seed, [(10 + seed, 0.9)])
        results.add("bohb", seed, [(10 + seed, 0.9)] if seed else [], status="complete" if seed else "failed")
    table = speedup_table(*results.both)
    whole, broken = only(table), only(table, "bohb")
    assert (whole["speedup"], whole["censored"]) == (12, False)
    assert (broken["speedup"], broken["censored"]) == (13, False)  # dropped, it would be 12.5
    assert (broken["n_seeds"], broken["n_reached"]) == (5, 4)


def test_a_majority_of_failed_seeds_is_a_bound(results: Results) -> None:
    for seed in range(5):
        results.add("fds", seed, [(1, 0.9)], budget=50)
        broken = seed < 3
        status = "failed" if broken else "complete"
        results.add("tpe", seed, [] if broken else [(2, 0.9)], budget=50, status=status)
    row = only(speedup_table(*results.both))
    assert (row["speedup"], row["bound"], row["n_reached"]) == (50, ">", 2)


def test_a_single_seed_has_no_interval_and_says_so(results: Results) -> None:
    planted(results, 20, seeds=1, spread=0)
    row = only(speedup_table(*results.both))
    assert row["speedup"] == pytest.approx(20)
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])
    assert "No interval: a single seed" in speedup.draw(*results.both).caption


def test_the_default_target_is_what_half_of_the_references_seeds_reach() -> None:
    final = np.array([0.9, 0.5, 0.8, 0.7])
    assert final[own_target(final)] == 0.7  # the lower of the middle two: three of four reach it
    assert own_target(np.array([0.1, 0.3, 0.2])) == 2
    assert own_target(np.array([np.nan, 0.3, 0.2])) == 2  # a seed without a value is the worst


def test_a_reference_with_an_even_number_of_unequal_seeds_reaches_its_own_target(results: Results) -> None:
    for seed, accuracy in enumerate([0.9, 0.88, 0.86, 0.84]):
        results.add("fds", seed, [(2, 0.3), (4, accuracy)]).add("tpe", seed, [(40, 0.95)])
    row = only(speedup_table(*results.both))
    assert row["target"] == 0.86
    assert (row["speedup"], row["bound"], row["n_reached_reference"]) == (10, "", 3)


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


def test_a_margin_lowers_the_target(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.90)]).add("tpe", seed, [(7, 0.895)])
    assert only(speedup_table(*results.both))["bound"] == ">"
    row = only(speedup_table(*results.both, margin=0.01))
    assert (row["speedup"], row["bound"]) == (7, "")
    assert row["target"] == pytest.approx(0.89)


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


def test_other_seeds_for_the_other_method_are_resampled_on_their_own(results: Results) -> None:
    planted(results, 20, seeds=5)
    results.add("tpe", 17, [(100, 0.9)])
    row = only(speedup_table(*results.both))
    assert (row["n_seeds"], row["n_seeds_reference"]) == (6, 5)
    assert row["low"] < 20 < row["high"]


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
