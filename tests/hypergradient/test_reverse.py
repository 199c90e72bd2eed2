"""Reverse mode: exact whatever is stored, frugal, and honest about what it cost and why it ended."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    LAYERED,
    autograd_hypergradient,
    finite_differences,
    least_steps_run,
    relative_error,
    some_schedule,
    tiny_dataset,
    tiny_trainer,
)
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient import reverse
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import (
    ReverseMode,
    kept_bytes,
    plan_states,
    segment_bytes,
    segment_length,
    state_bytes,
    working_vectors,
)
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.nn.network import Tape
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Budget
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.state import DIVERGED, Ended
from hpobench_fds.training.trainer import Trainer

EXACT = 1e-8  # relative error in float64


def gradient_of(result: Hypergradient) -> np.ndarray:
    assert result.ending == "ok"
    assert result.gradient is not None
    return result.gradient


def limit(trainer: Trainer, states: int) -> int:
    """Bytes that hold ``states`` stored states beside what is at work, and no more."""
    vector = trainer.problem.network.size * 8
    return (
        working_vectors(trainer.problem.rule) * vector
        + states * state_bytes(trainer.problem)
        + state_bytes(trainer.problem)
        - 1
    )


def every_way(trainer: Trainer, schedule: Schedule, trial: int = 0) -> dict[str, np.ndarray]:
    """The hypergradient with all, about sqrt(2 T), few and one of the states stored."""
    horizon = trainer.problem.horizon
    return {
        "full": gradient_of(ReverseMode(full=True)(trainer, schedule, trial)),
        "default": gradient_of(ReverseMode()(trainer, schedule, trial)),
        "truncated to all": gradient_of(ReverseMode(last=horizon)(trainer, schedule, trial)),
        "truncated beyond all": gradient_of(ReverseMode(last=horizon + 3)(trainer, schedule, trial)),
        **{
            f"{states} states": gradient_of(
                ReverseMode(memory=limit(trainer, states))(trainer, schedule, trial)
            )
            for states in (1, 2, 3, horizon + 5)
        },
    }


def assert_exact(trainer: Trainer, schedule: Schedule, trial: int = 0) -> None:
    truth = autograd_hypergradient(trainer, schedule, trial)
    for way, found in every_way(trainer, schedule, trial).items():
        assert found.shape == truth.shape, way
        assert relative_error(found, truth) < EXACT, way
        # each hyperparameter on its own too: weight decay's share of the whole is not small change
        np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-10 * np.abs(truth).max(), err_msg=way)


# ----------------------------------------------------------------------------------------------- it is exact


@st.composite
def runs(draw: st.DrawFn) -> Trainer:
    windows = draw(st.tuples(*[st.integers(1, 4)] * 3))
    return tiny_trainer(
        windows=windows,
        horizon=draw(st.integers(1, 14)),  # of which some leave windows without a step
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


def test_with_gradient_clipping_it_is_exact_as_well() -> None:
    trainer, free = tiny_trainer(horizon=8, gradient_clip=0.02), tiny_trainer(horizon=8)
    schedule = some_schedule(trainer)
    assert_exact(trainer, schedule)
    truth, unclipped = (autograd_hypergradient(t, schedule) for t in (trainer, free))
    assert relative_error(unclipped, truth) > 0.1


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (-0.05, -0.7, -0.02), (0.0, 1.3, 0.02)])
def test_it_is_exact_at_zero_and_at_negative_values(values: tuple[float, float, float]) -> None:
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=6)
    vector = [value for value, k in zip(values, (3, 2, 1), strict=True) for _ in range(k)]
    schedule = trainer.problem.space.from_vector(vector)
    truth = autograd_hypergradient(trainer, schedule)
    found = gradient_of(ReverseMode()(trainer, schedule, 0))
    np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-10 * np.abs(truth).max())


def test_it_agrees_with_finite_differences_of_the_trainer_to_their_own_accuracy() -> None:
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=9)
    schedule = some_schedule(trainer)
    found = gradient_of(ReverseMode()(trainer, schedule, 0))
    assert relative_error(found, finite_differences(trainer, schedule, 1e-6)) < 1e-6


@pytest.mark.parametrize("horizon", [60, 130])
def test_it_agrees_with_forward_mode_over_more_steps_than_are_looked_at_together(horizon: int) -> None:
    trainer = tiny_trainer(windows=(3, 2, 2), horizon=horizon)
    schedule = some_schedule(trainer)
    truth = gradient_of(ForwardMode()(trainer, schedule, 1))
    for way, found in every_way(trainer, schedule, 1).items():
        assert relative_error(found, truth) < EXACT, way


@pytest.mark.parametrize("horizon", [6, 17])
def test_stretched_over_another_horizon_it_is_the_hypergradient_of_that_training(horizon: int) -> None:
    trainer, other = tiny_trainer(horizon=9), tiny_trainer(horizon=horizon)
    schedule = some_schedule(trainer)
    result = ReverseMode()(trainer, schedule, 0, horizon=horizon)
    assert result.state.step == horizon
    assert relative_error(gradient_of(result), autograd_hypergradient(other, schedule)) < EXACT


def test_a_learning_rate_for_every_step_costs_no_more_than_one_for_all() -> None:
    costs = {}
    for windows in (1, 40):
        trainer = tiny_trainer(windows=(windows, 1, 1), horizon=40)
        schedule = some_schedule(trainer)
        result = ReverseMode()(trainer, schedule, 0)
        truth = autograd_hypergradient(trainer, schedule)
        assert truth.shape == (windows + 2,)
        assert relative_error(gradient_of(result), truth) < EXACT
        assert result.products == trainer.clock.cost.products == 40
        costs[windows] = trainer.clock.cost
    assert costs[1] == costs[40]


# ------------------------------------------------------------------------------------------------- truncated


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("last", [1, 2, 5, 8])
def test_truncated_it_is_autograd_through_the_last_steps_alone(last: int, full: bool) -> None:
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=9)
    schedule = some_schedule(trainer)
    result = ReverseMode(last=last, full=full)(trainer, schedule, 0)
    found, truth = gradient_of(result), autograd_hypergradient(trainer, schedule, last=last)
    np.testing.assert_allclose(found, truth, rtol=1e-8, atol=1e-14)
    assert relative_error(found, autograd_hypergradient(trainer, schedule)) > 1e-3  # a bias that can be seen
    assert result.products == last
    # windows that ended before have no say
    assert (found[0] == 0) == (last <= 6)


@pytest.mark.parametrize("optimiser", ["nesterov", "adam"])
def test_one_step_back_is_what_that_step_did_to_the_weights(optimiser: str) -> None:
    windows = (3, 2, 1, 2, 1)[: len(RULES[optimiser].defaults)]
    trainer = tiny_trainer(windows=windows, horizon=7, optimiser=optimiser)
    schedule = some_schedule(trainer)
    found = gradient_of(ReverseMode(last=1)(trainer, schedule, 0))
    assert relative_error(found, autograd_hypergradient(trainer, schedule, last=1)) < EXACT


def test_truncated_it_trains_the_whole_run_and_stores_the_last_states_alone() -> None:
    trainer = tiny_trainer(horizon=30)
    schedule = some_schedule(trainer)
    whole = ReverseMode(full=True)(trainer, schedule, 0)
    short = ReverseMode(last=4, full=True)(trainer, schedule, 0)
    assert torch.equal(short.state.w, whole.state.w)
    assert short.loss == whole.loss
    assert whole.peak_bytes - short.peak_bytes == 26 * (
        state_bytes(trainer.problem) + kept_bytes(trainer.problem)
    )


# --------------------------------------------------------------------------------------- the training itself


@pytest.mark.parametrize("model", ["mlp", "wrn-10-1"])
@pytest.mark.parametrize("states", [1, 3, None])
def test_its_training_is_the_trainer_s_to_the_last_bit(model: str, states: int | None) -> None:
    """Running statistics of batch norm too: replays would push them on."""
    trainer = tiny_trainer(model, horizon=11)
    schedule = some_schedule(trainer)
    memory = None if states is None else limit(trainer, states)
    result = ReverseMode(memory=memory)(trainer, schedule, 2)
    state = trainer.start(2)
    trainer.train(state, schedule)
    assert (result.state.trial, result.state.step) == (2, 11)
    assert torch.equal(result.state.w, state.w)
    assert torch.equal(result.state.slots, state.slots)
    assert torch.equal(result.state.buffers, state.buffers)
    assert result.evaluation == trainer.evaluate(state)
    assert result.loss == validation_gradient(trainer, state)[0]
    assert result.diverged_at is None


def test_it_is_reproducible_to_the_last_bit_whatever_ran_before() -> None:
    trainer, fresh = tiny_trainer(horizon=12), tiny_trainer(horizon=12)
    schedule = some_schedule(trainer)
    first = gradient_of(ReverseMode()(trainer, schedule, 1))
    ReverseMode()(trainer, some_schedule(trainer, 3), 0)
    assert np.array_equal(gradient_of(ReverseMode()(trainer, schedule, 1)), first)
    assert np.array_equal(gradient_of(ReverseMode()(fresh, schedule, 1)), first)
    assert not np.array_equal(gradient_of(ReverseMode()(fresh, schedule, 2)), first)


@pytest.mark.parametrize("model", ["mlp", "wrn-10-1"])
def test_what_is_stored_changes_nothing_to_the_last_bit(model: str) -> None:
    """A replayed step is the same step, so that every plan pulls back through the same states."""
    trainer = tiny_trainer(model, horizon=7)
    one, *others = every_way(trainer, some_schedule(trainer)).values()
    for other in others:
        assert np.array_equal(one, other)


# ------------------------------------------------------------------------------------------------------ cost


class Watched:
    """Counts the steps that are run, stretch by stretch, and the gradients that a network makes."""

    def __init__(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.segments: list[tuple[int, int]] = []
        self.gradients = 0
        run, gradient = InnerStep.run, trainer.problem.network.gradient

        def watched_run(inner: InnerStep, schedule: Schedule, horizon: int, until: int) -> Ended | None:
            begin = inner.state.step
            ended = run(inner, schedule, horizon, until)
            self.segments.append((begin, inner.state.step))
            return ended

        def watched_gradient(*arguments: Tensor, **keywords: bool) -> Tape:
            self.gradients += 1
            return gradient(*arguments, **keywords)

        monkeypatch.setattr(InnerStep, "run", watched_run)
        monkeypatch.setattr(trainer.problem.network, "gradient", watched_gradient)

    @property
    def steps(self) -> int:
        return sum(end - begin for begin, end in self.segments)


@pytest.mark.parametrize("horizon", [1, 2, 9, 30])
@pytest.mark.parametrize("states", [1, 2, 4, 30])
def test_it_runs_the_steps_of_the_best_plan_and_no_other(
    monkeypatch: pytest.MonkeyPatch, states: int, horizon: int
) -> None:
    trainer = tiny_trainer(horizon=horizon, windows=(1, 1, 1))
    watched = Watched(trainer, monkeypatch)
    result = ReverseMode(memory=limit(trainer, states))(trainer, some_schedule(trainer), 0)
    assert result.ending == "ok"
    last_stored, _ = next(segment for segment in watched.segments if segment[1] == horizon)
    # the final weights are needed besides: the way there from the last stored state
    assert watched.steps == least_steps_run(horizon, states) + (horizon - last_stored)
    assert watched.gradients == watched.steps + horizon + 1  # one pulled back through each step; validation
    cost = trainer.clock.cost
    assert cost.inner_steps == horizon  # a replay is no new step
    assert cost.products == result.products == horizon
    validation = 12 / 8 * (1 + 1 / 3)  # its gradient, and its evaluation
    products = horizon * (1 + trainer.problem.network.product_cost)
    assert cost.gradient_equivalents == pytest.approx(watched.steps + products + validation)
    declared = ReverseMode(memory=limit(trainer, states)).cost(trainer.problem, horizon)
    assert declared == pytest.approx(watched.steps + products)


@pytest.mark.parametrize("horizon", [10, 100, 400])
def test_without_tapes_no_step_runs_forward_more_than_twice_but_for_a_few_at_the_end(
    monkeypatch: pytest.MonkeyPatch, horizon: int
) -> None:
    monkeypatch.setattr(reverse, "KEPT", 0)
    trainer = tiny_trainer(horizon=horizon, windows=(1, 1, 1))
    watched = Watched(trainer, monkeypatch)
    ReverseMode()(trainer, some_schedule(trainer, lr=0.01), 0)
    runs = np.zeros(horizon)
    for begin, end in watched.segments:
        runs[begin:end] += 1
    assert runs[:-3].max() <= 2
    assert runs.max() <= 3


# ---------------------------------------------------------------------------------------------------- memory


def test_memory_is_that_of_the_stored_states_and_a_few_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = tiny_trainer(horizon=30)
    vector = trainer.problem.network.size * 8
    schedule = some_schedule(trainer)
    kept, length = kept_bytes(trainer.problem), segment_length(trainer.problem, 30)
    assert 1 < length < 30
    for allowed, options, states, steps in (
        (reverse.KEPT, {"full": True}, 30, 30),
        (reverse.KEPT, {}, 29 // length + length, length),
        (0, {}, 7, 0),
        (0, {"full": True}, 30, 0),
        (reverse.KEPT, {"memory": limit(trainer, 4)}, 4, 0),
    ):
        monkeypatch.setattr(reverse, "KEPT", allowed)
        more = steps * kept
        result = ReverseMode(**options)(trainer, schedule, 0)
        held = 2 * states * vector + working_vectors(trainer.problem.rule) * vector + more
        assert result.peak_bytes == held == ReverseMode(**options).held(trainer.problem, 30)


def test_ten_thousand_steps_take_less_than_three_times_the_root_in_parameter_vectors() -> None:
    trainer = tiny_trainer(horizon=10_000)
    vectors = (
        plan_states(trainer.problem, 10_000, None)
        * state_bytes(trainer.problem)
        / (trainer.problem.network.size * 8)
    )
    assert vectors + working_vectors(trainer.problem.rule) < 3 * math.sqrt(10_000)


def test_a_limit_counts_every_slot_of_the_optimiser() -> None:
    for optimiser, vectors in (("sgd", 2), ("adam", 3)):
        windows = (1,) * len(RULES[optimiser].defaults)
        trainer = tiny_trainer(windows=windows, horizon=9, optimiser=optimiser)
        vector = trainer.problem.network.size * 8
        assert state_bytes(trainer.problem) == vectors * vector
        memory = (working_vectors(trainer.problem.rule) + 3 * vectors) * vector
        assert [plan_states(trainer.problem, 9, memory + extra) for extra in (-1, 0)] == [2, 3]
        schedule = some_schedule(trainer)
        found = gradient_of(ReverseMode(memory=memory)(trainer, schedule, 0))
        assert relative_error(found, autograd_hypergradient(trainer, schedule)) < EXACT


@settings(max_examples=20, deadline=None)
@given(states=st.integers(1, 12), spare=st.floats(0, 0.99), horizon=st.integers(1, 10))
def test_a_memory_limit_is_kept_and_used(states: int, spare: float, horizon: int) -> None:
    trainer = tiny_trainer(horizon=horizon)
    size = state_bytes(trainer.problem)
    memory = limit(trainer, states) - size + 1 + int(spare * size)
    result = ReverseMode(memory=memory)(trainer, some_schedule(trainer), 0)
    assert result.ending == "ok"
    assert result.peak_bytes <= memory
    assert result.peak_bytes > memory - size or states > horizon  # no room left for another


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_limit_that_no_plan_can_meet_is_refused_before_training_with_the_least_that_would_do(
    monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    trainer = tiny_trainer(optimiser=optimiser, windows=(1,) * len(RULES[optimiser].defaults))
    watched = Watched(trainer, monkeypatch)
    schedule = some_schedule(trainer)
    with pytest.raises(InputError) as refusal:
        ReverseMode(memory=1000)(trainer, schedule, 0)
    assert (watched.segments, watched.gradients) == ([], 0)
    assert "1000 bytes" in str(refusal.value)
    found = re.search(r"at least (\d+) bytes", str(refusal.value))
    assert found
    least = int(found[1])
    result = ReverseMode(memory=least)(trainer, schedule, 0)
    assert relative_error(gradient_of(result), autograd_hypergradient(trainer, schedule)) < EXACT
    assert result.peak_bytes == least
    with pytest.raises(InputError, match=f"at least {least} bytes"):
        ReverseMode(memory=least - 1)(trainer, schedule, 0)


# ---------------------------------------------------------------------------------------- steps that are kept


@pytest.mark.parametrize(("model", "shape", "batch"), LAYERED)
def test_a_kept_step_takes_what_was_said(model: str, shape: tuple[int, ...], batch: int) -> None:
    trainer = tiny_trainer(model, shape, windows=(1, 1, 1), horizon=2, batch_size=batch, examples=30)
    p, state = trainer.problem, trainer.start(0)
    tape = p.network.gradient(state.w, *trainer.data(0).batch(0), state.buffers)
    assert kept_bytes(p) == tape.bytes + p.network.size * 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("clip", "optimiser"), [(None, "sgd"), (0.02, "sgd"), (None, "adam")])
@pytest.mark.parametrize("length", [1, 2, 4, 8, 9])
def test_kept_steps_spare_gradients_and_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, length: int, clip: float | None, optimiser: str, dtype: torch.dtype
) -> None:
    """Whatever the segments' length is; all steps in one are full storage."""
    many = (1,) * len(RULES[optimiser].defaults)
    data = tiny_dataset((1, 8, 8), 60)
    data = replace(data, x_train=data.x_train.to(dtype), x_test=data.x_test.to(dtype))
    monkeypatch.setattr(reverse, "segment_length", lambda problem, steps: min(steps, length))
    mode = ReverseMode(full=length == 9)
    found, gradients = {}, {}
    for kept in (0, reverse.KEPT):
        monkeypatch.setattr(reverse, "KEPT", kept)
        trainer = tiny_trainer(horizon=9, windows=many, gradient_clip=clip, optimiser=optimiser, dataset=data)
        kept_bytes(trainer.problem)  # is found out by a gradient, once
        watched = Watched(trainer, monkeypatch)
        result = mode(trainer, some_schedule(trainer), 0)
        found[kept], cost = gradient_of(result), trainer.clock.cost
        declared = mode.cost(trainer.problem, 9)
        gradients[kept] = watched.gradients - 1  # that of the validation loss
        assert declared == pytest.approx(gradients[kept] + 9 * trainer.problem.network.product_cost)
        assert cost.gradient_equivalents == pytest.approx(declared + 12 / 8 * (1 + 1 / 3))
        assert cost.inner_steps == 9
        assert result.peak_bytes == mode.held(trainer.problem, 9)
    assert np.array_equal(*found.values())
    assert gradients[reverse.KEPT] == 9 + 9 - length
    assert gradients[0] > gradients[reverse.KEPT]


