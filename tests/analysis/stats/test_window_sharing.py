"""The noise of hypergradients: estimators against planted truths, and the theorem's bound against algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hpobench_fds.analysis.stats.window_sharing import (
    Constants,
    Floats,
    constants,
    correlations,
    error_of,
    jackknife,
    shared,
    sign_agreement,
    signal_to_noise,
    widths,
    window_counts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hpobench_fds.schedule import window_index
from hpobench_fds.suite.config import load_suite


def planted(seeds: int, mu: Floats, sigma: float = 1.0, c: float = 0.0, rng_seed: int = 0) -> Floats:
    """Normal hypergradients around ``mu``, every two steps with correlation c."""
    rng = np.random.default_rng(rng_seed)
    common, own = rng.normal(size=(seeds, 1)), rng.normal(size=(seeds, len(mu)))
    noise: Floats = mu + sigma * (np.sqrt(c) * common + np.sqrt(1 - c) * own)
    return noise


# ------------------------------------------------------------------------------------------------- sharing


def test_sharing_puts_the_windows_mean_in_the_place_of_each_step() -> None:
    g = np.array([[1.0, 3, 5, 7], [0, 0, 2, 4]])
    np.testing.assert_array_equal(shared(g, 2), [[2, 2, 6, 6], [0, 0, 3, 3]])
    np.testing.assert_array_equal(shared(g, 4), g)
    np.testing.assert_array_equal(shared(g, 1), [[4] * 4, [1.5] * 4])


@given(st.integers(1, 60).flatmap(lambda steps: st.tuples(st.just(steps), st.integers(1, steps))))
def test_windows_are_those_of_the_trainer(case: tuple[int, int]) -> None:
    steps, windows = case
    g = np.random.default_rng(0).normal(size=steps)
    index = np.array([window_index(windows, t, steps) for t in range(steps)])
    np.testing.assert_allclose(shared(g, windows), [g[index == i].mean() for i in index])
    np.testing.assert_array_equal(widths(steps, windows), np.bincount(index))


@pytest.mark.parametrize("windows", [0, 5])
def test_there_are_no_more_windows_than_steps(windows: int) -> None:
    with pytest.raises(ValueError, match=f"{windows} windows over 4 steps"):
        shared(np.zeros((3, 4)), windows)


@given(st.integers(1, 400))
def test_counts_of_windows_go_from_one_a_step_to_one_for_all(steps: int) -> None:
    counts = window_counts(steps)
    assert counts == sorted(set(counts), reverse=True)
    assert (counts[0], counts[-1]) == (steps, 1)
    assert {n for n in range(1, steps + 1) if steps % n == 0} <= set(counts)


# -------------------------------------------------------------------------------------------------- errors


def test_unshared_the_error_is_the_variance_over_seeds() -> None:
    g = planted(20, np.linspace(0, 5, 30))
    error = error_of(g, g)
    assert error.mse == pytest.approx(g.var(0, ddof=1).mean())
    assert error.drift == 0


def test_the_mean_over_many_samples_is_the_true_error() -> None:
    """Eight seeds at a time: their own mean is noisy, and a plain comparison with it would be wrong."""
    mu, sigma, windows = 0.3 * np.arange(12), 1.0, 3
    truth = sigma**2 / 4 + 0.3**2 * (4**2 - 1) / 12
    found, plain = [], []
    for rng_seed in range(400):
        g = planted(8, mu, sigma, rng_seed=rng_seed)
        found.append(error_of(shared(g, windows), g).mse)
        plain.append(np.mean((shared(g, windows) - g.mean(0)) ** 2))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4.5 * error  # by chance once in 150,000 draws
    assert abs(np.mean(plain) - truth) > 10 * error  # so this test sees the bias that it is about


def test_noise_is_not_taken_for_drift() -> None:
    drifts = []
    for rng_seed in range(200):
        g = planted(8, np.zeros(12), rng_seed=rng_seed)
        drifts.append(error_of(shared(g, 3), g).drift)
    assert abs(np.mean(drifts)) < 4.5 * np.std(drifts) / np.sqrt(200)


def test_leaving_a_seed_out_is_what_it_says() -> None:
    g = planted(7, np.linspace(0, 2, 9), c=0.3)
    h = shared(g, 3)
    left_out = [error_of(np.delete(h, s, 0), np.delete(g, s, 0)).mse for s in range(7)]
    np.testing.assert_allclose(error_of(h, g).without, left_out, rtol=1e-9)


def test_the_standard_error_is_the_spread_over_samples() -> None:
    errors = []
    for rng_seed in range(300):
        g = planted(20, 0.2 * np.arange(12), c=0.5, rng_seed=rng_seed)
        errors.append(error_of(shared(g, 3), g))
    spread = np.std([error.mse for error in errors])
    assert np.sqrt(np.mean([error.standard_error**2 for error in errors])) == pytest.approx(spread, rel=0.25)


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=15)
    without = (values.sum() - values) / 14
    assert jackknife(without) == pytest.approx(values.std(ddof=1) / np.sqrt(15))


def test_a_wrong_estimate_is_all_drift() -> None:
    g = planted(10, np.zeros(5))
    error = error_of(np.full_like(g, 3.0), g)
    assert error.variance == 0
    assert error.drift == pytest.approx(9, abs=1.5)


@pytest.mark.parametrize(("estimate", "truth"), [((2, 4), (2, 4)), ((5, 4), (5, 3)), ((4, 4), (5, 4))])
def test_too_few_seeds_or_other_ones_are_refused(estimate: tuple[int, int], truth: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 3 seeds"):
        error_of(np.zeros(estimate), np.zeros(truth))


def test_signs_are_compared_with_the_mean_of_the_other_seeds() -> None:
    truth = np.array([[1.0, -1], [1, 5], [1, -1]])
    # Step 0: all agree. Step 1: the mean of the others is 2, -1 and 2, each of the other sign.
    assert sign_agreement(truth, truth) == 0.5
    assert sign_agreement(np.abs(truth), truth) == pytest.approx(5 / 6)
    assert sign_agreement(np.zeros_like(truth), truth) == 0


def test_signal_to_noise() -> None:
    g = np.array([[1.0, -4, 2], [3, -4, -2]])
    np.testing.assert_allclose(signal_to_noise(g), [2 / np.sqrt(2), np.inf, 0])


# ----------------------------------------------------------------------------------------------- constants


@pytest.mark.parametrize("c", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("epsilon", [0.4, 1.5])
def test_planted_constants_are_recovered(c: float, epsilon: float) -> None:
    found = constants(planted(300, epsilon * np.arange(40), sigma=2.0, c=c, rng_seed=5))
    assert found.variance == pytest.approx(4, rel=0.25)
    assert found.correlation == pytest.approx(c, abs=0.1)
    assert found.drift == pytest.approx(epsilon, abs=0.3)


def test_the_largest_of_unequal_drifts_is_the_one_that_counts() -> None:
    mu = np.where(np.arange(40) < 25, 0.0, 3.0)
    assert constants(planted(100, mu)).drift == pytest.approx(3, abs=0.4)
    assert constants(planted(100, -mu)).drift == pytest.approx(3, abs=0.4)


def test_the_noise_of_few_seeds_is_neither_drift_nor_correlation() -> None:
    found, plain_drift, plain_correlation = [], [], []
    for rng_seed in range(20):
        g = planted(16, np.zeros(60), rng_seed=rng_seed)
        found.append(constants(g))
        plain_drift.append(np.abs(np.diff(g.mean(0))).max())
        plain_correlation.append((correlations(g) - np.eye(60)).max())
    assert np.mean([f.drift for f in found]) < 0.25 * np.mean(plain_drift)
    assert np.mean([f.correlation for f in found]) < 0.25 * np.mean(plain_correlation)


def test_correlations_are_numpys_and_a_constant_step_has_none() -> None:
    g = planted(30, np.zeros(6), c=0.5)
    np.testing.assert_allclose(correlations(g), np.corrcoef(g.T))
    g[:, 2] = 1.0
    assert np.all(correlations(g)[2] == 0)


@pytest.mark.parametrize("shape", [(7, 10), (8, 1)])
def test_constants_need_seeds_and_steps(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 8 and 2"):
        constants(np.zeros(shape))


@pytest.mark.parametrize("epsilon", [0.03, 0.1, 0.4])
def test_a_planted_best_width_is_found(epsilon: float) -> None:
    steps = 240
    g = planted(150, epsilon * np.arange(steps))
    errors = {n: error_of(shared(g, n), g).mse for n in window_counts(steps)}
    best = steps / min(errors, key=lambda n: errors[n])
    planned = (6 / epsilon**2) ** (1 / 3)
    assert planned / 1.4 < best < planned * 1.4


# --------------------------------------------------------------------------------------------- the theorem


def exact(mu: Floats, covariance: Floats) -> float:
    """Mean squared error of putting one window's mean in the place of all its steps."""
    w = len(mu)
    return float(covariance.sum() / w**2 + np.mean((mu.mean() - mu) ** 2))


