"""Forward mode with sharing: memory constant in the horizon (Micaelli & Storkey 2021, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.hypergradient.conditioning import from_growth, grown
from hpobench_fds.hypergradient.interface import Hypergradient, Mode, vector_bytes
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.schedule import Schedule, ScheduleSpace, window_index, window_start
from hpobench_fds.training.inner_step import InnerStep, constant_segments
from hpobench_fds.training.optimisers import Step, StepTangents
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Ended
from hpobench_fds.training.trainer import Trainer

NOTES = 50  # of the tangents' norms, at most about so many in a training


@dataclass(frozen=True)
class ForwardMode(Mode):
    """Tangents d(w, slots)/d(schedule), carried along with the training.

    Only windows that have begun have a tangent: the others' are zero. Cost per inner step: one
    gradient and one Hessian-vector product a tangent.

    product_clip : clamps those products elementwise (a bias; the paper's scripts have 1 or 100).
    """

    exact: ClassVar[bool] = True
    product_clip: float | None = None

    def __call__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None = None
    ) -> Hypergradient:
        p, horizon = trainer.problem, horizon or trainer.problem.horizon
        rows = _Rows.of(p.space, horizon)
        inner = trainer.inner(trainer.start(trial), last=horizon, derived=True)
        carried = _Carried(inner, self.product_clip)
        for begin, end in constant_segments(schedule, horizon, 0, horizon):
            carried.grow(rows.begun(begin))
            hypers = inner.values(schedule, begin, horizon)
            active = rows.active(p, begin, horizon)
            ended = inner.stretch(begin, end, hypers, carried.along(active), carried.tangents.w.flat)
            if ended is not None and ended.ending == "overflow":
                carried.lost = True
                ended = inner.run(schedule, horizon, horizon)  # the training goes on without them
            if ended is not None:
                return Hypergradient.none(ended, inner.state, inner.products, carried.bytes)
            if carried.lost:
                break
            carried.note(end)
        return carried.finish(trainer, rows)

    def held(self, problem: Problem, horizon: int) -> int:
        rows = _Rows.of(problem.space, horizon)
        groups = 2 + problem.rule.slots  # of w, each slot, and the gradient
        return groups * rows.begun(horizon - 1) * vector_bytes(problem)

    def cost(self, problem: Problem, horizon: int) -> float:
        rows = _Rows.of(problem.space, horizon)
        products = sum(horizon - max(1, begin) for begin in rows.begins if begin < horizon)
        return horizon + products * problem.network.product_cost


@dataclass
class _Rows:
    """Which tangent carries which window: rows in the order in which windows begin."""

    row: dict[tuple[str, int], int]
    begins: list[int]  # first step of each row's window
    ends: list[int]  # the step after its last one
    flat: list[int]  # index in the space's flat view of each row

    @classmethod
    def of(cls, space: ScheduleSpace, horizon: int) -> _Rows:
        windows = [(name, i) for name, one in space.learned.items() for i in range(one.windows)]
        begin = [window_start(space.learned[name].windows, i, horizon) for name, i in windows]
        order = sorted(range(len(windows)), key=lambda at: begin[at])
        ends = [window_start(space.learned[name].windows, i + 1, horizon) for name, i in windows]
        row = {windows[at]: j for j, at in enumerate(order)}
        return cls(row, [begin[at] for at in order], [ends[at] for at in order], order)

    def active(self, problem: Problem, step: int, horizon: int) -> list[int | None]:
        """For each hyperparameter of the rule, the row of its window at ``step``."""
        learned = problem.space.learned
        return [
            self.row[name, window_index(learned[name].windows, step, horizon)] if name in learned else None
            for name in problem.rule.defaults
        ]

    def begun(self, step: int) -> int:
        """Tangents that may be other than zero after ``step``."""
        return sum(begin <= step for begin in self.begins)


class _Carried:
    """The tangents on the way."""

    def __init__(self, inner: InnerStep, product_clip: float | None) -> None:
        self.inner, self.product_clip = inner, product_clip
        self.tangents = self._zeros(0)
        self.lost = False  # whether one of them overflowed
        self._norms: list[tuple[int, Tensor]] = []

    def note(self, step: int) -> None:
        """Keep the tangents' norms at the end of a window, some dozens of times in a training."""
        if not self._norms or (step - self._norms[-1][0]) * NOTES >= (self.inner.last or 0):
            self._norms.append((step, self.tangents.w.norms()))

    def _growth(self, rows: _Rows) -> tuple[float | None, int]:
        return grown([(step, norms.cpu().numpy()) for step, norms in self._norms], rows.ends)

    def _zeros(self, k: int) -> StepTangents:
        p, w = self.inner.problem, self.inner.state.w
        slots = [p.network.tangents(w, k) for _ in range(p.rule.slots)]
        return StepTangents(p.network.tangents(w, k), slots, p.network.tangents(w, k))

    def grow(self, k: int) -> None:
        """Make room for the windows that have begun."""
        had = self.tangents.w.k
        if k == had:
            return
        if had:
            w, slots = self.tangents.w.grown(k), [tangents.grown(k) for tangents in self.tangents.slots]
            self.tangents = StepTangents(w, slots, w.like())
        else:
            self.tangents = self._zeros(k)

    def along(self, active: list[int | None]) -> Callable[[Step], None]:
        """Moves the tangents by a step that is about to be taken, in the windows with these rows."""
        inner, tangents = self.inner, self.tangents

        def push(step: Step) -> None:
            if step.index:  # all tangents are zero before the first step
                inner.push_gradient(tangents.w, tangents.gradient)
                if self.product_clip is not None:
                    tangents.gradient.flat.clamp_(-self.product_clip, self.product_clip)
            inner.problem.rule.push(step, tangents, active)

        return push

    @property
    def bytes(self) -> int:
        held = [self.tangents.w, self.tangents.gradient, *self.tangents.slots]
        return sum(t.flat.numel() * t.flat.element_size() for t in held)

    def finish(self, trainer: Trainer, rows: _Rows) -> Hypergradient:
        """Contract the tangents with the validation gradient."""
        inner = self.inner
        loss, gradient = validation_gradient(trainer, inner.state)
        evaluation = trainer.evaluate(inner.state)
        if not (math.isfinite(loss) and math.isfinite(evaluation.loss)):
            lost = Ended("diverged", inner.state.step)
            return Hypergradient.none(lost, inner.state, inner.products, self.bytes)
        flat = None if self.lost else self._contracted(gradient, rows)
        single = inner.problem.dtype != torch.float64
        worth = from_growth(*self._growth(rows), flat, single)
        return Hypergradient(
            "ok", flat, loss, evaluation, inner.state, None, inner.products, self.bytes, worth
        )  # fmt: skip

    def _contracted(self, gradient: Tensor, rows: _Rows) -> NDArray[np.float64] | None:
        """The hypergradient [n]; None if it is not finite."""
        hyper = self.tangents.w.dot(gradient).double().cpu().numpy()
        if not np.all(np.isfinite(hyper)):
            return None
        flat = np.zeros(len(rows.flat))
        flat[rows.flat[: len(hyper)]] = hyper  # a window that no step falls in has no tangent
        return flat
