"""Paired tests, and wins, ties and losses that are planted."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import comparisons
from planted_boards import board
from scipy import stats

NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.005, -0.005, 0.015]


def test_holm_of_known_numbers() -> None:
    np.testing.assert_allclose(comparisons.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert comparisons.holm(np.array([0.9, 0.8])).max() == 1.0


def test_planted_wins_ties_and_losses(results: Results) -> None:
    good, bad = [0.9 + e for e in NOISE], [0.5 - e for e in NOISE]
    even = [0.9 - e for e in NOISE]
    board(results, {"fds": [good, good, bad], "tpe": [bad, even, good]})
    table = comparisons.duels(*results.both)
    assert table["result"].tolist() == ["win", "tie", "loss"]
    assert table["difference"].iloc[0] == pytest.approx(0.4, abs=0.01)
    counts = comparisons.matrix(table).set_index(["method", "other"])
    assert counts.loc[("fds", "tpe")].tolist() == [1, 1, 1]
    assert counts.loc[("tpe", "fds")].tolist() == [1, 1, 1]


def test_the_direction_of_a_win(results: Results) -> None:
    board(results, {"fds": [[0.9 + e for e in NOISE]], "tpe": [[0.5 + e for e in NOISE]]})
    counts = comparisons.matrix(comparisons.duels(*results.both)).set_index(["method", "other"])
    assert counts.loc[("fds", "tpe")].tolist() == [1, 0, 0]
    assert counts.loc[("tpe", "fds")].tolist() == [0, 0, 1]


def test_p_values_are_paired(results: Results) -> None:
    base = [0.1, 0.25, 0.3, 0.5, 0.7, 0.8, 0.9]  # far apart between seeds, always one point apart within
    better = [b + 0.01 + e for b, e in zip(base, [0, 1e-3, -1e-3, 5e-4, -5e-4, 2e-4, 7e-4], strict=True)]
    board(results, {"fds": [better], "tpe": [base]})
    row = comparisons.duels(*results.both).iloc[0]
    assert row["result"] == "win"
    assert row["p"] == pytest.approx(stats.wilcoxon(better, base, method="exact").pvalue)


def test_equal_results_and_single_seeds_are_ties(results: Results) -> None:
    board(results, {"fds": [[0.5, 0.5], [0.9]], "tpe": [[0.5, 0.5], [0.1]]})
    assert comparisons.duels(*results.both)["result"].tolist() == ["tie", "tie"]


@pytest.mark.parametrize(("seeds", "result", "p"), [(2, "tie", 1.0), (5, "tie", 1.0), (6, "win", 2 / 64)])
def test_a_constant_difference_says_no_more_than_its_signs(
    results: Results, seeds: int, result: str, p: float
) -> None:
    board(results, {"fds": [[0.75] * seeds], "tpe": [[0.5] * seeds]})
    row = comparisons.duels(*results.both).iloc[0]
    assert (row["result"], row["p"]) == (result, p)


def test_the_correction_is_over_all_problems(results: Results) -> None:
    board(results, {"fds": [[0.75] * 6, [0.75] * 6], "tpe": [[0.5] * 6, [0.5] * 6]})
    assert comparisons.duels(*results.both)["p"].tolist() == [4 / 64, 4 / 64]


def test_a_failed_seed_has_no_accuracy_and_one_that_ended_with_nothing_guessed(results: Results) -> None:
    board(results, {"fds": [[0.8] * 7], "tpe": [[0.9] * 5]})
    results.add("tpe", 5, [], problem="p0", status="failed").add("tpe", 6, [], problem="p0")
    row = comparisons.duels(results.reports, results.runs.assign(classes=10.0)).iloc[0]
    assert row["seeds"] == 6
    assert row["difference"] == pytest.approx(-0.1)
