"""Forward mode: exact, constant in memory, and honest about what it cost and why it ended."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    LAYERED,
    autograd_hypergradient,
    finite_differences,
    relative_error,
    some_schedule,
    tiny_dataset,
    tiny_trainer,
)
from torch import Tensor

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.problem import AugmentationConfig, Problem, ProblemConfig
from hpobench_fds.training.state import DIVERGED
from hpobench_fds.training.trainer import Trainer

EXACT = 1e-8  # relative error in float64


def gradient_of(result: Hypergradient) -> np.ndarray:
    assert result.ending == "ok"
    assert result.gradient is not None
    return result.gradient


def assert_exact(trainer: Trainer, schedule: Schedule, trial: int = 0) -> None:
    truth = autograd_hypergradient(trainer, schedule, trial)
    found = gradient_of(ForwardMode()(trainer, schedule, trial))
    assert found.shape == truth.shape
    assert relative_error(found, truth) < EXACT
    # each hyperparameter on its own too: weight decay's share of the whole is not small change
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-10 * np.abs(truth).max())


# ---------------------------------------------------------------------------------------------- it is exact


@st.composite
def runs(draw: st.DrawFn) -> Trainer:
    windows = draw(st.tuples(*[st.integers(1, 4)] * 3))
    return tiny_trainer(
        windows=windows,
        horizon=draw(st.integers(max(windows), 14)),
        batch_size=draw(st.integers(1, 12)),
        seed=draw(st.integers(0, 100)),
    )


@settings(max_examples=15, deadline=None)
@given(trainer=runs(), seed=st.integers(0, 100), trial=st.integers(0, 3))
def test_it_is_autograd_through_the_whole_unrolled_training(trainer: Trainer, seed: int, trial: int) -> None:
    assert_exact(trainer, some_schedule(trainer, seed), trial)


@pytest.mark.parametrize(("model", "shape", "batch"), LAYERED)
def test_it_is_exact_for_convolutions_and_norms(model: str, shape: tuple[int, ...], batch: int) -> None:
    trainer = tiny_trainer(model, shape, windows=(2, 1, 2), horizon=5, batch_size=batch, examples=30)
    assert_exact(trainer, some_schedule(trainer, lr=0.05))


@pytest.mark.parametrize("optimiser", RULES)
def test_it_is_exact_for_every_inner_optimiser(optimiser: str) -> None:
    windows = (3, 2, 1, 2, 1)[: len(RULES[optimiser].defaults)]
    trainer = tiny_trainer(windows=windows, horizon=7, optimiser=optimiser)
    assert_exact(trainer, some_schedule(trainer))


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (-0.05, -0.7, -0.02), (0.0, 1.3, 0.02)])
def test_it_is_exact_at_zero_and_at_negative_values(values: tuple[float, float, float]) -> None:
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=6)
    vector = [value for value, k in zip(values, (3, 2, 1), strict=True) for _ in range(k)]
    schedule = trainer.problem.space.from_vector(vector)
    truth = autograd_hypergradient(trainer, schedule)
    found = gradient_of(ForwardMode()(trainer, schedule, 0))
    np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-10 * np.abs(truth).max())
    assert np.abs(truth[0]) > 0


def test_it_agrees_with_finite_differences_of_the_trainer_to_their_own_accuracy() -> None:
    """Nothing in common with the engine but the training itself; small steps, since ReLU's gradient jumps."""
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=9)
    schedule = some_schedule(trainer)
    found = gradient_of(ForwardMode()(trainer, schedule, 0))
    # central differences lose about eps / step = 1e-9 to rounding, and step^2 to curvature
    assert relative_error(found, finite_differences(trainer, schedule, 1e-6)) < 1e-6


def test_hyperparameters_that_are_not_learned_act_and_have_no_derivative() -> None:
    space = {
        "lr": HyperparameterSpace(windows=3, low=-2, high=2),
        "momentum": HyperparameterSpace(initial=0.8, learn=False),
        "weight_decay": HyperparameterSpace(windows=2, low=-2, high=2),
    }
    config = ProblemConfig(
        dataset="tiny", horizon=7, batch_size=8, dtype="float64", validation_fraction=0.2, space=space
    )
    trainer = Trainer(Problem(config, tiny_dataset()), 0, Clock())
    schedule = some_schedule(trainer)
    assert schedule["momentum"] == (0.8,)
    assert gradient_of(ForwardMode()(trainer, schedule, 0)).shape == (5,)
    assert_exact(trainer, schedule)


