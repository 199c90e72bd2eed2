"""AutoLRS: its forecaster on planted series, its process against scikit-learn's, and what it applies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hpobench_fds.methods.autolrs import BOUNDS, GRID, AutoLRS, Process, chosen, forecast, stages
from oracles import tiny_dataset
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from test_gradient_methods import Ears, run
from test_hdm import quadratic

from hpobench_fds.method import Report, Task
from hpobench_fds.schedule import HyperparameterSpace, Vector
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer

SPACE = {
    "lr": HyperparameterSpace(windows=3, low=1e-3, high=2.0, initial=0.05, scale="log"),
    "momentum": HyperparameterSpace(windows=2, low=0.0, high=0.9, initial=(0.3, 0.6)),
    "weight_decay": HyperparameterSpace(low=0.0, high=0.1, initial=0.01),
}


def problem_of(space: dict[str, HyperparameterSpace] | None = None, **config: Any) -> Problem:
    settings = {
        "dataset": "tiny", "horizon": 60, "batch_size": 8, "dtype": "float64", "validation_fraction": 0.2,
        "space": space or SPACE,
    }  # fmt: skip
    return Problem(ProblemConfig.model_validate(settings | config), tiny_dataset())


# ------------------------------------------------------------------------------------------------- forecasts

X = np.arange(100.0)


def decay(x: Vector | float, time: float) -> Any:
    """0.8 exp(-x / time) + 0.5."""
    return 0.8 * np.exp(-np.asarray(x) / time) + 0.5


@pytest.mark.parametrize(("time", "error"), [(1000, 2e-3), (500, 9e-3), (200, 0.03), (50, 0.06)])
def test_a_planted_decay_is_found_as_far_as_a_parabola_goes(time: float, error: float) -> None:
    """The spline of losses of the order 1 is one parabola: the more a series bends the less it fits."""
    for at in (200, 1000):
        assert forecast(X, decay(X, time), at) == pytest.approx(decay(at, time), abs=error)


@pytest.mark.parametrize("time", [50, 200])
def test_what_its_spline_hands_on_is_fitted_by_the_least_squares_there_are(time: float) -> None:
    """Against a search over all rates of scipy's general least squares."""
    from scipy.interpolate import UnivariateSpline
    from scipy.optimize import curve_fit

    y = decay(X, time)
    smooth = UnivariateSpline(X, y, k=2)(X)  # none of its points is a spike: what is left out changes little
    best, error = np.zeros(3), math.inf
    for start in np.geomspace(1e-4, 1, 20):
        found, _ = curve_fit(
            lambda x, a, b, c: a * np.exp(-b * x) + c, X, smooth, p0=(1, start, 0), maxfev=9999
        )
        left = float(((found[0] * np.exp(-found[1] * X) + found[2] - smooth) ** 2).sum())
        if left < error:
            best, error = found, left
    theirs = best[0] * math.exp(-best[1] * 400) + best[2]
    assert forecast(X, smooth, 400, rounds=0) == pytest.approx(theirs, abs=1e-4)


def test_noise_averages_out_and_spikes_in_the_first_half_are_left_out() -> None:
    rng, found, spiked = np.random.default_rng(0), [], []
    for _ in range(40):
        y = decay(X, 200) + 0.005 * rng.standard_normal(100)
        found.append(forecast(X, y, 300))
        spikes = y.copy()
        spikes[rng.choice(40, 3, replace=False) + 5] += 2.0
        spiked.append(forecast(X, spikes, 300))
    truth = decay(300, 200)
    assert np.mean(found) == pytest.approx(truth, abs=0.03)
    assert np.abs(np.array(spiked) - truth).mean() < 2 * np.abs(np.array(found) - truth).mean()
    assert abs(forecast(X, spikes, 300, rounds=0) - truth) > 5 * np.abs(np.array(found) - truth).mean()


def test_one_validation_loss_is_left_out_and_few_losses_are_not_extrapolated() -> None:
    x = np.arange(1.0, 17.0)
    y = decay(x, 40)
    spiked = y.copy()
    spiked[4] += 3.0
    assert forecast(x, spiked, 160, rounds=1) == pytest.approx(forecast(x, y, 160, rounds=1), abs=0.02)
    assert forecast(x[:4], y[:4], 160) == y[3]


def test_what_does_not_move_is_expected_to_stay_and_what_rises_to_rise() -> None:
    assert forecast(X, np.full(100, 0.7), 1000) == pytest.approx(0.7)
    assert forecast(X, 1.0 - decay(X, 100) / 2, 300) > 1.0 - decay(99, 100) / 2


# ---------------------------------------------------------------------------------------------- what is tried