@given(
    deviations=st.lists(st.floats(0, 3), min_size=1, max_size=12),
    c=st.floats(0, 1),
    epsilon=st.floats(0, 2),
    data=st.data(),
)
@settings(max_examples=200)
def test_no_window_has_more_than_the_bound(
    deviations: list[float], c: float, epsilon: float, data: st.DataObject
) -> None:
    w, sd = len(deviations), np.array(deviations)
    moves = data.draw(st.lists(st.floats(-1, 1), min_size=w, max_size=w))
    correlation = np.full((w, w), c)
    np.fill_diagonal(correlation, 1)
    error = exact(epsilon * np.cumsum(moves), correlation * np.outer(sd, sd))
    bound = Constants(float(np.mean(sd**2)), c, epsilon).bound(w)
    assert error <= bound * (1 + 1e-9) + 1e-12


@given(st.integers(1, 40), st.floats(0, 2), st.floats(0, 1), st.floats(0, 3))
def test_equal_variances_and_the_largest_drift_attain_it(
    w: int, sigma: float, c: float, epsilon: float
) -> None:
    covariance = sigma**2 * np.where(np.eye(w), 1, c)
    error = exact(epsilon * np.arange(w), covariance)
    assert float(Constants(sigma**2, c, epsilon).bound(w)) == pytest.approx(error, rel=1e-9, abs=1e-12)


