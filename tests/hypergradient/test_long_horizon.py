"""Ten thousand float32 steps of real data: forward and checkpointed reverse tell the same story."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from oracles import relative_error

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import PAPER_SPACE, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

HORIZON = 10_000
SCHEDULE = Schedule.of(
    {"lr": [0.02, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01], "momentum": 0.5, "weight_decay": 1e-3}
)
# Both modes differentiate one and the same float32 training, so they differ by the rounding of 10^4
# tangent or adjoint steps alone: measured 4e-5 of the norm, all of it in weight decay (every other
# component within 3e-6). Next to it stands the rounding of the training itself: the float64 hypergradient
# is another training's, measured 4e-2 of the norm away (weight decay by 7 %, any learning rate by 2.2 %).
# That is what conditioning allows; the modes must agree far better than that.
MODES_APART = 4e-4
TRAININGS_APART = 0.15


def trainer(dtype: str) -> Trainer:
    config = ProblemConfig(dataset="digits", horizon=HORIZON, batch_size=64, dtype=dtype, space=PAPER_SPACE)
    return Trainer(load_problem(config)[0], 0, Clock())


@cache
def by_forward(dtype: str) -> Hypergradient:
    return ForwardMode()(trainer(dtype), SCHEDULE, 0)


@cache
def by_reverse(dtype: str) -> Hypergradient:
    return ReverseMode()(trainer(dtype), SCHEDULE, 0)


def gradient_of(result: Hypergradient) -> np.ndarray:
    assert result.ending == "ok"
    assert result.gradient is not None
    return result.gradient


@pytest.mark.slow
def test_both_modes_agree_to_what_rounding_of_one_training_allows() -> None:
    one, other = by_forward("float32"), by_reverse("float32")
    assert one.loss == other.loss  # the same training to the last bit
    assert one.loss < 0.2
    assert relative_error(gradient_of(other), gradient_of(one)) < MODES_APART


@pytest.mark.slow
def test_both_modes_agree_far_better_than_trainings_of_two_precisions() -> None:
    exact, one = gradient_of(by_forward("float64")), gradient_of(by_forward("float32"))
    other = gradient_of(by_reverse("float32"))
    between_trainings = relative_error(one, exact)
    assert 10 * relative_error(other, one) < between_trainings < TRAININGS_APART
    assert relative_error(other, exact) < TRAININGS_APART


@pytest.mark.slow
def test_the_sign_of_every_component_above_the_noise_is_the_exact_one() -> None:
    exact, one = gradient_of(by_forward("float64")), gradient_of(by_forward("float32"))
    other = gradient_of(by_reverse("float32"))
    np.testing.assert_array_equal(np.sign(one), np.sign(other))
    above = np.abs(exact) > np.abs(one - exact).max()
    assert above.sum() >= 8
    np.testing.assert_array_equal(np.sign(one)[above], np.sign(exact)[above])


@pytest.mark.slow
def test_its_stored_states_take_less_than_three_times_the_root_of_the_horizon() -> None:
    result = by_reverse("float32")
    vector = result.state.w.numel() * result.state.w.element_size()
    assert result.peak_bytes / vector == 2 * 140 + 12 < 3 * math.sqrt(HORIZON)
    assert by_forward("float32").peak_bytes == 3 * 9 * vector