def test_augmented_batches_are_those_that_were_trained_on() -> None:
    trainer = tiny_trainer(horizon=7, augmentation=AugmentationConfig(crop_padding=2, flip=True, cutout=2))
    schedule = some_schedule(trainer)
    assert_exact(trainer, schedule)
    plain = gradient_of(ForwardMode()(tiny_trainer(horizon=7), schedule, 0))
    assert relative_error(plain, autograd_hypergradient(trainer, schedule)) > 0.01


@pytest.mark.parametrize("horizon", [6, 17])
def test_stretched_over_another_horizon_it_is_the_hypergradient_of_that_training(horizon: int) -> None:
    trainer, other = tiny_trainer(horizon=9), tiny_trainer(horizon=horizon)
    schedule = some_schedule(trainer)
    result = ForwardMode()(trainer, schedule, 0, horizon=horizon)
    assert result.state.step == horizon
    assert relative_error(gradient_of(result), autograd_hypergradient(other, schedule)) < EXACT


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_a_window_that_no_step_falls_in_has_derivative_zero(horizon: int) -> None:
    """A schedule of many windows over a short horizon, as ``inner_fractions`` makes them."""
    trainer = tiny_trainer(windows=(4, 2, 1), horizon=horizon)
    schedule = some_schedule(trainer)
    truth = autograd_hypergradient(trainer, schedule)
    found = gradient_of(ForwardMode()(trainer, schedule, 0))
    np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-10)
    assert (found[:4] != 0).sum() == horizon


# ------------------------------------------------------------------------------------------------- clipping


def test_with_gradient_clipping_it_is_exact_as_well() -> None:
    trainer, free = tiny_trainer(horizon=8, gradient_clip=0.02), tiny_trainer(horizon=8)
    schedule = some_schedule(trainer)
    assert_exact(trainer, schedule)
    without = autograd_hypergradient(free, schedule)
    assert relative_error(without, autograd_hypergradient(trainer, schedule)) > 0.1


def reference(
    trainer: Trainer, schedule: Schedule, product_clip: float, gradient_clip: float | None
) -> np.ndarray:
    """SGD's tangents one window at a time: dv' = m dv + clip(H dw) + wd dw + ..., dw' = dw - lr dv' - ..."""
    p, data, horizon = trainer.problem, trainer.data(0), trainer.problem.horizon
    w, v = trainer.start(0).w, torch.zeros(p.network.size, dtype=torch.float64)
    windows = [(name, i) for name, values in schedule.values for i in range(len(values))]
    dws, dvs = [torch.zeros_like(w) for _ in windows], [torch.zeros_like(w) for _ in windows]
    for t in range(horizon):
        lr, momentum, decay = (schedule.at(name, t, horizon) for name in ("lr", "momentum", "weight_decay"))
        leaf = w.clone().requires_grad_()
        g = torch.autograd.grad(p.network.loss(leaf, *data.batch(t)), leaf, create_graph=True)[0]
        clipped = g.detach() if gradient_clip is None else g.detach().clamp(-gradient_clip, gradient_clip)
        new_v = momentum * v + clipped + decay * w
        for j, (name, i) in enumerate(windows):
            product = torch.autograd.grad(g @ dws[j], leaf, retain_graph=True)[0]
            if gradient_clip is not None:
                product = torch.where(g.abs() <= gradient_clip, product, 0.0).detach()
            dvs[j] = momentum * dvs[j] + product.clamp(-product_clip, product_clip) + decay * dws[j]
            acts = len(schedule[name]) * t // horizon == i
            dvs[j] = dvs[j] + (v if acts and name == "momentum" else 0)
            dvs[j] = dvs[j] + (w if acts and name == "weight_decay" else 0)
            dws[j] = dws[j] - lr * dvs[j] - (new_v if acts and name == "lr" else 0)
        w, v = w - lr * new_v, new_v
    leaf = w.clone().requires_grad_()
    outer = torch.autograd.grad(p.network.loss(leaf, data.x_validation, data.y_validation), leaf)[0]
    return np.array([float(outer @ dw) for dw in dws])


