"""Reverse mode: the adjoint of the unrolled training, whatever the number of hyperparameters.

One Hessian-vector product a step for any number of hyperparameters. Full storage, checkpoints under a
memory limit, and truncation to the last K steps (Shaban et al., AISTATS 2019) are one algorithm with
other numbers of stored states.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.checkpoints import next_state, states_needed
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.optimisers import StepRule
from hpobench_fds.training.trainer import DIVERGED, Ending, Trainer, TrainState

SWEEPS = 2  # how often a step runs forward, unless memory allows one or forces more


def reverse(
    trainer: Trainer,
    schedule: Schedule,
    trial: int,
    *,
    horizon: int | None = None,
    last: int | None = None,
    memory: int | None = None,
    full: bool = False,
) -> Hypergradient:
    """Train ``schedule`` afresh as ``trial``, then pull d(validation loss)/d(schedule) back through it.

    Parameters
    ----------
    last : differentiate the last K steps only (a bias); None: all.
    memory : bytes that stored states and adjoints may take; the fewest repeated steps that fit.
    full : store every state. By default each step runs forward twice, with about sqrt(2 T) states.

    Raises
    ------
    InputError : before training, if ``memory`` cannot hold even one state; says what would do.
    """
    horizon = horizon or trainer.problem.horizon
    steps = horizon if last is None else min(last, horizon)
    states = steps if full else plan_states(trainer, steps, memory)
    return _Reverse(trainer, schedule, trial, horizon, steps, states).run()


def working_vectors(rule: StepRule) -> int:
    """Parameter vectors held besides the stored states.

    The final state, the replayed one and the adjoints with their product: three times (w, slots); and
    the gradient, its mask, the direction, the product, the validation gradient and the pulled-back one.
    """
    return 6 + 3 * (1 + rule.slots)


def state_bytes(trainer: Trainer) -> int:
    """Bytes of one stored state: weights and optimiser slots."""
    p = trainer.problem
    return (1 + p.rule.slots) * p.network.size * (8 if p.dtype == torch.float64 else 4)


def plan_states(trainer: Trainer, steps: int, memory: int | None) -> int:
    """How many states to store for ``steps`` under a limit of ``memory`` bytes (None: two sweeps)."""
    if memory is None:
        return states_needed(steps, SWEEPS)
    p = trainer.problem
    size = state_bytes(trainer)
    working = working_vectors(p.rule) * size // (1 + p.rule.slots)
    states = (memory - working) // size
    if states < 1:
        raise InputError(
            f"{memory} bytes cannot hold the adjoints and one stored state",
            key="memory",
            allowed=f"at least {working + size} bytes",
        )
    return int(min(states, steps))


class _Store:
    """A stack of stored states in one buffer, allocated once; in host memory if the device is short."""

    def __init__(self, state: TrainState, capacity: int) -> None:
        rows = 1 + state.slots.shape[0]
        size = capacity * rows * state.w.numel() * state.w.element_size()
        device = state.w.device
        if device.type == "cuda" and size > 0.8 * torch.cuda.mem_get_info(device)[0]:
            device = torch.device("cpu")
        self.capacity = capacity
        self._buffer = torch.empty(capacity, rows, state.w.numel(), dtype=state.w.dtype, device=device)
        self.steps: list[int] = []

    @property
    def bytes(self) -> int:
        return self._buffer.numel() * self._buffer.element_size()

    def push(self, state: TrainState) -> None:
        row = self._buffer[len(self.steps)]
        row[0].copy_(state.w)
        row[1:].copy_(state.slots)
        self.steps.append(state.step)

    def load(self, state: TrainState) -> None:
        """Set ``state`` to the latest stored one."""
        row = self._buffer[len(self.steps) - 1]
        state.w.copy_(row[0])
        state.slots.copy_(row[1:])
        state.step = self.steps[-1]

    def pop(self) -> None:
        self.steps.pop()


class _EarlyEndError(Exception):
    def __init__(self, ending: Ending, step: int | None) -> None:
        self.ending, self.step = ending, step


class _Reverse:
    """One forward sweep that stores states, then steps backward, replaying what was not stored."""

    def __init__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int, steps: int, states: int
    ) -> None:
        self.trainer, self.schedule, self.horizon = trainer, schedule, horizon
        self.first = horizon - steps
        self.state = trainer.start(trial)
        self.data = trainer.data(trial)
        self.states = states
        self.products = 0
        self.bytes = 0

    def run(self) -> Hypergradient:
        try:
            return self._run()
        except _EarlyEndError as stop:
            return self._failed(stop.ending, stop.step)

    def _failed(self, ending: Ending, step: int | None) -> Hypergradient:
        return Hypergradient(ending, None, math.inf, DIVERGED, self.state, step, self.products, self.bytes)

    def _advance(self, until: int, *, replay: bool) -> None:
        """Run forward; a replay costs no inner steps."""
        training = self.trainer.train(self.state, self.schedule, until, self.horizon, replay=replay)
        if training.ending != "ok":
            raise _EarlyEndError(training.ending, training.diverged_at)
        if not replay and until < self.horizon and self.trainer.budget.exhausted:
            raise _EarlyEndError("out of budget", None)

    def _run(self) -> Hypergradient:
        p, trainer = self.trainer.problem, self.trainer
        self._advance(self.first, replay=False)
        store = _Store(self.state, self.states)
        self.bytes = (
            store.bytes + working_vectors(p.rule) * self.state.w.numel() * self.state.w.element_size()
        )
        store.push(self.state)
        while len(store.steps) < self.states and self.horizon - store.steps[-1] >= 2:
            self._store_next(store, self.horizon, replay=False)
        self._advance(self.horizon, replay=False)
        loss, adjoint = validation_gradient(trainer, self.state)
        evaluation = trainer.evaluate(self.state)
        if not (math.isfinite(loss) and math.isfinite(evaluation.loss)):
            return self._failed("diverged", self.horizon)
        final = self.state
        self.state = TrainState(
            torch.empty_like(final.w), torch.empty_like(final.slots), final.buffers.clone(), 0, final.trial
        )
        self._adjoint, self._adjoint_slots = adjoint, torch.zeros_like(final.slots)
        self._vector, self._product = p.network.tangents(final.w, 1), p.network.tangents(final.w, 1)
        per_step = torch.zeros(self.horizon, len(p.rule.defaults), device=p.device, dtype=p.dtype)
        try:
            self._backward(store, per_step)
        finally:
            self.state = final
        gradient = self._gather(per_step)
        if not np.all(np.isfinite(gradient)):
            return self._failed("diverged", self.first)
        return Hypergradient("ok", gradient, loss, evaluation, final, None, self.products, self.bytes)

    def _store_next(self, store: _Store, target: int, *, replay: bool) -> None:
        """From the latest stored state, run to where the next one is worth storing."""
        at = store.steps[-1]
        free = self.states - len(store.steps)
        self._advance(at + next_state(target - at, 1 + free), replay=replay)
        store.push(self.state)

    def _backward(self, store: _Store, per_step: Tensor) -> None:
        for step in range(self.horizon - 1, self.first - 1, -1):
            if self.state.step != step or step == self.horizon - 1:
                store.load(self.state)
            while store.steps[-1] < step:
                if len(store.steps) < self.states:
                    self._store_next(store, step + 1, replay=True)
                else:
                    self._advance(step, replay=True)
                    break
            self._pull(step, per_step)
            if store.steps[-1] == step:
                store.pop()
            if step % self.trainer.problem.look_every == 0 or step == self.first:
                self._check(step)

    def _check(self, step: int) -> None:
        if not bool(torch.isfinite(self._adjoint).all()):
            raise _EarlyEndError("diverged", step)
        if step > self.first and self.trainer.budget.out_of_time:
            raise _EarlyEndError("out of budget", None)

    def _pull(self, step: int, per_step: Tensor) -> None:
        """Adjoints back through one inner step."""
        p, state = self.trainer.problem, self.state
        x, y = self.data.batch(step)
        tape = p.network.gradient(state.w, x, y)
        values = tuple(self.schedule.at(name, step, self.horizon) for name in p.rule.defaults)
        limit = p.config.gradient_clip
        inside = None if limit is None else (tape.gradient.abs() <= limit).to(p.dtype)
        gradient = self.trainer.clip(tape.gradient)
        aw, aslots, ag, hyper = p.rule.pull(
            state.w, state.slots, gradient, values, step, self._adjoint, self._adjoint_slots
        )
        per_step[step] = hyper
        self._vector.set_row(0, ag if inside is None else ag * inside)
        p.network.products(state.w, tape, self._vector, self._product)
        self._adjoint, self._adjoint_slots = aw.add_(self._product.vector(0)), aslots
        self.products += 1
        self.trainer.clock.count(gradients=1 + p.network.product_cost, products=1)

    def _gather(self, per_step: Tensor) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Sum the per-step derivatives over each window: the sharing."""
        p = self.trainer.problem
        table = per_step.double().cpu().numpy()
        steps = np.arange(self.horizon)
        parts = []
        for h, name in enumerate(p.rule.defaults):
            if name in p.space.learned:
                windows = p.space.learned[name].windows
                parts.append(np.bincount(windows * steps // self.horizon, table[:, h], windows))
        return np.concatenate(parts)
