"""Greedy modes: HD, MARTHE and RTHO are one recursion; one-pass looks through the fixed point."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import relative_error, tiny_dataset
from torch import Tensor

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.online import OnlineMode, OnlineResult, one_value_space
from hpobench_fds.hypergradient.outer import Outer, OuterOptions, Plain, build_outer
from hpobench_fds.nn.network import Tape
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace, Vector
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.state import DIVERGED
from hpobench_fds.training.trainer import Trainer

EXACT = 1e-8  # relative error in float64
EVERYTHING = 10**6  # validation examples for a move: all there are
INITIAL = {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.02, "beta1": 0.7, "beta2": 0.8, "eps": 0.05}


def trainer_of(
    horizon: int = 9,
    *,
    model: str = "mlp",
    shape: tuple[int, int, int] = (1, 8, 8),
    optimiser: str = "sgd",
    windows: int = 1,
    high: float = 2.0,
    initial: dict[str, float] | None = None,
    **config: object,
) -> Trainer:
    """A tiny float64 problem that learns everything, from values of the usual size."""
    start = INITIAL | (initial or {})
    space = {
        name: HyperparameterSpace(windows=windows, low=-high, high=high, initial=start[name])
        for name in RULES[optimiser].defaults
    }
    settings = ProblemConfig(
        dataset="tiny", model=model, horizon=horizon, batch_size=8, dtype="float64",
        validation_fraction=0.2, space=space, optimiser=optimiser, **config,
    )  # fmt: skip
    return Trainer(Problem(settings, tiny_dataset(shape)), 0, Clock())


class Still(Outer):
    """Never moves, so that the training is one of constant values."""

    def _move(self, gradient: Vector) -> Vector:
        return np.zeros_like(gradient)


def still(trainer: Trainer) -> Outer:
    return Still(OuterOptions(), one_value_space(trainer.problem.space))


def moving(trainer: Trainer, size: float = 1e-3) -> Outer:
    space = one_value_space(trainer.problem.space)
    return Plain(OuterOptions(kind="plain", step=dict.fromkeys(space.learned, size)), space)


def reference(trainer: Trainer, values: np.ndarray, discount: float) -> np.ndarray:
    """Z' = mu A Z + B for SGD, hyperparameter by hyperparameter, with products by autograd.

    ``values`` [T, 3] are those in force; a row of hypergradients for each step.
    """
    p, data, clip = trainer.problem, trainer.data(0), trainer.problem.config.gradient_clip
    w, v = trainer.start(0).w, torch.zeros(p.network.size, dtype=torch.float64)
    dw, dv = [torch.zeros_like(w)] * 3, [torch.zeros_like(w)] * 3
    rows = []
    for t, (lr, momentum, decay) in enumerate(values.tolist()):
        leaf = w.clone().requires_grad_()
        loss = p.network.loss(leaf, *data.batch(t))
        raw = torch.autograd.grad(loss, leaf, create_graph=True)[0]
        products = [torch.autograd.grad(raw @ d, leaf, retain_graph=True)[0] for d in dw]
        g = raw.detach()
        if clip is not None:  # where the gradient is clamped its derivative is zero
            products = [torch.where(g.abs() <= clip, product, 0.0) for product in products]
            g = g.clamp(-clip, clip)
        new_v = momentum * v + g + decay * w
        direct = [torch.zeros_like(w), v, w]  # of v' in each hyperparameter
        new_dv = [discount * (momentum * dv[h] + products[h] + decay * dw[h]) + direct[h] for h in range(3)]
        dw = [discount * dw[h] - lr * new_dv[h] - (new_v if h == 0 else 0) for h in range(3)]
        dv, w, v = new_dv, w - lr * new_v, new_v
        rows.append([float(outer_gradient(trainer, w) @ d) for d in dw])
    return np.array(rows)


def adapted(trainer: Trainer, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MARTHE's mu of each step and the hypergradients for SGD, in scalars and with products by autograd.

    ``values`` [T, 3] are those in force; the last move's is of no effect on any of them.
    """
    p, data = trainer.problem, trainer.data(0)
    w, v = trainer.start(0).w, torch.zeros(p.network.size, dtype=torch.float64)
    dw, dv = [torch.zeros_like(w)] * 3, [torch.zeros_like(w)] * 3
    mu, memory, mus, rows = 0.0, 0.0, [], []
    for t, (lr, momentum, decay) in enumerate(values.tolist()):
        mus.append(mu)
        leaf = w.clone().requires_grad_()
        raw = torch.autograd.grad(p.network.loss(leaf, *data.batch(t)), leaf, create_graph=True)[0]
        products = [torch.autograd.grad(raw @ d, leaf, retain_graph=True)[0] for d in dw]
        g = raw.detach()
        new_v = momentum * v + g + decay * w
        direct = [torch.zeros_like(w), v, w]  # of v' in each hyperparameter
        new_dv = [mu * (momentum * dv[h] + products[h] + decay * dw[h]) + direct[h] for h in range(3)]
        dw = [mu * dw[h] - lr * new_dv[h] - (new_v if h == 0 else 0) for h in range(3)]
        dv, w, v = new_dv, w - lr * new_v, new_v
        outer = outer_gradient(trainer, w)
        rows.append([float(outer @ d) for d in dw])
        if t + 1 < len(values):
            share = min(max(values[t + 1, 0] / float(outer @ g), 0.0), 1.0)
            memory = (memory if mu > 0 else 0.0) + mu
            mu = share ** (1 / (memory + 1))
    return np.array(mus), np.array(rows)


