"""PB2: its Gaussian process against the posterior written out and scikit-learn's, and what it chooses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from closed_form import SPACE, ClosedForm, bowl, gone_on, run, vectors
from hpobench_fds.methods.pb2 import BOUNDS, PB2, TimeVaryingGP
from hpobench_fds.methods.pbt import PBT
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from hpobench_fds.schedule import Vector

X, T, Y = np.array([[0.1, 0.2], [0.7, 0.4], [0.5, 0.9]]), np.array([0.0, 1.0, 1.0]), np.array([1.0, 3.0, 2.0])
THETA = np.array([math.log(1.5), math.log(0.4), math.log(0.05), 0.3])


def k(x: Vector, t: float, other: Vector, time: float) -> float:
    """The paper's kernel with variance 1.5, length 0.4 and epsilon 0.3."""
    return 1.5 * math.exp(-float((x - other) @ (x - other)) / 2 / 0.4**2) * 0.7 ** (abs(t - time) / 2)


def test_its_posterior_is_the_closed_form() -> None:
    gp, at, now = TimeVaryingGP(X, T, Y, THETA), np.array([0.4, 0.5]), 2.0
    K = np.array([[k(X[i], T[i], X[j], T[j]) + 0.05 * (i == j) for j in range(3)] for i in range(3)])
    row = np.array([k(at, now, X[j], T[j]) for j in range(3)])
    y = (Y - 2) / math.sqrt(2 / 3)
    mean, sd = gp.posterior(at[None], now, np.empty((0, 2)))
    assert mean[0] == pytest.approx(row @ np.linalg.inv(K) @ y)
    assert sd[0] ** 2 == pytest.approx(1.5 - row @ np.linalg.inv(K) @ row)
    normal = -0.5 * y @ np.linalg.inv(K) @ y - 0.5 * math.log(np.linalg.det(2 * math.pi * K))
    assert gp.cost(THETA) == pytest.approx(-normal)


def test_one_point_alone() -> None:
    """s / (s + noise) of what was seen there, less with every generation since: both in closed form."""
    gp = TimeVaryingGP(np.array([[0.5], [0.5]]), np.array([0.0, 90.0]), np.array([1.0, -1.0]), THETA)
    mean, sd = gp.posterior(np.array([[0.5]]), 2.0, np.empty((0, 1)))
    assert mean[0] == pytest.approx(1.5 * 0.7 / 1.55, rel=1e-6)  # the other is 88 generations away
    assert sd[0] ** 2 == pytest.approx(1.5 - (1.5 * 0.7) ** 2 / 1.55, rel=1e-6)


def test_without_time_it_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    x, y, at = rng.random((20, 3)), rng.random(20), rng.random((5, 3))
    theta = np.append(THETA[:3], 0.0)
    gp = TimeVaryingGP(x, rng.random(20) * 9, y, theta)
    kernel = ConstantKernel(1.5) * RBF(0.4) + WhiteKernel(0.05)
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(x, gp.y)
    mean, sd = gp.posterior(at, 3.0, np.empty((0, 3)))
    expected, deviation = theirs.predict(at, return_std=True)
    np.testing.assert_allclose(mean, expected)
    np.testing.assert_allclose(sd**2 + 0.05, deviation**2)  # theirs has the noise of a new training
    assert -gp.cost(theta) == pytest.approx(theirs.log_marginal_likelihood_value_)


def test_points_taken_lower_the_deviation_as_if_seen_and_leave_the_mean() -> None:
    gp, at = TimeVaryingGP(X, T, Y, THETA), np.array([[0.2, 0.8], [0.9, 0.1]])
    taken = np.array([[0.25, 0.75]])
    mean, sd = gp.posterior(at, 2.0, np.empty((0, 2)))
    same, less = gp.posterior(at, 2.0, taken)
    seen = TimeVaryingGP(np.vstack([X, taken]), np.append(T, 2.0), np.append(Y, 7.0), THETA)
    np.testing.assert_allclose(same, mean)
    np.testing.assert_allclose(less, seen.posterior(at, 2.0, np.empty((0, 2)))[1])
    assert less[0] < 0.5 * sd[0]


