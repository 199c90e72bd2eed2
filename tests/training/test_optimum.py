"""The best schedule that there is: by a formula where there is one, and by what makes it one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpobench_fds.training.expected import ExpectedTraining
from hpobench_fds.training.optimum import Optimum, optimum_of
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem

LR = {"windows": 3, "low": 0.0, "high": 1.0, "initial": 0.05}


def problem_of(space: dict[str, Any], **changes: Any) -> Problem:
    data = {"dataset": "gaussian_stream", "model": "linear", "loss": "squared_error", "horizon": 30}
    config = ProblemConfig.model_validate({**data, "batch_size": 8, "space": space, **changes})
    return load_problem(config)[0]


def best(problem: Problem) -> Optimum:
    found = optimum_of(problem)
    assert found is not None
    return found


def loss_at(problem: Problem, vector: np.ndarray) -> float:
    training = ExpectedTraining.of(problem)
    assert training is not None
    return training.loss(problem.space.from_vector(vector), problem.horizon)


def test_of_one_step_it_is_the_formulas() -> None:
    """The expected loss is quadratic in the rate of a single step."""
    problem = problem_of({"lr": {"low": 0.0, "high": 1.0, "initial": 0.05}}, horizon=1)
    stream, batch = problem.stream, problem.batch_size
    assert stream is not None
    h, c = np.array(stream.spectrum), np.array(stream.signal)
    error = c**2 + 2.0 / (len(h) + 1)  # weights about 0, of Xavier's variance
    loss = h @ error + stream.noise
    square = 4 * ((1 + 1 / batch) * h**2 * error + h * loss / batch)  # of the gradient
    rate = (h @ (2 * h * error)) / (h @ square)
    found = best(problem)
    assert found.vector[0] == pytest.approx(rate, rel=1e-9)
    assert found.loss == pytest.approx(loss - (h @ (2 * h * error)) ** 2 / (h @ square), rel=1e-12)


SPACES: list[dict[str, Any]] = [
    {"lr": LR, "momentum": {"low": 0.0, "high": 0.99, "initial": 0.5}},
    {"lr": {**LR, "low": 1e-3, "scale": "log"}, "weight_decay": {"low": 0.0, "high": 0.1, "initial": 0.01}},
    {"lr": LR, "momentum": {"windows": 2, "low": 0.0, "high": 0.9, "initial": 0.5}, "weight_decay": {
        "initial": 1e-2, "learn": False}},
]  # fmt: skip


@pytest.mark.parametrize("space", SPACES, ids=["linear", "log", "windows of two kinds"])
def test_it_is_an_optimum_that_every_start_comes_to(space: dict[str, Any]) -> None:
    problem = problem_of(space)
    found = best(problem)
    assert max(found.starts) - min(found.starts) <= 1e-10
    assert found.slope <= 1e-7
    assert found.loss == pytest.approx(loss_at(problem, found.vector), rel=1e-13)
    low, high = problem.space.low, problem.space.high
    rng = np.random.default_rng(0)
    for width in (1e-4, 1e-2, 0.3):
        for _ in range(10):
            moved = found.vector + width * (high - low) * rng.standard_normal(len(low))
            assert loss_at(problem, np.clip(moved, low, high)) >= found.loss


def test_where_the_best_is_outside_it_is_at_the_bound() -> None:
    problem = problem_of({"lr": {**LR, "high": 0.05, "initial": 0.02}}, horizon=9)
    found = best(problem)
    np.testing.assert_array_equal(found.vector, [0.05, 0.05, 0.05])
    assert found.slope == 0.0


def test_more_windows_are_never_worse() -> None:
    losses = [best(problem_of({"lr": {**LR, "windows": n}})).loss for n in (1, 2, 4)]
    assert losses[0] > losses[1] > losses[2]


def test_a_start_that_diverges_is_no_hindrance() -> None:
    """The widest box of the paper, of which most trains to infinity."""
    space = {
        "lr": {**LR, "low": -1.0, "initial": 0.0},
        "momentum": {"low": -1.5, "high": 1.5, "initial": 0.0},
    }
    narrow = best(problem_of({"lr": LR, "momentum": {"low": 0.0, "high": 1.0, "initial": 0.5}}))
    assert best(problem_of(space)).loss <= narrow.loss + 1e-10


def test_without_a_closed_form_or_with_a_curve_there_is_none() -> None:
    assert optimum_of(problem_of({"lr": LR}, model="mlp")) is None
    curve = {"family": "cosine", "low": 0.01, "high": 1.0, "initial": 0.1}
    assert optimum_of(problem_of({"lr": curve})) is None