def outer_gradient(trainer: Trainer, w: Tensor) -> Tensor:
    data = trainer.data(0)
    leaf = w.clone().requires_grad_()
    loss = trainer.problem.network.loss(leaf, data.x_validation, data.y_validation)
    return torch.autograd.grad(loss, leaf)[0]


def assert_rows(found: np.ndarray, truth: np.ndarray) -> None:
    assert found.shape == truth.shape
    for one, other in zip(found, truth, strict=True):
        assert relative_error(one, other) < EXACT
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-10 * np.abs(truth).max())


# ---------------------------------------------------------------------------------------------- the two ends


@pytest.mark.parametrize(
    ("model", "shape", "optimiser"),
    [
        ("mlp", (1, 8, 8), "sgd"),
        ("mlp", (1, 8, 8), "nesterov"),
        ("mlp", (1, 8, 8), "adam"),
        ("mlp", (1, 8, 8), "adamw"),
        ("wrn-10-1", (3, 8, 8), "sgd"),
    ],
)
def test_without_discount_each_move_sees_forward_mode_s_hypergradient_over_the_steps_so_far(
    model: str, shape: tuple[int, int, int], optimiser: str
) -> None:
    """RTHO. As long as nothing moves, the values have been in force throughout."""
    trainer = trainer_of(6, model=model, shape=shape, optimiser=optimiser)
    result = OnlineMode(discount=1.0, validation_batch=EVERYTHING)(trainer, still(trainer), 0)
    assert result.ending == "ok"
    assert len(result.hypergradients) == 6
    for steps in (1, 2, 6):
        shorter = trainer_of(steps, model=model, shape=shape, optimiser=optimiser)
        truth = ForwardMode()(shorter, shorter.problem.space.initial, 0).gradient
        assert truth is not None
        assert relative_error(result.hypergradients[steps - 1], truth) < EXACT
    if optimiser == "sgd":
        assert result.products == len(trainer.problem.space.learned) * 5  # before step 0 tangents are zero


def test_with_full_discount_each_move_sees_what_its_own_step_did() -> None:
    """HD: -v' . g, -lr v . g and -lr w . g, with g the validation gradient at the new weights."""
    trainer = trainer_of(9)
    result = OnlineMode(discount=0.0, validation_batch=EVERYTHING)(trainer, still(trainer), 0)
    p, data, (lr, momentum, decay) = trainer.problem, trainer.data(0), (0.1, 0.7, 0.02)
    w, v = trainer.start(0).w, torch.zeros(p.network.size, dtype=torch.float64)
    truth = []
    for t in range(9):
        leaf = w.clone().requires_grad_()
        g = torch.autograd.grad(p.network.loss(leaf, *data.batch(t)), leaf)[0]
        new_v = momentum * v + g + decay * w
        new_w = w - lr * new_v
        outer = outer_gradient(trainer, new_w)
        truth.append([-float(new_v @ outer), -lr * float(v @ outer), -lr * float(w @ outer)])
        w, v = new_w, new_v
    assert_rows(result.hypergradients, np.array(truth))


