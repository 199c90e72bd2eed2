"""Scores that every library takes, unit coordinates, and searches written as generators."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.method import Outcome, Proposal, at_fidelity, score
from hpobench_fds.nn.losses import CrossEntropy
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace
from hpobench_fds.training.state import DIVERGED, Evaluation


def task(objective: str, classes: int = 10) -> Any:
    return SimpleNamespace(
        problem=SimpleNamespace(
            classes=classes,
            horizon=100,
            config=SimpleNamespace(objective=objective),
            objective=CrossEntropy(),
        )
    )


def outcome(loss: float, accuracy: float, diverged_at: int = 0) -> Outcome:
    if math.isinf(loss):
        return Outcome(0, 100, "diverged", DIVERGED, diverged_at)
    return Outcome(0, 1, "ok", Evaluation(loss, accuracy))


@pytest.mark.parametrize(
    ("objective", "loss", "accuracy", "expected"),
    [
        ("val_loss", 0.7, 0.2, 0.7),
        ("val_loss", 0.0, 0.2, 0.0),
        ("val_loss", 1e30, 0.1, 2 * math.log(10)),
        ("val_loss", math.inf, 0.0, 4 * math.log(10)),
        ("val_accuracy", 0.7, 0.25, 0.75),
        ("val_accuracy", 1e30, 1.0, 0.0),
        ("val_accuracy", math.inf, 0.0, 2.0),
    ],
)
def test_scores_are_minimised_and_finite(
    objective: str, loss: float, accuracy: float, expected: float
) -> None:
    assert score(task(objective), outcome(loss, accuracy)) == expected


@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
def test_nothing_scores_worse_than_divergence_and_that_the_worse_the_earlier_it_came(objective: str) -> None:
    diverged = [score(task(objective), outcome(math.inf, 0.0, at)) for at in (0, 1, 50, 99, 100)]
    assert diverged == sorted(set(diverged), reverse=True)
    assert all(score(task(objective), outcome(loss, 0.0)) <= diverged[-1] for loss in (0.1, 2.3, 50.0, 1e9))


def test_a_stretched_proposal_trains_the_whole_schedule_and_goes_on_from_nothing() -> None:
    schedule = Schedule.of({"lr": [0.1, 0.2]})
    stretched = at_fidelity(schedule, 30, "stretched", resume=4, extra={"rung": 1})
    assert stretched == Proposal(schedule, horizon=30, extra={"rung": 1})
    prefix = at_fidelity(schedule, 30, "prefix", resume=4, extra={"rung": 1})
    assert prefix == Proposal(schedule, until=30, resume=4, extra={"rung": 1})


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_unit_coordinates_are_the_inverse_of_the_spaces(point: list[float]) -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=2, low=1e-4, high=10, initial=0.1, scale="log"),
            "momentum": HyperparameterSpace(windows=2, low=-1.5, high=1.5),
        }
    )
    unit = np.array(point)
    np.testing.assert_allclose(space.to_unit(space.from_unit(unit)), unit, atol=1e-12)