@pytest.mark.parametrize("gradient_clip", [None, 0.02])
def test_products_are_clamped_elementwise_if_asked_for(gradient_clip: float | None) -> None:
    trainer = tiny_trainer(horizon=8, gradient_clip=gradient_clip)
    schedule = some_schedule(trainer)
    exact = gradient_of(ForwardMode()(trainer, schedule, 0))
    clipped = gradient_of(ForwardMode(product_clip=0.01)(trainer, schedule, 0))
    assert relative_error(clipped, reference(trainer, schedule, 0.01, gradient_clip)) < EXACT
    assert relative_error(clipped, exact) > 0.01  # a bias that can be seen
    # a limit that nothing reaches changes nothing, and the reference without one is right
    wide = gradient_of(ForwardMode(product_clip=1e9)(trainer, schedule, 0))
    assert np.array_equal(wide, exact)
    assert relative_error(exact, reference(trainer, schedule, 1e9, gradient_clip)) < EXACT


# -------------------------------------------------------------------------------------- the training itself


@pytest.mark.parametrize("model", ["mlp", "wrn-10-1"])
def test_its_training_is_the_trainer_s_to_the_last_bit(model: str) -> None:
    trainer = tiny_trainer(model, horizon=11)
    schedule = some_schedule(trainer)
    result = ForwardMode()(trainer, schedule, 2)
    state = trainer.start(2)
    trainer.train(state, schedule)
    assert result.state.trial == 2
    assert result.state.step == state.step == 11
    for one, other in ((result.state.w, state.w), (result.state.slots, state.slots)):
        assert torch.equal(one, other)
    assert torch.equal(result.state.buffers, state.buffers)
    assert result.evaluation == trainer.evaluate(state)
    assert result.loss == validation_gradient(trainer, state)[0]
    assert result.diverged_at is None


def test_the_loss_that_is_differentiated_takes_batch_norm_in_training_mode() -> None:
    trainer = tiny_trainer("wrn-10-1", horizon=4)
    result = ForwardMode()(trainer, some_schedule(trainer), 0)
    data = trainer.data(0)
    loss = trainer.problem.network.loss(result.state.w, data.x_validation, data.y_validation)
    assert result.loss == pytest.approx(loss.item(), rel=1e-10)
    assert result.loss != pytest.approx(result.evaluation.loss, rel=1e-3)


def test_it_is_reproducible_to_the_last_bit_whatever_ran_before() -> None:
    trainer, fresh = tiny_trainer(horizon=12), tiny_trainer(horizon=12)
    schedule = some_schedule(trainer)
    first = gradient_of(ForwardMode()(trainer, schedule, 1))
    ForwardMode()(trainer, some_schedule(trainer, 3), 0)
    assert np.array_equal(gradient_of(ForwardMode()(trainer, schedule, 1)), first)
    assert np.array_equal(gradient_of(ForwardMode()(fresh, schedule, 1)), first)
    assert not np.array_equal(gradient_of(ForwardMode()(fresh, schedule, 2)), first)
    assert not np.array_equal(
        gradient_of(ForwardMode()(tiny_trainer(horizon=12, seed=1), schedule, 1)), first
    )


# --------------------------------------------------------------------------------------------- cost, memory