@pytest.mark.parametrize("lr", [0.1, 0.005])
def test_an_adaptive_discount_is_set_anew_at_each_move(lr: float) -> None:
    trainer = trainer_of(14, initial={"lr": lr})
    mode = OnlineMode(adaptive=True, validation_batch=EVERYTHING)
    result = mode(trainer, moving(trainer, size=1e-3), 0)
    mus, truth = adapted(trainer, result.values)
    assert_rows(result.hypergradients, truth)
    assert mus[0] == 0.0
    assert 0.0 < mus[1:].max() <= 1.0
    if lr < 0.1:
        assert 0.0 < mus[1] < 1.0  # neither of the two ends
    assert result.products == 3 * 13
    with pytest.raises(ValueError, match="exclude"):
        OnlineMode(adaptive=True, neumann_terms=1)


def test_hypergradient_descent_needs_no_products() -> None:
    trainer = trainer_of(60)
    result = OnlineMode()(trainer, moving(trainer), 0)
    assert result.products == trainer.clock.cost.products == 0
    evaluation = 12 / 8 / 3
    assert trainer.clock.cost.gradient_equivalents == pytest.approx(60 + 60 * 8 / 8 + evaluation)


# -------------------------------------------------------------------------------------- between the two ends


@settings(max_examples=8, deadline=None)
@given(discount=st.floats(0, 1), horizon=st.integers(1, 12), size=st.sampled_from([1e-9, 1e-3, 1e-2]))
def test_a_discount_is_the_recursion_spelled_out(discount: float, horizon: int, size: float) -> None:
    """Whether values move on the way or hardly at all."""
    trainer = trainer_of(horizon)
    result = OnlineMode(discount=discount, validation_batch=EVERYTHING)(trainer, moving(trainer, size), 0)
    assert result.ending == "ok"
    assert_rows(result.hypergradients, reference(trainer, result.values, discount))


@pytest.mark.parametrize("discount", [0.0, 0.6, 1.0])
def test_with_gradient_clipping_it_is_that_recursion_as_well(discount: float) -> None:
    trainer = trainer_of(9, gradient_clip=0.02)
    result = OnlineMode(discount=discount, validation_batch=EVERYTHING)(trainer, still(trainer), 0)
    assert_rows(result.hypergradients, reference(trainer, result.values, discount))
    free = OnlineMode(discount=discount, validation_batch=EVERYTHING)(trainer_of(9), still(trainer), 0)
    assert relative_error(free.hypergradients[-1], result.hypergradients[-1]) > 0.1


def test_the_discount_matters() -> None:
    rows = []
    for discount in (0.0, 0.5, 0.9, 1.0):
        trainer = trainer_of(9)
        rows.append(OnlineMode(discount=discount)(trainer, still(trainer), 0).hypergradients[-1])
    for one, other in pairwise(rows):
        assert relative_error(one, other) > 0.01


# ----------------------------------------------------------------------------------------------------- moves


