"""A hypergradient of each stretch of a training, held against that of the training that ends with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import relative_error, some_schedule, tiny_trainer

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.reverse import ReverseMode, SlidingMode, stretches
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.trainer import Trainer

EXACT = 1e-8
HORIZON = 9


def value_each_step(horizon: int, optimiser: str) -> Trainer:
    many = len(RULES[optimiser].defaults)
    return tiny_trainer(horizon=horizon, windows=(horizon,) * many, optimiser=optimiser, gradient_clip=0.1)


def first_steps(schedule: Schedule, steps: int) -> Schedule:
    return Schedule.of({name: schedule[name][:steps] for name in schedule.names})


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("steps", [1, 4])
def test_each_stretch_s_is_that_of_a_training_that_ends_with_it(steps: int, optimiser: str) -> None:
    trainer = value_each_step(HORIZON, optimiser)
    schedule = some_schedule(trainer, lr=0.01)
    found = SlidingMode(steps)(trainer, schedule, 1)
    assert found.gradient is not None
    rows = found.gradient.reshape(-1, HORIZON)
    for begin, end in stretches(HORIZON, steps):
        shorter = value_each_step(end, optimiser)
        truth = ReverseMode(last=end - begin)(shorter, first_steps(schedule, end), 1).gradient
        assert truth is not None
        assert relative_error(rows[:, begin:end], truth.reshape(-1, end)[:, begin:]) < EXACT
    state = trainer.start(1)
    Trainer(trainer.problem, 0, Clock()).train(state, schedule)
    assert (state.w == found.state.w).all()


def test_in_one_stretch_it_is_the_hypergradient() -> None:
    trainer = tiny_trainer(horizon=HORIZON)
    truth = ForwardMode()(trainer, some_schedule(trainer), 0).gradient
    assert truth is not None
    for steps in (HORIZON, 50):
        found = SlidingMode(steps)(trainer, some_schedule(trainer), 0).gradient
        assert found is not None
        assert relative_error(found, truth) < EXACT


def test_the_first_stretch_is_the_short_one() -> None:
    assert stretches(9, 4) == [(0, 1), (1, 5), (5, 9)]
    assert stretches(8, 4) == [(0, 4), (4, 8)]
    assert stretches(3, 9) == [(0, 3)]


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_it_costs_and_holds_what_was_said(steps: int) -> None:
    trainer, mode = tiny_trainer(horizon=HORIZON), SlidingMode(steps)
    found = mode(trainer, some_schedule(trainer), 0)
    validation = 12 / 8 * (math.ceil(HORIZON / steps) + 1 / 3)
    cost = trainer.clock.cost.gradient_equivalents - validation
    assert cost == pytest.approx(mode.cost(trainer.problem, HORIZON))
    assert found.peak_bytes == mode.held(trainer.problem, HORIZON)
    assert found.products == trainer.clock.cost.products == HORIZON


def test_a_training_that_diverges_is_told() -> None:
    trainer = tiny_trainer(horizon=40)
    found = SlidingMode(5)(trainer, some_schedule(trainer, lr=1e150), 0)
    assert (found.ending, found.gradient) == ("diverged", None)
    assert np.isinf(found.evaluation.loss)
