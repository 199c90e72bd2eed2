"""The schedule that looks one step ahead, beside the one that is best over the horizon.

Wu et al., Understanding short-horizon bias in stochastic meta-optimization (ICLR 2018): on a noisy quadratic
the greedy learning rate is dropped at once, where the best one is kept high and dropped late. Both are
without momentum and weight decay here; the greedy one has a value for each inner step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hpobench_fds.training.expected import EV, ORDER, VV, ExpectedTraining
from hpobench_fds.training.optimum import optimum_of
from hpobench_fds.training.problem import ProblemConfig, load_problem


@dataclass(frozen=True)
class Course:
    """A schedule of learning rates [T], and expected losses [T + 1]: before the first step, after each."""

    name: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]


def problem_config(horizon: int, batch_size: int, windows: int) -> ProblemConfig:
    """The built-in stream; the learning rate alone is tuned, from 0 to 2."""
    return ProblemConfig.model_validate(
        {
            "dataset": "gaussian_stream", "model": "linear", "loss": "squared_error",
            "horizon": horizon, "batch_size": batch_size,
            "space": {"lr": {"windows": windows, "low": 0.0, "high": 2.0, "initial": 0.1}},
        }
    )  # fmt: skip


def training_of(config: ProblemConfig) -> ExpectedTraining:
    training = ExpectedTraining.of(load_problem(config)[0])
    assert training is not None
    return training


def course(name: str, training: ExpectedTraining, rates: list[float]) -> Course:
    """What a schedule of learning rates comes to, step by step."""
    moments = training.start()
    losses = [float(training.loss_at(moments))]
    for step in training.steps(_values(rates)):
        moments = step @ moments
        losses.append(float(training.loss_at(moments)))
    return Course(name, tuple(rates), tuple(losses))


def greedy(training: ExpectedTraining, horizon: int) -> Course:
    """At each step the rate after which the expected loss is least.

    That loss is a parabola in the rate: with v' the step's velocity, E[(e - lr v')^2] summed over H.
    """
    d, moments, rates = training.stream.inputs, training.start(), list[float]()
    spectrum = torch.tensor(training.stream.spectrum, dtype=torch.float64)
    still = training.steps(_values([0.0]))[0]  # which gives E[e v'] and E[v'^2], and moves nothing
    for _ in range(horizon):
        pushed = still @ moments
        slope, bend = (spectrum @ pushed[of * d : (of + 1) * d] for of in (EV, VV))
        rates.append(float(slope / bend))
        moments = training.steps(_values(rates[-1:]))[0] @ moments
    return course("greedy, a step ahead", training, rates)


def best(config: ProblemConfig, name: str) -> Course:
    """The best schedule of a problem's windows."""
    problem, _ = load_problem(config)
    found = optimum_of(problem)
    assert found is not None
    rates = [found.schedule.at("lr", t, problem.horizon) for t in range(problem.horizon)]
    return course(name, training_of(config), rates)


def courses(horizon: int, batch_size: int) -> list[Course]:
    """The best schedules of twenty and of seven windows, the best constant, and the greedy one."""
    many, seven, one = (problem_config(horizon, batch_size, n) for n in (20, 7, 1))
    return [
        best(many, "best of twenty windows"),
        best(seven, "best of seven windows"),
        best(one, "best constant"),
        greedy(training_of(many), horizon),
    ]


def _values(rates: list[float]) -> Tensor:
    """[n, 3] of ``ORDER``, all but the rate 0."""
    assert ORDER[0] == "lr"
    table = torch.zeros(len(rates), len(ORDER), dtype=torch.float64)
    table[:, 0] = torch.tensor(rates, dtype=torch.float64)
    return table
