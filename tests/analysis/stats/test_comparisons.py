"""Paired tests, and wins, ties and losses that are planted."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import comparisons
from planted_boards import board
from scipy import stats


def test_holm_of_known_numbers() -> None:
    np.testing.assert_allclose(comparisons.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert comparisons.holm(np.array([0.9, 0.8])).max() == 1.0


def test_planted_wins_ties_and_losses(results: Results) -> None:
    noise = [0.0, 0.01, -0.01, 0.02, -0.02]
    good, bad = [0.9 + e for e in noise], [0.5 - e for e in noise]
    even = [0.9 + e for e in (0.01, -0.02, 0.02, -0.01, 0.0)]
    board(results, {"fds": [good, good, bad], "tpe": [bad, even, good]})
    table = comparisons.duels(*results.both)
    assert table["result"].tolist() == ["win", "tie", "loss"]
    assert table["difference"].iloc[0] == pytest.approx(0.4)
    counts = comparisons.matrix(table).set_index(["method", "other"])
    assert counts.loc[("fds", "tpe")].tolist() == [1, 1, 1]
    assert counts.loc[("tpe", "fds")].tolist() == [1, 1, 1]


def test_the_direction_of_a_win(results: Results) -> None:
    board(results, {"fds": [[0.9, 0.91, 0.92]], "tpe": [[0.5, 0.52, 0.51]]})
    counts = comparisons.matrix(comparisons.duels(*results.both)).set_index(["method", "other"])
    assert counts.loc[("fds", "tpe")].tolist() == [1, 0, 0]
    assert counts.loc[("tpe", "fds")].tolist() == [0, 0, 1]


def test_p_values_are_paired(results: Results) -> None:
    base = [0.1, 0.3, 0.5, 0.7, 0.9]  # far apart between seeds, always one point apart within
    better = [b + 0.01 + e for b, e in zip(base, [0, 1e-3, -1e-3, 5e-4, -5e-4], strict=True)]
    board(results, {"fds": [better], "tpe": [base]})
    row = comparisons.duels(*results.both).iloc[0]
    assert row["result"] == "win"
    assert row["p"] == pytest.approx(stats.ttest_rel(better, base).pvalue)


def test_equal_results_and_single_seeds_are_ties(results: Results) -> None:
    board(results, {"fds": [[0.5, 0.5], [0.9]], "tpe": [[0.5, 0.5], [0.1]]})
    assert comparisons.duels(*results.both)["result"].tolist() == ["tie", "tie"]


@pytest.mark.parametrize(("seeds", "result"), [(2, "tie"), (5, "tie"), (6, "win")])
def test_a_constant_difference_says_no_more_than_its_signs(results: Results, seeds: int, result: str) -> None:
    board(results, {"fds": [[0.75] * seeds], "tpe": [[0.5] * seeds]})
    row = comparisons.duels(*results.both).iloc[0]
    assert (row["result"], row["p"]) == (result, 2 * 0.5**seeds)


def test_a_failed_seed_loses_its_duel_rather_than_being_left_out(results: Results) -> None:
    board(results, {"fds": [[0.8, 0.8, 0.8]], "tpe": [[0.9, 0.9]]})
    results.add("tpe", 2, [], problem="p0", status="failed")
    row = comparisons.duels(*results.both).iloc[0]
    assert row["seeds"] == 3
    assert row["difference"] == pytest.approx((0.8 - 0.9 + 0.8 - 0.9 + 0.8) / 3)
