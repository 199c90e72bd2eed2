"""Paired tests and their correction, and effect sizes with planted differences."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import comparisons
from hpobench_fds.analysis.stats.effects import effects
from hpobench_fds.analysis.stats.frames import NoAnswer
from planted_boards import board
from scipy import stats

NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.005, -0.005, 0.015]


def test_holm_of_known_numbers() -> None:
    np.testing.assert_allclose(comparisons.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert comparisons.holm(np.array([0.9, 0.8])).max() == 1.0


def test_p_values_are_paired() -> None:
    base = np.array([0.1, 0.25, 0.3, 0.5, 0.7, 0.8, 0.9])  # far apart between seeds, a point apart within
    better = base + 0.01 + np.array([0, 1e-3, -1e-3, 5e-4, -5e-4, 2e-4, 7e-4])
    expected = stats.wilcoxon(better, base, method="exact").pvalue
    assert comparisons.paired_p(better - base) == pytest.approx(expected)


@pytest.mark.parametrize(("seeds", "p"), [(2, 1.0), (5, 1.0), (6, 2 / 64)])
def test_a_constant_difference_says_no_more_than_its_signs(seeds: int, p: float) -> None:
    assert comparisons.paired_p(np.full(seeds, 0.25)) == p


# ---- effect sizes ---------------------------------------------------------------------------------------


def test_planted_effects_have_their_direction_their_interval_and_their_outcome(results: Results) -> None:
    good, bad, even = [0.9 + e for e in NOISE], [0.5 - e for e in NOISE], [0.9 - e for e in NOISE]
    board(results, {"fds": [good, good, bad], "tpe": [bad, even, good]})
    table = effects(*results.both)
    assert table["outcome"].tolist() == ["below", "undecided", "above"]
    assert table["difference"].tolist() == pytest.approx([-0.4, 0.0, 0.4], abs=0.02)
    assert (table["low"] <= table["difference"]).all()
    assert (table["difference"] <= table["high"]).all()
    assert (table["least"] <= table["low"]).all()
    assert (table["high"] <= table["most"]).all()
    assert (table["reference"] == "fds").all()


def test_another_reference_turns_the_effect_round(results: Results) -> None:
    board(results, {"fds": [[0.9 + e for e in NOISE]], "tpe": [[0.5 + e for e in NOISE]]})
    (mine,), (its,) = (effects(*results.both, reference=m)["difference"] for m in ("fds", "tpe"))
    assert mine == pytest.approx(-its)


def test_few_seeds_have_a_range_and_no_claim(results: Results) -> None:
    board(results, {"fds": [[0.9, 0.8, 0.9]], "tpe": [[0.5, 0.5, 0.4]]})
    (row,) = effects(*results.both).to_dict("records")
    assert (row["outcome"], row["seeds"]) == ("few", 3)
    assert np.isnan([row["low"], row["high"]]).all()
    assert (row["least"], row["most"]) == pytest.approx((-0.5, -0.3))


def test_without_the_reference_the_highest_is_it(results: Results) -> None:
    board(results, {"bohb": [[0.5] * 3], "tpe": [[0.7] * 3]})
    assert effects(*results.both)["reference"].tolist() == ["tpe"]


def test_the_correction_is_over_all_problems(results: Results) -> None:
    board(results, {"fds": [[0.75] * 6, [0.75] * 6], "tpe": [[0.5] * 6, [0.5] * 6]})
    assert effects(*results.both)["p"].tolist() == [4 / 64, 4 / 64]


def test_a_failed_seed_has_no_accuracy_and_one_that_ended_with_nothing_guessed(results: Results) -> None:
    board(results, {"fds": [[0.8] * 7], "tpe": [[0.9] * 5]})
    results.add("tpe", 5, [], problem="p0", status="failed").add("tpe", 6, [], problem="p0")
    row = effects(results.reports, results.runs.assign(classes=10.0)).iloc[0]
    assert row["seeds"] == 6
    assert row["difference"] == pytest.approx(0.1)


def test_nothing_in_common_is_a_reason(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("tpe", 1, [(1, 0.9)])
    with pytest.raises(NoAnswer, match="same seeds"):
        effects(*results.both)
