"""What greediness costs on the problem whose best schedule is known."""

from __future__ import annotations

import numpy as np
import pytest
from hpobench_fds.benchmarks.known.greedy import best, course, greedy, problem_config, training_of

from hpobench_fds.schedule import Schedule

HORIZON = 40
CONFIG = problem_config(HORIZON, batch_size=8, windows=5)
TRAINING = training_of(CONFIG)


def test_a_course_ends_where_its_schedule_does() -> None:
    rates = np.linspace(0.5, 0.01, HORIZON).tolist()
    schedule = Schedule.of({"lr": rates, "momentum": 0.0, "weight_decay": 0.0})
    found = course("falling", TRAINING, rates)
    assert found.losses[-1] == pytest.approx(TRAINING.loss(schedule, HORIZON), rel=1e-13)
    assert len(found.losses) == HORIZON + 1


def test_no_other_rate_is_better_a_step_ahead() -> None:
    found = greedy(TRAINING, HORIZON)
    for step in (0, 1, 10, HORIZON - 1):
        for factor in (0.9, 0.99, 1.01, 1.1):
            other = [*found.rates[:step], factor * found.rates[step]]
            assert course("other", TRAINING, other).losses[-1] > found.losses[step + 1]


def test_the_best_keeps_the_rate_high_and_drops_it_late_and_the_greedy_drops_it_at_once() -> None:
    planned, short = best(CONFIG, "best"), greedy(TRAINING, HORIZON)
    assert planned.losses[-1] < short.losses[-1]
    assert planned.losses[5] > short.losses[5]  # at first the greedy one is ahead
    assert min(planned.rates[: HORIZON // 2]) > max(short.rates[3:])
    assert short.rates[HORIZON // 4] < short.rates[0] / 2
    assert planned.rates[HORIZON // 2] > 0.8 * planned.rates[0]
    assert planned.rates[-1] < planned.rates[0] / 2
