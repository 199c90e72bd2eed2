"""Every mode says what it covers, holds and costs, and that is what a call then does."""

from __future__ import annotations

import pytest
from oracles import some_schedule, tiny_dataset, tiny_trainer

from hpobench_fds.hypergradient.directional import ForwardGradientMode
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.implicit import ImplicitMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import Trainer

HORIZON = 25
VALIDATION = 12 / 8 * (1 + 1 / 3)  # gradient and evaluation of 12 examples, in batches of 8

MODES: dict[str, Mode] = {
    "forward": ForwardMode(),
    "forward, clipped": ForwardMode(product_clip=0.1),
    "forward gradient": ForwardGradientMode(directions=2),
    "reverse": ReverseMode(),
    "reverse, full": ReverseMode(full=True),
    "reverse, little memory": ReverseMode(memory=900_000),
    "truncated": ReverseMode(last=7),
    "truncated, full": ReverseMode(last=7, full=True),
    "implicit": ImplicitMode(terms=4),
}


def trainer_for(mode: Mode, optimiser: str) -> Trainer:
    """Windows that begin at different steps; for the implicit mode, weight decay alone."""
    windows = (4, 2, 1) if optimiser == "sgd" else (4, 2, 1, 1, 1)
    trainer = tiny_trainer(windows=windows, horizon=HORIZON, optimiser=optimiser)
    if not isinstance(mode, ImplicitMode):
        return trainer
    space = {
        "lr": HyperparameterSpace(initial=0.1, learn=False),
        "weight_decay": HyperparameterSpace(windows=2, initial=0.1),
    }
    p = trainer.problem
    config = p.config.model_copy(update={"space": space})

    return Trainer(Problem(config, tiny_dataset()), 0, Clock())


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("horizon", [HORIZON, 11, 2])
def test_a_call_costs_and_holds_what_was_said(name: str, optimiser: str, horizon: int) -> None:
    mode = MODES[name]
    if isinstance(mode, ImplicitMode) and optimiser == "adam":
        pytest.skip("not covered")
    trainer = trainer_for(mode, optimiser)
    assert mode.uncovered(trainer.problem) is None
    result = mode(trainer, some_schedule(trainer, lr=0.01), 0, horizon)
    assert result.ending == "ok"
    assert result.peak_bytes == mode.held(trainer.problem, horizon)
    cost = trainer.clock.cost.gradient_equivalents - VALIDATION
    assert cost == pytest.approx(mode.cost(trainer.problem, horizon))
    assert trainer.clock.cost.products == result.products > 0


def test_memory_of_forward_mode_is_the_same_at_any_horizon_that_of_full_reverse_mode_grows() -> None:
    p = tiny_trainer(horizon=9).problem
    assert ForwardMode().held(p, 100) == ForwardMode().held(p, 10_000)
    assert ReverseMode(full=True).held(p, 5_000) > 45 * ReverseMode(full=True).held(p, 100)
    assert ReverseMode().held(p, 10_000) < ReverseMode(full=True).held(p, 200)


def test_reverse_mode_costs_the_same_whatever_the_number_of_hyperparameters_forward_mode_does_not() -> None:
    few, many = (tiny_trainer(windows=(n, 1, 1), horizon=100).problem for n in (1, 50))
    assert ReverseMode().cost(few, 100) == ReverseMode().cost(many, 100)
    assert ForwardMode().cost(few, 100) < ForwardMode().cost(many, 100)


def test_modes_with_the_same_options_are_the_same_mode() -> None:
    assert ReverseMode(last=3) == ReverseMode(last=3) != ReverseMode(last=4)