@settings(max_examples=8, deadline=None)
@given(windows=st.tuples(*[st.integers(1, 4)] * 3), horizon=st.integers(4, 12))
def test_only_windows_that_have_begun_cost_a_product(windows: tuple[int, int, int], horizon: int) -> None:
    trainer = tiny_trainer(windows=windows, horizon=horizon)
    result = ForwardMode()(trainer, some_schedule(trainer), 0)
    # window i of n has begun by step t if floor(n t / T) >= i; before step 0 every tangent is zero
    begun = [sum(n * t // horizon + 1 for n in windows) for t in range(horizon)]
    assert result.products == sum(begun[1:])
    cost = trainer.clock.cost
    assert cost.inner_steps == horizon
    assert cost.products == result.products
    validation = 12 / 8 * (1 + 1 / 3)  # its gradient, and its evaluation
    products = result.products * trainer.problem.network.product_cost
    assert cost.gradient_equivalents == pytest.approx(horizon + products + validation)


def test_memory_does_not_grow_with_the_horizon() -> None:
    sizes = {}
    for horizon in (20, 200):
        trainer = tiny_trainer(windows=(3, 2, 1), horizon=horizon)
        result = ForwardMode()(trainer, some_schedule(trainer, lr=0.02), 0)
        assert result.ending == "ok"
        sizes[horizon] = result.peak_bytes
    tangents = 6 * trainer.problem.network.size * 8
    assert sizes[20] == sizes[200] == 3 * tangents  # of weights, velocity and gradient


def test_memory_is_that_of_the_tangents_for_each_slot_of_the_optimiser() -> None:
    trainer = tiny_trainer(windows=(2, 1, 1, 1, 1), horizon=4, optimiser="adam")
    result = ForwardMode()(trainer, some_schedule(trainer), 0)
    assert result.peak_bytes == 6 * (2 + 2) * trainer.problem.network.size * 8


# --------------------------------------------------------------------------- when there is no hypergradient


def assert_none(result: Hypergradient, ending: str, step: int | None) -> None:
    assert (result.ending, result.diverged_at) == (ending, step)
    assert result.gradient is None
    assert result.loss == math.inf
    assert result.evaluation == DIVERGED


def assert_overflow(result: Hypergradient, alone: Trainer) -> None:
    state = alone.start(0)
    alone.train(state, some_schedule(alone))
    assert (result.ending, result.diverged_at, result.gradient) == ("ok", None, None)
    assert result.conditioning.soundness == "overflow"
    assert torch.equal(result.state.w, state.w)
    assert result.evaluation == alone.evaluate(state)


@pytest.mark.parametrize(("horizon", "window", "step"), [(10, 0, 1), (10, 1, 6), (120, 1, 61), (200, 1, 101)])
def test_a_training_that_diverges_is_told_with_its_step(horizon: int, window: int, step: int) -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=horizon)
    lr = [0.05, 0.05]
    lr[window] = 1e200
    schedule = Schedule.of({"lr": lr, "momentum": 0.0, "weight_decay": 0.0})
    assert trainer.train(trainer.start(0), schedule).diverged_at == step
    steps = trainer.clock.cost.inner_steps
    result = ForwardMode()(trainer, schedule, 0)
    assert_none(result, "diverged", step)
    assert result.state.step <= step + trainer.problem.look_every
    assert trainer.clock.cost.inner_steps == steps + result.state.step
    assert trainer.clock.cost.products == result.products > 0


def test_weights_lost_in_the_last_step_are_a_divergence_at_the_end() -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=2)
    schedule = Schedule.of({"lr": [0.05, 1e200], "momentum": 0.0, "weight_decay": 0.0})
    assert_none(ForwardMode()(trainer, schedule, 0), "diverged", 2)


@pytest.mark.parametrize("begin", [3, 70, 119])
def test_tangents_that_overflow_end_no_training(monkeypatch: pytest.MonkeyPatch, begin: int) -> None:
    """It ends as it would have, is evaluated as it is, and has no hypergradient."""
    trainer = tiny_trainer(horizon=120)
    network, calls = trainer.problem.network, iter(range(1, 1000))
    products = network.products

    def overflowing(w: Tensor, tape: object, directions: Tangents, out: Tangents) -> None:
        products(w, tape, directions, out)  # type: ignore[arg-type]
        if next(calls) >= begin:
            out.flat[3] = math.inf

    monkeypatch.setattr(network, "products", overflowing)
    result = ForwardMode()(trainer, some_schedule(trainer), 0)
    assert_overflow(result, tiny_trainer(horizon=120))
    assert result.products <= sum(min(step, 6) for step in range(120))  # none once it has been seen


def test_it_stops_when_the_budget_is_spent() -> None:
    trainer = tiny_trainer(horizon=120)
    trainer.problem.look_every = 50
    trainer.budget = Budget(trainer.clock, steps=40)
    result = ForwardMode()(trainer, some_schedule(trainer), 0)
    assert_none(result, "out of budget", None)
    assert result.state.step == trainer.clock.cost.inner_steps == 50
    assert trainer.clock.cost.products == result.products > 0


def test_a_budget_that_ends_with_the_training_does_not_cut_it_off() -> None:
    trainer = tiny_trainer(horizon=60)
    trainer.budget = Budget(trainer.clock, steps=60)
    assert ForwardMode()(trainer, some_schedule(trainer), 0).ending == "ok"


# ---------------------------------------------------------------------------------- the validation gradient


@pytest.mark.parametrize("examples", [40, 5200])
def test_the_validation_gradient_is_that_of_the_mean_over_all_validation_examples(examples: int) -> None:
    """In one batch or several of about equal size; without batch norm they cannot be told apart."""
    trainer = tiny_trainer(shape=(1, 2, 2), examples=examples)
    state = trainer.start(0)
    data = trainer.data(0)
    leaf = state.w.clone().requires_grad_()
    truth = trainer.problem.network.loss(leaf, data.x_validation, data.y_validation)
    loss, gradient = validation_gradient(trainer, state)
    assert loss == pytest.approx(truth.item(), rel=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(truth, leaf)[0], rtol=1e-10, atol=1e-12)