def test_its_process_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    x, y, at = rng.random(7), rng.random(7), rng.random(5)
    theta = np.log([1.5, 0.4, 0.05])
    gp = Process(x, y, theta)
    kernel = ConstantKernel(1.5) * Matern(0.4, nu=2.5) + WhiteKernel(0.05)
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(x[:, None], gp.y)
    mean, sd = gp.posterior(at)
    expected, deviation = theirs.predict(at[:, None], return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    np.testing.assert_allclose(sd**2 + 0.05, deviation**2, rtol=1e-9)  # theirs has a new loss's noise
    value, slope = gp.cost(theta)
    likelihood, gradient = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(-likelihood)
    np.testing.assert_allclose(slope, -gradient, rtol=1e-7)


def test_what_is_fitted_is_as_likely_as_anything_and_within_bounds() -> None:
    rng = np.random.default_rng(1)
    x = np.linspace(0, 1, 9)
    gp = Process(x, (x - 0.4) ** 2 + 0.01 * rng.standard_normal(9))
    everywhere = rng.uniform(*BOUNDS.T, size=(3000, 3))
    assert gp.cost(gp.theta)[0] <= min(gp.cost(theta)[0] for theta in everywhere)
    assert all(low <= value <= high for value, (low, high) in zip(gp.theta, BOUNDS, strict=True))
    assert np.isfinite(Process(x, np.ones(9)).theta).all()


@pytest.mark.parametrize("kappa", [0.0, 1.0, 1e6])
def test_the_next_rate_has_the_least_bound_of_all_that_were_not_tried(kappa: float) -> None:
    rng = np.random.default_rng(2)
    for count in range(1, 10):
        rates = rng.choice(GRID, count, replace=False)
        losses = (rates - 0.3) ** 2 + 0.001 * rng.standard_normal(count)
        at = np.linspace(0, 1, 20001)  # twenty times as fine
        mean, sd = Process(rates, losses).posterior(at)
        bound = np.where(np.abs(at[:, None] - rates).min(axis=1) < 5e-4, np.inf, mean - kappa * sd)
        found = chosen(rates, losses, kappa)
        assert found not in rates
        near = np.abs(at - found) < 6e-4
        assert bound[near].min() <= bound.min() + 1e-3 * np.ptp(bound[np.isfinite(bound)])


def test_at_its_own_kappa_the_rates_fill_the_range() -> None:
    rates = np.array([0.5])
    for _ in range(8):
        rates = np.append(rates, chosen(rates, (rates - 0.4) ** 2, 1e6))
    assert np.diff(np.sort(rates)).max() < 0.3
    assert {0.0, 1.0} <= set(rates.tolist())


# --------------------------------------------------------------------------------------- what a stage applies


def first_stage(trainer: Trainer, **options: Any) -> tuple[list[Vector], Report]:
    """The schedules that its candidates had, as vectors, and the report of the stage."""
    tried: list[Vector] = []

    class Watched(AutoLRS):
        def _tried(self, task: Task, course: Any, schedule: Any, begin: int, end: int) -> float | None:
            tried.append(task.space.to_vector(schedule))
            return super()._tried(task, course, schedule, begin, end)

    ears = Ears(trainer.clock, dies_after=1)
    with pytest.raises(KeyboardInterrupt):
        Watched(AutoLRS.Options(**options)).run(Task(trainer, ears, method_name="autolrs"))
    return tried, ears.reports[0]


def measured(trainer: Trainer, tried: list[Vector]) -> list[float]:
    """The validation loss of each when it is trained to the stage's end."""
    losses = []
    for vector in tried:
        state = trainer.start(0)
        ending = trainer.train(state, trainer.problem.space.from_vector(vector)).ending
        losses.append(trainer.evaluate(state).loss if ending == "ok" else math.inf)
    return losses


@pytest.mark.parametrize("losses", ["training", "validation"])
@pytest.mark.parametrize("kappa", [0.5, 1e6])
@pytest.mark.parametrize("spectrum", [(1.0, 1.0, 1.0), (1.0, 0.3, 0.1)])
def test_on_a_noiseless_quadratic_it_applies_the_candidate_that_is_best_when_all_are_trained(
    losses: str, kappa: float, spectrum: tuple[float, ...]
) -> None:
    """Of rates with which a tenth of the stage is not yet all of the way."""
    trainer, _ = quadratic(spectrum, 100, {"low": 1e-4, "high": 0.02, "initial": 1e-3, "scale": "log"})
    tried, report = first_stage(trainer, losses=losses, kappa=kappa)
    assert len(tried) == len({float(vector[0]) for vector in tried}) == 10
    found = measured(trainer, tried)
    assert report.evaluation.loss == min(found) < 0.5 * max(found)


@pytest.mark.parametrize("losses", ["training", "validation"])
def test_of_rates_of_all_kinds_it_applies_one_that_gets_there_and_none_that_diverges(losses: str) -> None:
    lr = {"low": 1e-3, "high": 10.0, "initial": 0.01, "scale": "log"}
    trainer, hessian = quadratic((1.0, 1.0, 1.0), 100, lr)
    tried, report = first_stage(trainer, losses=losses)
    found = measured(trainer, tried)
    assert max(found) > 1e6
    assert report.evaluation.loss < 1e-4 * trainer.evaluate(trainer.start(0)).loss
    (rate,) = report.schedule.as_dict()["lr"]
    assert 0.0 < float(hessian[0, 0]) * rate < 2.0


def test_stages_are_windows_and_what_is_reported_is_a_schedule_that_gives_its_weights() -> None:
    problem = problem_of()
    assert stages(problem) == [(0, 0, 20), (1, 20, 40), (2, 40, 60)]
    ears = run(AutoLRS(), problem, trainings=8)
    assert [report.fidelity for report in ears.reports[:4]] == pytest.approx([1 / 3, 2 / 3, 1, 1 / 3])
    for number, report in enumerate(ears.reports):
        trial, stage = divmod(number, 3)
        assert report.state is not None
        trainer = Trainer(problem, 0, Clock())
        again = trainer.start(trial)
        trainer.train(again, report.schedule, until=report.state.step)
        assert torch.equal(again.w, report.state.w)
        values = report.schedule.as_dict()
        assert values["momentum"] == [0.3, 0.6]
        assert values["weight_decay"] == [0.01]
        assert len(set(values["lr"][stage:])) == 1
        if stage:  # what was applied stays
            assert values["lr"][:stage] == ears.reports[number - 1].schedule.as_dict()["lr"][:stage]


def test_candidates_cost_what_they_train_and_the_clock_counts_it() -> None:
    problem = problem_of()
    trainer = Trainer(problem, 0, Clock())
    tried, report = first_stage(trainer)
    assert tried[0][0] == pytest.approx(0.05)  # the initial rate
    assert (tried[3][:3] == tried[3][0]).all()
    assert trainer.clock.cost.inner_steps == 10 * 5 + 20  # SHORTEST steps are more than a tenth of 20
    evaluation = problem.validation_size / 8 / 3
    assert trainer.clock.cost.gradient_equivalents == pytest.approx(70 + evaluation)
    first_stage(other := Trainer(problem, 0, Clock()), losses="validation")
    assert other.clock.cost.inner_steps == 70
    assert other.clock.cost.gradient_equivalents == pytest.approx(70 + (10 * 5 + 1 + 1) * evaluation)
    assert report.evaluation.loss < Trainer(problem, 0, Clock()).evaluate(trainer.start(0)).loss


@pytest.mark.parametrize("losses", ["training", "validation"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(losses: str) -> None:
    def method() -> AutoLRS:
        return AutoLRS(AutoLRS.Options(losses=losses, candidates=4))

    problem = problem_of()
    whole = run(method(), problem, trainings=8)
    for dies_after in (2, 3, 4):
        first = run(method(), problem, trainings=8, dies_after=dies_after)
        rest = run(method(), problem, trainings=8, after=first)
        together = first.reports + rest.reports
        assert len(together) == len(whole.reports)
        for one, other in zip(together, whole.reports, strict=True):
            assert (one.schedule, one.evaluation, one.extra) == (
                other.schedule,
                other.evaluation,
                other.extra,
            )


def test_where_every_rate_diverges_the_next_training_begins() -> None:
    space = SPACE | {"lr": HyperparameterSpace(windows=3, low=1e60, high=1e90, initial=1e80, scale="log")}
    ears = run(AutoLRS(), problem_of(space), trainings=12)
    assert len(ears.reports) > 1
    for trial, report in enumerate(ears.reports):
        assert math.isinf(report.evaluation.loss)
        assert report.state is not None
        assert report.state.trial == trial


def test_it_says_what_it_cannot_run_on() -> None:
    fixed = SPACE | {"lr": HyperparameterSpace(initial=0.1, learn=False)}
    assert "not learned" in str(AutoLRS().skip(problem_of(fixed)))
    curve = SPACE | {"lr": HyperparameterSpace(family="cosine", low=0.0, high=1.0, initial=0.1)}
    assert "cosine" in str(AutoLRS().skip(problem_of(curve)))


def test_of_more_windows_than_steps_those_without_steps_are_no_stages() -> None:
    many = SPACE | {"lr": HyperparameterSpace(windows=9, low=1e-3, high=1.0, initial=0.05, scale="log")}
    problem = problem_of(many, horizon=6)
    assert [end - begin for _, begin, end in stages(problem)] == [1] * 6
    clock = Clock()
    trainer = Trainer(problem, 0, clock, Budget(clock, steps=300))
    ears = Ears(clock)
    AutoLRS().run(Task(trainer, ears, method_name="autolrs"))
    assert ears.reports[5].fidelity == 1.0