def test_segments_are_as_long_as_takes_the_fewest_bytes() -> None:
    p = tiny_trainer(horizon=400).problem
    best = min(range(1, 401), key=lambda length: segment_bytes(p, 400, length))
    assert segment_bytes(p, 400, segment_length(p, 400)) <= 1.1 * segment_bytes(p, 400, best)
    assert segment_length(p, 1) == 1


@pytest.mark.parametrize("last", [1, 4, 6])
def test_truncated_segments_are_those_of_the_last_steps(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    monkeypatch.setattr(reverse, "segment_length", lambda problem, steps: min(steps, 3))
    trainer = tiny_trainer(windows=(3, 2, 1), horizon=9)
    schedule = some_schedule(trainer)
    found = gradient_of(ReverseMode(last=last)(trainer, schedule, 0))
    truth = autograd_hypergradient(trainer, schedule, last=last)
    np.testing.assert_allclose(found, truth, rtol=1e-8, atol=1e-14)


# ---------------------------------------------------------------------------- when there is no hypergradient


def assert_none(result: Hypergradient, ending: str, step: int | None) -> None:
    assert (result.ending, result.diverged_at) == (ending, step)
    assert result.gradient is None
    assert result.loss == math.inf
    assert result.evaluation == DIVERGED


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("horizon", "window", "step"), [(10, 0, 1), (10, 1, 6), (120, 1, 61), (200, 1, 101)])
def test_a_training_that_diverges_is_told_with_its_step(
    horizon: int, window: int, step: int, full: bool
) -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=horizon)
    lr = [0.05, 0.05]
    lr[window] = 1e200
    schedule = Schedule.of({"lr": lr, "momentum": 0.0, "weight_decay": 0.0})
    assert trainer.train(trainer.start(0), schedule).diverged_at == step
    result = ReverseMode(full=full)(trainer, schedule, 0)
    assert_none(result, "diverged", step)
    assert result.products == 0
    assert step < result.state.step <= step + trainer.problem.look_every


