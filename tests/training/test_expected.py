"""Expected losses in closed form: against every path there is, against the trainer, and by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from hpobench_fds.data.stream import GaussianStream
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.expected import ExpectedTraining
from hpobench_fds.training.optimisers import RULES, Step
from hpobench_fds.training.problem import ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

SCHEDULE = Schedule.of({"lr": [0.3, 0.1, 0.05], "momentum": [0.5, 0.9, 0.2], "weight_decay": [0.3, 0.0, 0.1]})
NODES = 5  # exact for polynomials up to degree 9; each normal number comes up to the 4th power


def config_of(**changes: Any) -> ProblemConfig:
    data = {"dataset": "gaussian_stream", "model": "linear", "loss": "squared_error", "horizon": 30}
    return ProblemConfig.model_validate({**data, "batch_size": 4, "dtype": "float64", **changes})


def expected(**changes: Any) -> ExpectedTraining:
    found = ExpectedTraining.of(load_problem(config_of(**changes))[0])
    assert found is not None
    return found


def every_path(stream: GaussianStream, batch: int, schedule: Schedule, horizon: int, w0: Tensor) -> float:
    """E[loss] from weights w0 by Gauss-Hermite quadrature over all normal numbers of all steps.

    The trainer's own rule takes the steps; nothing is shared with the closed form but the law.
    """
    nodes, weights = hermegauss(NODES)
    table = list(itertools.product(range(NODES), repeat=batch * (stream.inputs + 1)))
    normal = torch.tensor(nodes[np.array(table)]).view(len(table), batch, -1)
    chance = torch.tensor(weights[np.array(table)] / weights.sum()).prod(1)
    h, c = (torch.tensor(one, dtype=torch.float64) for one in (stream.spectrum, stream.signal))
    x = normal[..., :-1] * h.sqrt()
    y = x @ c + stream.noise**0.5 * normal[..., -1]
    rule = RULES["sgd"]
    w, v, p = w0[None], torch.zeros_like(w0)[None], torch.ones(1, dtype=torch.float64)
    for t in range(horizon):
        error = torch.einsum("nbd,kd->knb", x, w) - y  # of every path so far and every batch there is
        g = 2.0 / batch * torch.einsum("knb,nbd->knd", error, x).flatten(0, 1)
        w, v = (one.repeat_interleave(len(table), 0) for one in (w, v))
        hypers = [schedule.at(name, t, horizon) for name in rule.defaults]
        w, slots = rule.update(Step(w, v[None], g, hypers, t))
        v, p = slots[0], (p[:, None] * chance).flatten()
    return float(p @ ((w - c).square() @ h)) + stream.noise


@pytest.mark.parametrize(
    ("stream", "batch", "horizon"),
    [
        (GaussianStream((0.7,), (1.5,), 0.3), 1, 3),
        (GaussianStream((0.7,), (1.5,), 0.3), 2, 2),
        (GaussianStream((1.2, 0.4), (0.8, -1.0), 0.2), 1, 3),
    ],
    ids=["one input", "a batch of two", "two inputs"],
)
def test_it_is_the_mean_over_every_path(stream: GaussianStream, batch: int, horizon: int) -> None:
    training = ExpectedTraining(stream, batch, 0.0)
    truth = every_path(stream, batch, SCHEDULE, horizon, torch.zeros(stream.inputs, dtype=torch.float64))
    assert training.loss(SCHEDULE, horizon) == pytest.approx(truth, rel=1e-12)


def test_the_first_weights_are_random() -> None:
    """Two points of the same variance stand for Xavier's normal: the loss is quadratic in them."""
    stream, variance = GaussianStream((0.7,), (1.5,), 0.3), 0.4
    ends = (torch.tensor([sign * variance**0.5], dtype=torch.float64) for sign in (-1, 1))
    truth = sum(every_path(stream, 1, SCHEDULE, 3, end) for end in ends) / 2
    assert ExpectedTraining(stream, 1, variance).loss(SCHEDULE, 3) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 7, 30, 500])
def test_powers_of_a_step_are_steps(horizon: int) -> None:
    training = expected()
    steps = [[SCHEDULE.at(name, t, horizon) for name in RULES["sgd"].defaults] for t in range(horizon)]
    one_by_one = training.loss_of(torch.tensor(steps, dtype=torch.float64), [1] * horizon)
    assert training.loss(SCHEDULE, horizon) == pytest.approx(float(one_by_one), rel=1e-12)


def test_a_curve_is_taken_step_by_step() -> None:
    from hpobench_fds.families import Curve

    curve = Curve("cosine", 0.2, 0.1, 0.0, 0.05)
    schedule = Schedule.of({"lr": curve, "momentum": 0.5, "weight_decay": 0.0})
    by_step = Schedule.of({"lr": [curve.at(t, 30) for t in range(30)], "momentum": 0.5, "weight_decay": 0.0})
    assert expected().loss(schedule, 30) == pytest.approx(expected().loss(by_step, 30), rel=1e-13)


@pytest.mark.parametrize(
    "changes",
    [{}, {"batch_size": 1, "horizon": 12}, {"stream": {"spectrum": [1.5, 0.2], "noise": 0.4}}],
    ids=["default", "batch of one", "own spectrum"],
)
def test_it_is_what_the_trainer_comes_to_on_average(changes: dict[str, Any]) -> None:
    """Through the whole of the trainer, seed by seed; four standard errors."""
    schedule = Schedule.of({"lr": [0.15, 0.05], "momentum": 0.6, "weight_decay": 0.05})
    problem, _ = load_problem(config_of(**changes))
    losses = []
    for seed in range(20):
        trainer = Trainer(problem, seed, Clock())
        for trial in range(20):
            state = trainer.start(trial)
            assert trainer.train(state, schedule).ending == "ok"
            losses.append(trainer.evaluate(state).loss)
    closed = expected(**changes).loss(schedule, problem.horizon)
    error = np.std(losses, ddof=1) / len(losses) ** 0.5
    assert abs(np.mean(losses) - closed) < 4 * error
    assert error < 0.1 * closed  # or it would have been no test


def test_without_noise_in_the_gradient_it_is_gradient_descent() -> None:
    """A batch without end: each weight's error shrinks by itself."""
    stream = GaussianStream((1.0, 0.25), (1.0, 2.0), 0.1)
    schedule = Schedule.of({"lr": 0.2, "momentum": 0.0, "weight_decay": 0.0})
    error = [c * (1 - 2 * 0.2 * h) ** 10 for h, c in zip(stream.spectrum, stream.signal, strict=True)]
    truth = sum(h * e * e for h, e in zip(stream.spectrum, error, strict=True)) + 0.1
    assert ExpectedTraining(stream, 10**15, 0.0).loss(schedule, 10) == pytest.approx(truth, rel=1e-12)


def test_what_overflows_is_infinite() -> None:
    schedule = Schedule.of({"lr": 1e3, "momentum": 0.9, "weight_decay": 0.0})
    assert expected().loss(schedule, 500) == float("inf")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp"},
        {"optimiser": "nesterov"},
        {"gradient_clip": 1.0},
        {"dataset": "diabetes", "validation_fraction": 0.2},
    ],
    ids=str,
)
def test_where_there_is_no_closed_form_there_is_none(changes: dict[str, Any]) -> None:
    assert ExpectedTraining.of(load_problem(config_of(**changes))[0]) is None
