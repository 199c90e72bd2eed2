"""Forward mode with sharing: memory constant in the horizon (Micaelli & Storkey 2021, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.hypergradient.carried import Carried, Rows, bytes_of
from hpobench_fds.hypergradient.conditioning import grown, read_norms
from hpobench_fds.hypergradient.interface import Hypergradient, Mode
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.optimisers import StepTangents
from hpobench_fds.training.problem import Problem
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
        rows = Rows.of(p.space, horizon)
        inner = trainer.inner(trainer.start(trial), last=horizon, derived=True)
        return _Windows(inner, rows, self.product_clip).through(trainer, schedule, horizon)

    def held(self, problem: Problem, horizon: int) -> int:
        return bytes_of(problem, Rows.of(problem.space, horizon).begun(horizon - 1))

    def cost(self, problem: Problem, horizon: int) -> float:
        rows = Rows.of(problem.space, horizon)
        products = sum(horizon - max(1, begin) for begin in rows.begins if begin < horizon)
        return horizon + products * problem.network.product_cost


class _Windows(Carried):
    """A tangent for each window that has begun; the others' are zero."""

    def __init__(self, inner: InnerStep, rows: Rows, product_clip: float | None) -> None:
        super().__init__(inner, rows, _zeros(inner, 0), product_clip)
        self._norms: list[tuple[int, Tensor]] = []

    def begin(self, step: int) -> None:
        """Make room for the windows that have begun."""
        had, k = self.tangents.w.k, self.rows.begun(step)
        if k == had:
            return
        if had:
            w, slots = self.tangents.w.grown(k), [tangents.grown(k) for tangents in self.tangents.slots]
            self.tangents = StepTangents(w, slots, w.like())
        else:
            self.tangents = _zeros(self.inner, k)

    def end(self, step: int) -> None:
        """Keep the tangents' norms at the end of a window, some dozens of times and at the very last."""
        last = self.inner.last or 0
        if not self._norms or step == last or (step - self._norms[-1][0]) * NOTES >= last:
            self._norms.append((step, self.tangents.w.norms()))

    @property
    def growth(self) -> tuple[float | None, int]:
        return grown(read_norms(self._norms), self.rows.ends)

    def contracted(self, gradient: Tensor) -> NDArray[np.float64] | None:
        hyper, flat = super().contracted(gradient), np.zeros(len(self.rows.flat))
        if hyper is None:
            return None
        flat[self.rows.flat[: len(hyper)]] = hyper  # a window that no step falls in has no tangent
        return flat


def _zeros(inner: InnerStep, k: int) -> StepTangents:
    p, w = inner.problem, inner.state.w
    slots = [p.network.tangents(w, k) for _ in range(p.rule.slots)]
    return StepTangents(p.network.tangents(w, k), slots, p.network.tangents(w, k))
