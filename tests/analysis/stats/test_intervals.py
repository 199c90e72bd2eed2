"""Quantiles and intervals, against every resample and against numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hpobench_fds.analysis.stats.intervals import mean_interval, median_interval, quantile
from hypothesis import given
from hypothesis import strategies as st

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


def test_mean_and_t_interval_of_known_numbers() -> None:
    mean, half = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)  # t(0.975, 2) = 4.3027, sd = 1


def test_a_single_seed_has_no_interval_and_none_has_no_mean() -> None:
    mean, half = mean_interval(np.array([0.5]))
    assert mean == 0.5
    assert np.isnan(half)
    assert np.isnan(mean_interval(np.array([]))).all()
