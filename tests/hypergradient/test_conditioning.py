"""What a hypergradient is worth: known growth on a quadratic, float64 as truth on an mlp, no false alarm."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from oracles import relative_error, some_schedule, tiny_trainer
from test_quadratic import CURVATURE, Quadratic

from hpobench_fds.hypergradient.conditioning import (
    Conditioning,
    agreement,
    from_growth,
    grown,
    grown_backward,
)
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient, Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.soundness import ILL
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

MODES: list[Mode] = [ForwardMode(), ReverseMode(), ReverseMode(full=True)]


def quadratic(lr: float, horizon: int = 60) -> tuple[Trainer, Schedule]:
    trainer = tiny_trainer(windows=(6, 1, 1), horizon=horizon)
    trainer.problem.network = Quadratic()
    return trainer, Schedule.of({"lr": [lr] * 6, "momentum": 0.0, "weight_decay": 0.0})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lr", [0.84, 0.96])
def test_on_a_quadratic_the_rate_is_that_of_its_steepest_direction(mode: Mode, lr: float) -> None:
    """w - b shrinks or grows by 1 - lr a in each step, and so does what is carried along it."""
    trainer, schedule = quadratic(lr, horizon=300)
    found = mode(trainer, schedule, 0).conditioning
    steepest = np.abs(1 - lr * CURVATURE).max()
    assert found.rate == pytest.approx(math.log(steepest), rel=0.1)
    assert found.growth is not None
    assert found.growth == pytest.approx(math.exp(found.rate * _steps(found)), rel=1e-9)


def _steps(found: Conditioning) -> float:
    assert found.growth is not None
    assert found.rate is not None
    return math.log(found.growth) / found.rate


@pytest.mark.parametrize("mode", MODES)
def test_where_nothing_grows_it_is_sound(mode: Mode) -> None:
    found = mode(*quadratic(0.1), 0).conditioning
    assert found.soundness == "ok"
    assert found.growth is not None
    assert found.growth <= 1.0
    assert found.norm is not None


def test_double_precision_bears_more_growth_before_rounding_reaches_it() -> None:
    gradient = np.ones(3)
    assert from_growth(2 * ILL, 10, gradient).soundness == "ill conditioned"
    assert from_growth(ILL / 2, 10, gradient).soundness == "ok"
    assert from_growth(2 * ILL, 10, gradient, single=False).soundness == "ok"
    assert from_growth(1e20, 10, gradient, single=False).soundness == "ill conditioned"
    assert from_growth(None, 0, gradient) == Conditioning("ok", norm=math.sqrt(3))
    assert from_growth(math.inf, 10, gradient).soundness == "ill conditioned"
    assert from_growth(2.0, 10, None).soundness == "overflow"


def test_growth_is_counted_from_where_a_window_closes() -> None:
    """Before that a tangent grows by what is added to it, and afterwards by itself."""
    norms = [(10, np.array([1.0])), (20, np.array([4.0, 5.0])), (30, np.array([8.0, 50.0, 1.0]))]
    assert grown(norms, [10, 20, 30]) == (10.0, 10)
    assert grown(norms, [10, 30, 30]) == (8.0, 20)
    assert grown(norms, [30, 30, 30]) == (None, 0)
    assert grown([(10, np.array([0.0])), (20, np.array([0.0]))], [10]) == (None, 0)
    assert grown([], []) == (None, 0)


def test_backward_it_is_counted_from_the_end() -> None:
    norms = [(30, np.array([2.0])), (20, np.array([1.0])), (10, np.array([12.0])), (0, np.array([4.0]))]
    assert grown_backward(norms) == (6.0, 20)
    assert grown_backward(norms[:1]) == (None, 0)
    assert grown_backward([(30, np.array([0.0])), (0, np.array([1.0]))]) == (None, 0)


def test_agreement_is_of_signs_and_of_directions() -> None:
    one = np.array([1.0, -2.0, 0.0, 3.0])
    assert agreement(one, one) == (1.0, pytest.approx(1.0))
    assert agreement(one, -one) == (0.25, pytest.approx(-1.0))
    assert agreement(one, np.zeros(4)) == (0.25, 0.0)


def test_held_against_one_of_a_rounding_away_that_decides_not_growth() -> None:
    one = np.array([1.0, -2.0, 3.0])
    warned = from_growth(2000.0, 100, one)
    assert warned.soundness == "ill conditioned"
    assert warned.held_against(one, 1.1 * one) == Conditioning(
        "ok", 2000.0, warned.rate, warned.norm, signs=1.0, cosine=pytest.approx(1.0)
    )
    noise = from_growth(1.0, 100, one).held_against(one, np.array([1.0, 2.0, 0.5]))
    assert noise.soundness == "ill conditioned"
    assert noise.signs == pytest.approx(2 / 3)
    alone = from_growth(1.0, 100, one).held_against(one, None)  # a rounding away there is none
    assert (alone.soundness, alone.signs) == ("ill conditioned", None)


def test_one_large_entry_that_agrees_does_not_outweigh_signs_that_do_not() -> None:
    """A method that follows signs follows all of them alike."""
    one, other = np.array([100.0, 1.0, -1.0, 1.0, 1.0]), np.array([100.0, 1.0, 1.0, -1.0, -1.0])
    found = Conditioning().held_against(one, other)
    assert found.cosine == pytest.approx(1.0, abs=1e-3)
    assert (found.signs, found.soundness) == (0.4, "ill conditioned")
    two_thirds = Conditioning().held_against(one[:3], other[:3])
    assert (two_thirds.signs, two_thirds.soundness) == (pytest.approx(2 / 3), "ok")


# ------------------------------------------------------------ float32 against float64 on real data


@cache
def on_digits(dtype: str, lr: float, momentum: float, horizon: int, reverse: bool = False) -> Hypergradient:
    space = {
        "lr": HyperparameterSpace(windows=10, low=-3, high=3, initial=lr),
        "momentum": HyperparameterSpace(low=-1.5, high=1.5, initial=momentum),
        "weight_decay": HyperparameterSpace(low=-1, high=1, initial=1e-3),
    }
    config = ProblemConfig(
        dataset="digits", model="mlp", horizon=horizon, batch_size=64, dtype=dtype, space=space
    )
    trainer = Trainer(load_problem(config)[0], 0, Clock())
    return (ReverseMode() if reverse else ForwardMode())(trainer, trainer.problem.space.initial, 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sound_hypergradient_in_float32_is_that_of_float64(reverse: bool) -> None:
    truth, found = (on_digits(dtype, 0.05, 0.5, 300, reverse) for dtype in ("float64", "float32"))
    assert found.conditioning.soundness == "ok"
    assert truth.gradient is not None
    assert found.gradient is not None
    assert relative_error(found.gradient, truth.gradient) < 0.05
    assert (np.sign(found.gradient) == np.sign(truth.gradient)).mean() > 0.9


@pytest.mark.parametrize("reverse", [False, True])
def test_one_that_is_rounding_says_so_though_the_training_ends_well(reverse: bool) -> None:
    truth, found = (on_digits(dtype, 0.35, 0.9, 300, reverse) for dtype in ("float64", "float32"))
    assert found.ending == "ok"
    assert found.evaluation.metric > 0.95
    assert found.conditioning.soundness == "ill conditioned"
    assert found.conditioning.growth is not None
    assert found.conditioning.growth > ILL
    assert truth.gradient is not None
    assert found.gradient is not None
    assert relative_error(found.gradient, truth.gradient) > 0.5


def test_two_modes_agree_on_rounding_as_well_which_says_nothing_of_truth() -> None:
    one, other = (on_digits("float32", 0.35, 0.9, 300, reverse) for reverse in (False, True))
    assert one.gradient is not None
    assert other.gradient is not None
    assert relative_error(one.gradient, other.gradient) < 1e-3


# ------------------------------------------------------------ a start that is a rounding away


def test_within_a_rounding_trainings_start_elsewhere_by_no_more_and_always_the_same() -> None:
    trainer = tiny_trainer()
    plain = trainer.start(0).w
    with trainer.a_rounding_away():
        one, other = trainer.start(0).w, trainer.start(0).w
    assert one.equal(other)
    assert not one.equal(plain)
    assert float(((one - plain).abs() / plain.abs().clamp(min=1e-300)).max()) <= 4.5e-16
    assert trainer.start(0).w.equal(plain)


def test_a_problem_is_not_changed_by_it() -> None:
    trainer = tiny_trainer()
    problem: Problem = trainer.problem
    with trainer.a_rounding_away():
        moved = ForwardMode()(trainer, some_schedule(trainer), 0)
    plain = ForwardMode()(trainer, some_schedule(trainer), 0)
    assert moved.gradient is not None
    assert plain.gradient is not None
    assert 0 < relative_error(moved.gradient, plain.gradient) < 1e-10
    assert trainer.problem is problem