def test_weights_lost_in_the_last_step_are_a_divergence_at_the_end() -> None:
    trainer = tiny_trainer(windows=(2, 1, 1), horizon=2)
    schedule = Schedule.of({"lr": [0.05, 1e200], "momentum": 0.0, "weight_decay": 0.0})
    assert_none(ReverseMode()(trainer, schedule, 0), "diverged", 2)


def spoil_products(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, begin: int, value: float) -> None:
    network, calls = trainer.problem.network, iter(range(1, 100_000))
    products = network.products

    def spoilt(w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        products(w, tape, directions, out)
        if next(calls) >= begin:
            out.flat[3] = value

    monkeypatch.setattr(network, "products", spoilt)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize(("begin", "seen"), [(3, 100), (70, 50), (119, 0), (120, 0)])
def test_an_adjoint_that_overflows_ends_the_way_back_and_no_training(
    monkeypatch: pytest.MonkeyPatch, begin: int, seen: int, value: float
) -> None:
    trainer = tiny_trainer(horizon=120)
    trainer.problem.look_every = 50
    spoil_products(trainer, monkeypatch, begin, value)
    result = ReverseMode()(trainer, some_schedule(trainer), 0)
    assert (result.ending, result.diverged_at, result.gradient) == ("ok", None, None)
    assert result.conditioning.soundness == "overflow"
    assert result.products == 120 - seen  # it stopped there
    assert result.state.step == 120
    assert result.evaluation == trainer.evaluate(result.state)
    assert math.isfinite(result.loss)


class Until(Budget):
    """Out of time as soon as a condition holds."""

    def __init__(self, trainer: Trainer, condition: Callable[[], bool]) -> None:
        super().__init__(trainer.clock)
        self.condition = condition

    @property
    def out_of_time(self) -> bool:
        return self.condition()


def with_step_budget(horizon: int, steps: int) -> Trainer:
    trainer = tiny_trainer(horizon=horizon)
    trainer.budget = Budget(trainer.clock, steps=steps)
    return trainer


@pytest.mark.parametrize("last", [None, 1])
def test_it_gives_no_hypergradient_when_the_budget_is_spent(last: int | None) -> None:
    trainer = with_step_budget(120, 40)
    assert_none(ReverseMode(last=last)(trainer, some_schedule(trainer), 0), "out of budget", None)


def test_it_stops_in_the_backward_sweep_when_the_budget_is_spent() -> None:
    trainer = tiny_trainer(horizon=220)
    trainer.budget = Until(trainer, lambda: trainer.clock.cost.products >= 30)
    result = ReverseMode(memory=limit(trainer, 12))(trainer, some_schedule(trainer), 0)
    assert_none(result, "out of budget", None)
    assert 30 <= result.products <= 30 + trainer.problem.look_every


@pytest.mark.parametrize("full", [False, True])
def test_it_stops_in_the_forward_sweep_when_the_budget_is_spent(full: bool) -> None:
    trainer = with_step_budget(1000, 40)
    result = ReverseMode(full=full)(trainer, some_schedule(trainer, lr=0.01), 0)
    assert_none(result, "out of budget", None)
    assert trainer.clock.cost.inner_steps <= 40 + trainer.problem.look_every


@pytest.mark.parametrize("states", [1, None])
def test_a_budget_that_ends_with_the_training_does_not_cut_it_off(states: int | None) -> None:
    trainer = with_step_budget(60, 60)
    memory = None if states is None else limit(trainer, states)
    assert ReverseMode(memory=memory)(trainer, some_schedule(trainer), 0).ending == "ok"


def test_replayed_steps_do_not_spend_a_budget_of_inner_steps() -> None:
    trainer = with_step_budget(120, 200)
    assert ReverseMode(memory=limit(trainer, 1))(trainer, some_schedule(trainer), 0).ending == "ok"