def test_a_negative_correlation_needs_equal_variances() -> None:
    sd = np.array([1.0, 0.0])
    error = exact(np.zeros(2), np.outer(sd, sd))
    assert error > Constants(0.5, -0.5, 0.0).bound(2)


def test_windows_of_unequal_width_have_the_mean_of_their_bounds() -> None:
    k = Constants(2.0, 0.3, 0.5)
    assert k.bound_over(12, 3) == pytest.approx(float(k.bound(4)))
    assert k.bound_over(5, 2) == pytest.approx((3 * k.bound(3) + 2 * k.bound(2)) / 5)


@given(st.floats(0.1, 5), st.floats(0, 0.99), st.floats(0.01, 1))
def test_the_best_width_is_where_the_bound_is_least(sigma: float, c: float, epsilon: float) -> None:
    k = Constants(sigma**2, c, epsilon)
    grid = np.linspace(1, 2 * k.best_width + 2, 100_001)
    least = grid[np.argmin(k.bound(grid))]
    assert k.best_width == pytest.approx(least, abs=3 * (grid[1] - grid[0]))


def test_the_best_width_without_drift_or_without_noise_that_averages_out() -> None:
    assert Constants(1.0, 0.0, 0.0).best_width == np.inf
    assert Constants(1.0, 1.0, 0.1).best_width == 1
    assert Constants(0.25**2, 0.0, 0.08).best_width == pytest.approx((6 * 0.25**2 / 0.08**2) ** (1 / 3))


# ---------------------------------------------------------------------------------------------- the suites


@pytest.mark.parametrize("name", ["noise", "noise_quick", "paper_svhn_noise"])
def test_every_step_has_a_window_and_the_schedule_is_the_papers_cosine(name: str) -> None:
    suite = load_suite(name)
    ((config, _),) = suite.problems.values()
    lr, momentum, steps = config.space["lr"], config.space["momentum"], config.horizon
    assert steps == lr.windows
    cosine = 0.01 * (1 + np.cos(np.pi * np.arange(lr.windows) / lr.windows)) / 2
    np.testing.assert_allclose(lr.starts, cosine, rtol=1e-4)
    assert (momentum.learn, momentum.initial) == (False, 0.9)
    assert config.gradient_clip == 1
    assert suite.methods["reverse"][1]["outer_steps"] == 1
    assert suite.methods["hd"][1]["frozen"] is True


def test_the_papers_suite_has_its_settings() -> None:
    suite = load_suite("paper_svhn_noise")
    ((config, _),) = suite.problems.values()
    assert len(suite.seeds) == 100
    assert (config.dataset, config.model, config.horizon, config.batch_size) == ("svhn", "lenet", 250, 128)
    assert round(73257 * config.validation_fraction) == suite.methods["hd"][1]["validation_batch"] == 2000