@pytest.mark.parametrize(("every", "moves"), [(1, 10), (3, 3), (10, 1), (11, 0)])
def test_values_move_after_every_so_many_steps_as_the_outer_optimiser_says(every: int, moves: int) -> None:
    trainer = trainer_of(10)
    result = OnlineMode(discount=0.9, every=every)(trainer, moving(trainer, 0.01), 0)
    assert result.values.shape == (10, 3)
    assert result.hypergradients.shape == (moves, 3)
    outer = moving(trainer, 0.01)
    value = outer.space.to_vector(outer.space.initial)
    for step in range(10):
        np.testing.assert_array_equal(result.values[step], value)
        if (step + 1) % every == 0:
            value = outer.step(value, result.hypergradients[(step + 1) // every - 1])


def test_values_stay_in_bounds() -> None:
    trainer = trainer_of(40, initial={"lr": 0.05})
    result = OnlineMode()(trainer, moving(trainer, 50.0), 0)
    assert np.abs(result.values).max() <= 2.0
    assert np.abs(result.values).max() > 0.7


def test_moves_that_are_still_leave_the_plain_training() -> None:
    trainer = trainer_of(60, model="mlp")
    for options in ({}, {"discount": 1.0}, {"neumann_terms": 2, "every": 10}):
        result = OnlineMode(**options)(trainer, still(trainer), 3)
        state = trainer.start(3)
        trainer.train(state, trainer.problem.space.initial)
        assert torch.equal(result.state.w, state.w)
        assert torch.equal(result.state.slots, state.slots)
        assert result.evaluation == trainer.evaluate(state)


def test_validation_batches_do_not_touch_running_statistics() -> None:
    trainer = trainer_of(5, model="wrn-10-1", shape=(3, 8, 8))
    result = OnlineMode(discount=0.5)(trainer, still(trainer), 0)
    state = trainer.start(0)
    trainer.train(state, trainer.problem.space.initial)
    assert torch.equal(result.state.buffers, state.buffers)


def test_a_move_sees_the_validation_examples_asked_for() -> None:
    """A batch of the training's size by default, drawn anew; no more than there are (12)."""
    rows = {}
    for size in (None, 8, 3, 12, EVERYTHING):
        trainer = trainer_of(4)
        rows[size] = OnlineMode(validation_batch=size)(trainer, still(trainer), 0).hypergradients
        cost = trainer.clock.cost.gradient_equivalents
        assert cost == pytest.approx(4 + 4 * min(size or 8, 12) / 8 + 12 / 8 / 3)
    assert np.array_equal(rows[None], rows[8])
    assert np.array_equal(rows[12], rows[EVERYTHING])
    assert relative_error(rows[3], rows[12]) > 0.01
    assert relative_error(rows[8], rows[12]) > 0.01


def test_it_is_reproducible_to_the_last_bit() -> None:
    runs = []
    for trial in (1, 1, 2):
        trainer = trainer_of(20)
        outer = build_outer(OuterOptions(kind="adam"), one_value_space(trainer.problem.space))
        outer.steps = outer.steps * 0.02
        runs.append(OnlineMode(discount=0.9)(trainer, outer, trial))
    assert np.array_equal(runs[0].values, runs[1].values)
    assert torch.equal(runs[0].state.w, runs[1].state.w)
    assert not np.array_equal(runs[0].values, runs[2].values)


# ------------------------------------------------------------------------------ the trajectory as a schedule


def result_of(values: np.ndarray) -> OnlineResult:
    state = trainer_of(1).start(0)
    return OnlineResult("ok", values, np.zeros((0, values.shape[1])), DIVERGED, state)


def space_of(lr: int, momentum: int) -> ScheduleSpace:
    return ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=lr, low=-20, high=20),
            "momentum": HyperparameterSpace(windows=momentum, low=-1, high=200),
            "weight_decay": HyperparameterSpace(initial=0.3, learn=False),
        }
    )


def test_a_trajectory_becomes_the_means_over_the_windows() -> None:
    steps = np.arange(10.0)
    schedule = result_of(np.stack([steps, 10 * steps], 1)).schedule(space_of(3, 2), 10)
    # floor(3 t / 10): steps 0-3, 4-6, 7-9
    assert schedule["lr"] == pytest.approx((1.5, 5.0, 8.0))
    assert schedule["momentum"] == pytest.approx((20.0, 70.0))
    assert schedule["weight_decay"] == (0.3,)


def test_a_window_without_a_step_keeps_the_value_before() -> None:
    schedule = result_of(np.array([[1.0, 5.0], [2.0, 6.0]])).schedule(space_of(4, 1), 2)
    assert schedule["lr"] == (1.0, 1.0, 2.0, 2.0)
    assert schedule["momentum"] == (5.5,)


def test_of_a_training_that_ended_early_later_windows_keep_the_last_value() -> None:
    """Its six steps are the first windows', not a picture of the whole training."""
    values = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0], [7.0, 5.0], [9.0, 5.0], [11.0, 5.0]])
    schedule = result_of(values).schedule(space_of(5, 1), 20)
    assert schedule["lr"] == pytest.approx((4.0, 10.0, 10.0, 10.0, 10.0))
    assert schedule["momentum"] == (5.0,)


def test_one_value_space_keeps_ranges_and_what_is_learned() -> None:
    space = space_of(3, 2)
    single = one_value_space(space)
    assert single.names == ["lr[0]", "momentum[0]"]
    assert single.spaces["weight_decay"] == space.spaces["weight_decay"]
    assert (single.low.tolist(), single.high.tolist()) == ([-20, -1], [20, 200])


# -------------------------------------------------------------------------------------------------- one-pass