def test_what_is_fitted_is_likelier_and_within_bounds() -> None:
    rng = np.random.default_rng(1)
    x, t = rng.random((60, 2)), np.repeat(np.arange(6.0), 10)
    y = np.sin(5 * x[:, 0]) * 0.6**t + 0.05 * rng.standard_normal(60)
    gp = TimeVaryingGP(x, t, y)
    assert gp.cost(gp.theta) < gp.cost(np.array([0.0, math.log(0.5), math.log(0.1), 0.1]))
    assert all(low <= value <= high for value, (low, high) in zip(gp.theta, BOUNDS, strict=True))
    assert gp.theta[3] > 0.01  # what changes with time is seen to
    assert np.isfinite(TimeVaryingGP(x, t, np.ones(60)).theta).all()  # nobody gains anything


def test_it_chooses_the_largest_upper_confidence_bound() -> None:
    """Gains are largest at an lr of 0.7 of its range; momentum has begun and cannot be chosen."""
    method = PB2(PB2.Options(c1=0.0))
    task = ClosedForm(method)
    method.setup(task)
    for lr in np.linspace(0, 1, 5):
        for momentum in np.linspace(0, 1, 5):
            vector = SPACE.to_vector(SPACE.from_unit(np.array([lr, lr, lr, momentum])))
            method.learn(task, vector, 0, 27, 2.0, 1.5 + (lr - 0.7) ** 2)
    here = SPACE.to_vector(SPACE.from_unit(np.array([0.1, 0.1, 0.1, 0.25])))
    chosen = SPACE.to_unit(SPACE.from_vector(method.explore(task, here, 1, [])))
    assert chosen[:3] == pytest.approx([chosen[0]] * 3)
    assert chosen[0] == pytest.approx(0.7, abs=0.1)
    assert chosen[3] == pytest.approx(0.25)  # its one window has begun, it is what it is


def test_choices_of_a_generation_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """All values gained as much: it is the deviation alone that chooses, and what was chosen has less."""
    method = PB2()
    task = ClosedForm(method)
    method.setup(task)
    theta = np.array([0.0, math.log(0.2), math.log(0.01), 0.0])
    gp = TimeVaryingGP(np.full((8, 2), 0.5), np.zeros(8), np.ones(8), theta)
    monkeypatch.setattr(method, "_model", lambda: gp)
    taken = list[Vector]()
    for _ in range(4):
        taken.append(method.explore(task, SPACE.to_vector(SPACE.initial), 1, taken))
    units = [SPACE.to_unit(SPACE.from_vector(vector))[0] for vector in taken]
    assert min(np.diff(sorted([*units[:2], 0.5]))) > 0.3
    assert min(np.diff(sorted(units))) > 0.1


def by_window(vector: Vector, step: int) -> float:
    """What is best changes on the way: lr of 0.3, of 0.03, of 0.003, each once its window is over."""
    begun = step * 3 // 81
    away = np.log10(vector[:3]) - np.log10([0.3, 0.03, 0.003])
    return 2.0 - 0.5 * float((1 - 0.25 * away[:begun] ** 2).sum()) + 0.1 * float(vector[3] ** 2)


def test_it_gains_more_than_pbt_of_as_many() -> None:
    found: dict[str, list[float]] = {}
    for method in (PB2, PBT):
        for seed in range(4):
            options = method.Options(population=8, exploit=0.25, start_from_initial=False)
            task = run(method(options), 32, loss=by_window, seed=seed)
            found.setdefault(method.name, []).append(min(t.loss for t in task.trained if t.end == 81))
    assert np.median(found["pb2"]) < np.median(found["pbt"])


def test_its_memory_is_bounded_and_it_fits_once_a_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fit = TimeVaryingGP.__init__
    monkeypatch.setattr(
        TimeVaryingGP, "__init__", lambda self, x, t, y: (sizes.append(len(y)), fit(self, x, t, y))[1]
    )
    run(PB2(PB2.Options(memory=20)), 32, loss=by_window)
    assert sizes == [8, 16, 20, 20, 20, 20, 20, 20]


def test_it_stays_in_the_box_and_survives_that_all_or_some_diverge() -> None:
    assert run(PB2(), 8, loss=lambda v, step: math.inf).trained
    task = run(PB2(), 16, loss=lambda v, step: math.inf if v[3] > 0 else bowl(v, step))
    assert any(math.isfinite(t.loss) and t.end == 81 for t in task.trained)


@pytest.mark.parametrize("at", [3, 8, 9, 15, 17, 25])
def test_an_interrupted_run_goes_on(at: int) -> None:
    gone_on(PB2, 16, at, loss=by_window)


def test_the_initial_schedule_is_the_first_member_s() -> None:
    assert vectors(run(PB2(), 3))[0] == tuple(SPACE.to_vector(SPACE.initial))
