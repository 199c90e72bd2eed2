"""Forward mode with sharing: memory constant in the horizon (Micaelli & Storkey 2021, section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.schedule import Schedule, window_index, window_start
from hpobench_fds.training.trainer import (
    DIVERGED,
    Ending,
    Losses,
    Trainer,
    TrainState,
    constant_segments,
    first_not_finite,
)


@dataclass
class _Rows:
    """Which tangent carries which window: rows in the order in which windows begin."""

    row: dict[tuple[str, int], int]
    begins: list[int]  # first step of each row's window
    flat: list[int]  # index in the space's flat view of each row

    @classmethod
    def of(cls, trainer: Trainer, horizon: int) -> _Rows:
        learned = trainer.problem.space.learned
        windows = [(name, i) for name, space in learned.items() for i in range(space.windows)]
        begin = [window_start(learned[name].windows, i, horizon) for name, i in windows]
        order = sorted(range(len(windows)), key=lambda at: begin[at])
        row = {windows[at]: j for j, at in enumerate(order)}
        return cls(row, [begin[at] for at in order], order)

    def active(self, trainer: Trainer, step: int, horizon: int) -> list[int | None]:
        """For each hyperparameter of the rule, the row of its window at ``step``."""
        learned = trainer.problem.space.learned
        return [
            self.row[name, window_index(learned[name].windows, step, horizon)] if name in learned else None
            for name in trainer.problem.rule.defaults
        ]

    def begun(self, step: int) -> int:
        """Tangents that may be other than zero after ``step``."""
        return sum(begin <= step for begin in self.begins)


def forward(
    trainer: Trainer,
    schedule: Schedule,
    trial: int,
    *,
    horizon: int | None = None,
    product_clip: float | None = None,
) -> Hypergradient:
    """Train ``schedule`` afresh as ``trial`` and carry d(w, slots)/d(schedule) along.

    Only windows that have begun have a tangent: the others' are zero. Cost per inner step: one
    gradient and one Hessian-vector product a tangent. ``product_clip`` clamps those products
    elementwise (a bias; off by default).
    """
    p = trainer.problem
    horizon = horizon or p.horizon
    state = trainer.start(trial)
    rows = _Rows.of(trainer, horizon)
    carried = _Carried(trainer, state, product_clip)
    losses = Losses(p)
    for begin, end in constant_segments(schedule, horizon, 0, horizon):
        carried.grow(rows.begun(begin))
        values = tuple(schedule.at(name, begin, horizon) for name in p.rule.defaults)
        active = rows.active(trainer, begin, horizon)
        for step in range(begin, end):
            if losses.add(carried.step(values, step, active)) or step + 1 == horizon:
                seen = losses.look()
                carried.count(len(seen))
                if (bad := first_not_finite(seen)) is not None:
                    return carried.failed("diverged", step + 1 - len(seen) + bad)
                if not carried.finite():
                    return carried.failed("diverged", step)
                if step + 1 < horizon and trainer.budget.exhausted:
                    return carried.failed("out of budget", None)
    return carried.finish(rows)


class _Carried:
    """A training and its tangents on the way."""

    def __init__(self, trainer: Trainer, state: TrainState, product_clip: float | None) -> None:
        self.trainer, self.state, self.product_clip = trainer, state, product_clip
        self.data = trainer.data(state.trial)
        self.k = 0
        self.products = self._counted = 0

    def grow(self, k: int) -> None:
        """Make room for the windows that have begun."""
        if k == self.k:
            return
        net, w, slots = self.trainer.problem.network, self.state.w, self.trainer.problem.rule.slots
        if self.k == 0:
            self.dw = net.tangents(w, k)
            self.dslots = [net.tangents(w, k) for _ in range(slots)]
        else:
            self.dw = self.dw.grown(k)
            self.dslots = [tangents.grown(k) for tangents in self.dslots]
        self.dg = net.tangents(w, k)
        self.k = k

    def step(self, values: Sequence[float], step: int, active: Sequence[int | None]) -> Tensor:
        """One inner step of weights and tangents; returns the loss before it."""
        p, state = self.trainer.problem, self.state
        x, y = self.data.batch(step)
        tape = p.network.gradient(state.w, x, y, state.buffers)
        if step:  # all tangents are zero before the first step
            p.network.products(state.w, tape, self.dw, self.dg)
            self.products += self.k
            self._clip(tape.gradient)
        gradient = self.trainer.clip(tape.gradient)
        p.rule.push(state.w, state.slots, gradient, values, step, self.dw, self.dslots, self.dg, active)
        p.rule.update_(state.w, state.slots, gradient, values, step)
        state.step = step + 1
        return tape.loss

    def _clip(self, gradient: Tensor) -> None:
        limit = self.trainer.problem.config.gradient_clip
        if limit is not None:  # where the gradient is clamped its derivative is zero
            self.dg.mul_vector((gradient.abs() <= limit).to(gradient.dtype))
        if self.product_clip is not None:
            self.dg.flat.clamp_(-self.product_clip, self.product_clip)

    def count(self, steps: int) -> None:
        """Book the inner steps and products since the last time."""
        products, self._counted = self.products - self._counted, self.products
        cost = self.trainer.problem.network.product_cost
        self.trainer.clock.count(steps=steps, gradients=steps + products * cost, products=products)

    def finite(self) -> bool:
        return bool(torch.isfinite(self.dw.flat).all())

    @property
    def bytes(self) -> int:
        tangents = [self.dw, self.dg, *self.dslots] if self.k else []
        return sum(t.flat.numel() * t.flat.element_size() for t in tangents)

    def failed(self, ending: Ending, step: int | None) -> Hypergradient:
        return Hypergradient(ending, None, math.inf, DIVERGED, self.state, step, self.products, self.bytes)

    def finish(self, rows: _Rows) -> Hypergradient:
        """Contract the tangents with the validation gradient."""
        loss, gradient = validation_gradient(self.trainer, self.state)
        hyper = self.dw.dot(gradient).double().cpu().numpy()
        evaluation = self.trainer.evaluate(self.state)
        if not (np.all(np.isfinite(hyper)) and math.isfinite(loss) and math.isfinite(evaluation.loss)):
            return self.failed("diverged", self.state.step)
        flat = np.zeros(len(rows.flat))
        flat[rows.flat[: self.k]] = hyper  # a window that no step falls in has no tangent
        return Hypergradient("ok", flat, loss, evaluation, self.state, None, self.products, self.bytes)