@pytest.mark.parametrize("terms", [1, 2, 5])
@pytest.mark.parametrize("every", [1, 2])
def test_one_pass_is_the_neumann_sum_with_a_dense_hessian(terms: int, every: int) -> None:
    """sum_{j <= terms} (I - lr (H + decay))^j of the step's batch, times what the step did to w."""
    trainer = trainer_of(4, shape=(1, 2, 2))
    result = OnlineMode(neumann_terms=terms, every=every, validation_batch=EVERYTHING)(
        trainer, still(trainer), 0
    )
    p, data, (lr, momentum, decay) = trainer.problem, trainer.data(0), (0.1, 0.7, 0.02)
    w, v = trainer.start(0).w, torch.zeros(p.network.size, dtype=torch.float64)
    truth = []
    for t in range(4):
        x, y = data.batch(t)
        leaf = w.clone().requires_grad_()
        g = torch.autograd.grad(p.network.loss(leaf, x, y), leaf)[0]
        dense = torch.func.hessian(partial(p.network.loss, x=x, y=y))(w)
        new_v = momentum * v + g + decay * w
        new_w = w - lr * new_v
        term = total = outer_gradient(trainer, new_w)
        for _ in range(terms):
            term = term - lr * (dense @ term + decay * term)
            total = total + term
        if (t + 1) % every == 0:
            truth.append([-float(new_v @ total), -lr * float(v @ total), -lr * float(w @ total)])
        w, v = new_w, new_v
    assert_rows(result.hypergradients, np.array(truth))
    assert result.products == trainer.clock.cost.products == terms * (4 // every)


def test_one_pass_and_a_discount_exclude_each_other() -> None:
    trainer = trainer_of(4)
    with pytest.raises(ValueError, match="exclude"):
        OnlineMode(discount=0.5, neumann_terms=2)(trainer, still(trainer), 0)


# ----------------------------------------------------------------------------------- when it does not arrive


@pytest.mark.parametrize(
    "options", [{}, {"discount": 1.0}, {"neumann_terms": 2}], ids=["hd", "rtho", "one-pass"]
)
def test_a_training_that_diverges_is_told_with_its_step(options: dict[str, float]) -> None:
    initial = {"lr": 1e200, "momentum": 0.0, "weight_decay": 0.0}
    trainer = trainer_of(120, high=1e300, initial=initial)
    step = trainer.train(trainer.start(0), trainer.problem.space.initial).diverged_at
    result = OnlineMode(**options)(trainer, still(trainer), 0)
    assert (result.ending, result.diverged_at) == ("diverged", step)
    assert result.evaluation == DIVERGED
    assert len(result.values) == result.state.step == trainer.problem.look_every
    assert np.isfinite(result.values).all()  # no NaN reached the outer step
    assert trainer.problem.space.contains(result.schedule(trainer.problem.space, 120))


def test_a_tangent_that_overflows_moves_nothing_and_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(120)
    trainer.problem.look_every = 50
    network, calls = trainer.problem.network, iter(range(1, 1000))
    products = network.products

    def overflowing(w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        products(w, tape, directions, out)
        if next(calls) >= 60:
            out.flat[3] = math.nan

    monkeypatch.setattr(network, "products", overflowing)
    result = OnlineMode(discount=1.0)(trainer, moving(trainer), 0)
    assert (result.ending, result.diverged_at) == ("ok", None)
    assert result.evaluation == trainer.evaluate(result.state) != DIVERGED
    assert result.overflow_at is not None
    assert 60 <= result.overflow_at <= 61
    assert np.isfinite(result.hypergradients[: result.overflow_at]).all()
    assert not np.isfinite(result.hypergradients[-1]).all()
    assert np.isfinite(result.values).all()
    assert (result.values[result.overflow_at + 1 :] == result.values[result.overflow_at + 1]).all()


def test_it_stops_when_the_budget_is_spent() -> None:
    trainer = trainer_of(120)
    trainer.problem.look_every = 50
    trainer.budget = Budget(trainer.clock, steps=40)
    result = OnlineMode()(trainer, still(trainer), 0)
    assert (result.ending, result.diverged_at) == ("out of budget", None)
    assert result.state.step == len(result.values) == trainer.clock.cost.inner_steps == 50


def test_a_budget_that_ends_with_the_training_does_not_cut_it_off() -> None:
    trainer = trainer_of(60)
    trainer.budget = Budget(trainer.clock, steps=60)
    assert OnlineMode()(trainer, still(trainer), 0).ending == "ok"
