"""Quantiles, intervals and exact tests: against numpy, scipy, enumeration, and planted truths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hpobench_fds.analysis.stats import intervals
from hpobench_fds.analysis.stats.intervals import (
    median_interval,
    median_spread,
    quantile,
    seeds_needed,
    sign_p,
    signed_rank_interval,
    signed_rank_p,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

finite = st.lists(st.floats(-5, 5), min_size=1, max_size=9)

LAWS = {
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.7, shape), 1.0),
    "bounded": (lambda rng, shape: rng.beta(20, 2, shape), float(stats.beta(20, 2).median())),
    "ties": (lambda rng, shape: np.round(rng.normal(0.9, 0.01, shape), 2), 0.9),
}


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


# ---- of a median ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "rank"), [(1, 0), (5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (20, 6)])
def test_order_statistics_are_those_of_the_published_table(n: int, rank: int) -> None:
    """Conover (1999), table A3, and every textbook: n = 10 takes the second and the ninth value."""
    assert intervals.order_rank(n) == rank


@pytest.mark.parametrize("n", range(1, 6))
def test_below_six_seeds_there_is_no_interval_but_a_range(n: int) -> None:
    values = np.arange(n, dtype=float)
    assert np.isnan(median_interval(values)).all()
    low, high = median_spread(values)
    if n > 1:
        assert (low, high) == (0, n - 1)
    else:
        assert np.isnan(low)


def test_silent_seeds_widen_the_interval_to_where_they_are() -> None:
    low, high = median_interval(np.array([0.5, 0.6, 0.7, 0.8, 0.9, -np.inf]))
    assert (low, high) == (-np.inf, 0.9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [6, 10, 15])
def test_intervals_of_a_median_hold_it_at_least_as_often_as_they_say(n: int, law: str) -> None:
    """2,000 samples. Where the coverage is 95 %, fewer than 92 % of them would have probability 1e-8."""
    draw, truth = LAWS[law]
    low, high = median_interval(draw(np.random.default_rng(n), (n, 2000)))
    assert np.mean((low <= truth + 1e-12) & (truth - 1e-12 <= high)) >= 0.92


# ---- of paired differences ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [6, 7, 10, 13])
def test_the_signed_rank_test_is_scipys_where_there_are_no_ties(n: int) -> None:
    for seed in range(20):
        values = np.random.default_rng(seed).normal(0.3, 1, n)
        assert signed_rank_p(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 2, 0, 3, 3], [0, 0, 0, 1, 1, 1, 2]])
def test_it_errs_no_more_often_than_it_says_with_ties_and_zeros(values: list[float]) -> None:
    """All changes of sign, which are alike under the null."""
    size = np.array(values, float)
    found = np.array(
        [signed_rank_p(size * np.array(s)) for s in itertools.product((1, -1), repeat=len(size))]
    )
    for level in (0.02, 0.05, 0.1, 0.3):
        assert np.mean(found <= level) <= level + 1e-12


@pytest.mark.parametrize("n", [6, 9, 12])
def test_the_interval_excludes_zero_exactly_where_the_test_rejects(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(200):
        values = np.round(rng.normal(0.5, 1, n), 1)
        middle, low, high = signed_rank_interval(values)
        assert low <= middle <= high
        assert (low > 0 or high < 0) == (signed_rank_p(values) <= 0.05)


def test_the_interval_of_known_numbers() -> None:
    # The Walsh averages of 1..6 run from 1 to 6; at n = 6 the interval is their range (P = 1 - 2/64).
    assert signed_rank_interval(np.arange(1.0, 7.0)) == (3.5, 1.0, 6.0)
    assert signed_rank_p(np.arange(1.0, 7.0)) == 2 / 64
    assert np.isnan(signed_rank_interval(np.arange(1.0, 6.0))[1])
    assert np.isnan(signed_rank_interval(np.array([]))[0])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [6, 10])
def test_intervals_of_paired_differences_hold_zero(n: int, law: str) -> None:
    """500 pairs of like methods. At a coverage of 95 %, fewer than 92 % has probability 2e-3."""
    rng, (draw, _), hits = np.random.default_rng(3 + n), LAWS[law], 0
    for _ in range(500):
        one, other = draw(rng, (2, n))
        _, low, high = signed_rank_interval(one - other)
        hits += low <= 1e-12 and high >= -1e-12
    assert hits >= 460


def test_the_sign_test_is_the_binomial_one_and_ties_count_for_nobody() -> None:
    up = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, 0.5])
    assert sign_p(up, up) == pytest.approx(stats.binomtest(7, 8).pvalue)
    tied = np.append(up, [0.0, 0.0])
    assert sign_p(tied, tied) > sign_p(up, up)
    assert sign_p(np.array([1.0, -1.0]), np.array([np.inf, np.inf])) == 1.0


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (12, 9), (78, 12)])
def test_seeds_needed_are_those_whose_clearest_result_is_significant(comparisons: int, seeds: int) -> None:
    assert seeds_needed(comparisons) == seeds
    assert 2 * comparisons * 0.5**seeds <= 0.05
