"""The implicit mode on a strictly convex problem, where the optimum can be reached and differentiated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hpobench_fds.methods.implicit import Implicit
from oracles import relative_error, tiny_dataset

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.implicit import ImplicitMode
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.nn.layers import Flatten, Linear, Sequential
from hpobench_fds.nn.network import LayeredNetwork
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.state import DIVERGED, TrainState
from hpobench_fds.training.trainer import Trainer

LR, DECAY, HORIZON, TERMS = 0.3, 0.1, 1100, 1100  # error of each: (1 - 0.3 * 0.1)^1100 < 1e-14


def softmax_regression(
    windows: int = 1, horizon: int = HORIZON, optimiser: str = "sgd", lr: float = LR
) -> Trainer:
    """A linear classifier by full-batch descent; decay makes its loss strictly convex."""
    space = {
        "lr": HyperparameterSpace(initial=lr, learn=False),
        "weight_decay": HyperparameterSpace(windows=windows, low=0.0, high=1.0, initial=DECAY),
    }
    config = ProblemConfig(
        dataset="tiny", horizon=horizon, batch_size=48, dtype="float64", validation_fraction=0.2,
        space=space, optimiser=optimiser,
    )  # fmt: skip
    problem = Problem(config, tiny_dataset((1, 2, 2), classes=3))
    problem.network = LayeredNetwork(Sequential(Flatten(), Linear(4, 3)), (1, 2, 2), 3)
    return Trainer(problem, 0, Clock())


def arrived(trainer: Trainer, decay: float = DECAY) -> TrainState:
    state = trainer.start(0)
    n = trainer.problem.space.learned["weight_decay"].windows
    trainer.train(state, trainer.problem.space.from_vector([decay] * n))
    return state


def hessian(trainer: Trainer, state: TrainState) -> torch.Tensor:
    x, y = trainer.data(0).batch(0)
    dense: torch.Tensor = torch.autograd.functional.hessian(
        lambda w: trainer.problem.network.loss(w, x, y), state.w
    )
    return dense


def test_the_training_arrives_at_the_optimum_of_a_full_batch() -> None:
    """Else what follows would say nothing."""
    trainer = softmax_regression()
    assert len(trainer.data(0).batch(0)[1]) == len(trainer.problem.y) - trainer.problem.validation_size
    state = arrived(trainer)
    gradient = trainer.problem.network.gradient(state.w, *trainer.data(0).batch(0)).gradient
    assert (gradient + DECAY * state.w).abs().max() < 1e-12
    assert state.w.abs().max() > 0.1


def test_with_enough_terms_it_is_the_dense_solve() -> None:
    trainer = softmax_regression()
    result = ImplicitMode(terms=TERMS)(trainer, trainer.problem.space.initial, 0)
    assert result.ending == "ok"
    assert result.gradient is not None
    state = arrived(trainer)
    assert torch.equal(result.state.w, state.w)
    loss, outer = validation_gradient(trainer, state)
    system = hessian(trainer, state) + DECAY * torch.eye(len(state.w), dtype=torch.float64)
    truth = -float(outer @ torch.linalg.solve(system, state.w))
    assert result.gradient[0] == pytest.approx(truth, rel=1e-9)
    assert result.loss == pytest.approx(loss, rel=1e-12)
    assert result.evaluation == trainer.evaluate(state)
    assert result.products == TERMS


def test_it_is_the_finite_difference_of_optima() -> None:
    trainer = softmax_regression()
    result = ImplicitMode(terms=TERMS)(trainer, trainer.problem.space.initial, 0)
    step = 1e-4
    losses = [validation_gradient(trainer, arrived(trainer, DECAY + s * step))[0] for s in (1, -1)]
    assert result.gradient is not None
    assert result.gradient[0] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)


def test_it_is_what_forward_mode_comes_to_in_the_end() -> None:
    trainer = softmax_regression()
    unrolled = ForwardMode()(trainer, trainer.problem.space.initial, 0).gradient
    found = ImplicitMode(terms=TERMS)(trainer, trainer.problem.space.initial, 0).gradient
    assert unrolled is not None
    assert found is not None
    assert relative_error(found, unrolled) < 1e-9


@pytest.mark.parametrize(("terms", "scale"), [(1, None), (4, None), (4, 0.1)])
def test_with_few_terms_it_is_the_series_cut_there(terms: int, scale: float | None) -> None:
    trainer = softmax_regression(horizon=40)  # not at the optimum, and told as if it were
    result = ImplicitMode(terms=terms, scale=scale)(trainer, trainer.problem.space.initial, 0)
    state = arrived(trainer)
    a = LR if scale is None else scale
    one = torch.eye(len(state.w), dtype=torch.float64)
    step = one - a * (hessian(trainer, state) + DECAY * one)
    outer = validation_gradient(trainer, state)[1]
    series = sum((torch.linalg.matrix_power(step, j) @ outer for j in range(terms + 1)), torch.zeros(()))
    assert result.gradient is not None
    assert result.gradient[0] == pytest.approx(-a * float(series @ state.w), rel=1e-10)
    assert trainer.clock.cost.products == result.products == terms


def test_the_whole_derivative_stands_with_the_window_in_force_at_the_end() -> None:
    whole = softmax_regression()
    parts = softmax_regression(windows=4)
    one = ImplicitMode(terms=50)(whole, whole.problem.space.initial, 0).gradient
    four = ImplicitMode(terms=50)(parts, parts.problem.space.initial, 0).gradient
    assert one is not None
    assert four is not None
    assert four[:3].tolist() == [0.0] * 3
    assert four[3] == one[0] != 0


def test_it_is_reproducible_to_the_last_bit() -> None:
    runs = [softmax_regression(horizon=60) for _ in range(2)]
    one, other = (ImplicitMode()(t, t.problem.space.initial, 0).gradient for t in runs)
    assert np.array_equal(one, other)


# ------------------------------------------------------------------------------------ what it does not cover


def learning(names: list[str], optimiser: str = "sgd") -> Problem:
    config = ProblemConfig(
        dataset="tiny", horizon=5, batch_size=8, dtype="float64", validation_fraction=0.2,
        space={name: HyperparameterSpace(low=0.0, high=1.0) for name in names}, optimiser=optimiser,
    )  # fmt: skip
    return Problem(config, tiny_dataset())


@pytest.mark.parametrize(
    ("names", "optimiser", "reason"),
    [
        (["lr"], "sgd", "covers weight_decay only, and the space learns lr"),
        (["lr", "momentum", "weight_decay"], "sgd", "the space learns lr, momentum"),
        (["weight_decay"], "adam", "covers sgd and nesterov, not adam"),
        (["weight_decay"], "adamw", "covers sgd and nesterov, not adamw"),
    ],
)
def test_what_it_cannot_differentiate_it_refuses_before_training(
    names: list[str], optimiser: str, reason: str
) -> None:
    trainer = Trainer(learning(names, optimiser), 0, Clock())
    with pytest.raises(InputError, match=reason):
        ImplicitMode()(trainer, trainer.problem.space.initial, 0)
    assert trainer.clock.cost.inner_steps == 0
    skipped = Implicit().skip(trainer.problem)
    assert skipped is not None
    assert reason in skipped


@pytest.mark.parametrize("optimiser", ["sgd", "nesterov"])
def test_weight_decay_alone_is_covered(optimiser: str) -> None:
    problem = learning(["weight_decay"], optimiser)
    assert ImplicitMode().uncovered(problem) is None
    assert Implicit().skip(problem) is None


def test_nesterov_arrives_at_the_same_optimum() -> None:
    one, other = softmax_regression(), softmax_regression(optimiser="nesterov")
    found = [ImplicitMode(terms=TERMS)(t, t.problem.space.initial, 0).gradient for t in (one, other)]
    assert found[1] == pytest.approx(found[0], rel=1e-9)


# ---------------------------------------------------------------------------- when there is no hypergradient


def test_a_training_that_diverges_is_told_with_its_step() -> None:
    trainer = softmax_regression(horizon=60, lr=1e200)
    result = ImplicitMode()(trainer, trainer.problem.space.initial, 0)
    step = trainer.train(trainer.start(0), trainer.problem.space.initial).diverged_at
    assert (result.ending, result.diverged_at) == ("diverged", step)
    assert result.gradient is None
    assert (result.loss, result.evaluation) == (math.inf, DIVERGED)


def test_a_series_that_overflows_is_no_hypergradient_and_ends_no_training() -> None:
    trainer = softmax_regression(horizon=30)
    result = ImplicitMode(scale=1e40)(
        trainer, Schedule.of({"lr": LR, "momentum": 0.0, "weight_decay": DECAY}), 0
    )
    assert (result.ending, result.diverged_at, result.gradient) == ("ok", None, None)
    assert result.conditioning.soundness == "overflow"
    assert result.evaluation == trainer.evaluate(result.state)


def test_it_stops_when_the_budget_is_spent() -> None:
    trainer = softmax_regression(horizon=120)
    trainer.budget = Budget(trainer.clock, steps=40)
    result = ImplicitMode()(trainer, trainer.problem.space.initial, 0)
    assert result.ending == "out of budget"
    assert result.gradient is None
    assert trainer.clock.cost.products == 0
