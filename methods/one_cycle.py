"""The 1cycle policy (Smith 2018; Smith & Topin 2019)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hpobench_fds.method import Plan, Planned, Proposal, Task
from hpobench_fds.schedule import Vector
from hpobench_fds.training.problem import Problem

from ._baselines import ByHand, by_hand, needs_lr


class OneCycle(Planned):
    """The learning rate rises and falls once, momentum (of Adam beta1) falls and rises against it.

    Two half cosines, as torch's OneCycleLR draws them, with its defaults; each window takes the mean
    over its steps. ``lr_max`` is that of ``default``, so that the three baselines differ in shape alone.
    """

    name = "one_cycle"
    family = "baseline"
    searches = False
    paper = "Smith & Topin, Super-Convergence: Very Fast Training Using Large Learning Rates, 2019"

    class Options(ByHand):
        lr_max: float | None = Field(default=None, gt=0)
        rise: float = Field(default=0.3, gt=0, lt=1)  # share of the horizon
        start_divisor: float = Field(default=25.0, ge=1)  # lr_max / the first learning rate
        end_divisor: float = Field(default=1e4, ge=1)  # the first learning rate / the last
        momentum_low: float = 0.85
        momentum_high: float = 0.95

    def skip(self, problem: Problem) -> str | None:
        return needs_lr(problem)

    def plan(self, task: Task) -> Plan:
        o, T, values = self.options, task.problem.horizon, self.options.values(task.problem)
        highest = o.lr_max or values["lr"]
        first = highest / o.start_divisor

        def lr(step: Vector) -> Vector:
            return self._cycle(step, T, first, highest, first / o.end_divisor)

        def momentum(step: Vector) -> Vector:
            return self._cycle(step, T, o.momentum_high, o.momentum_low, o.momentum_high)

        yield Proposal(by_hand(task, {**values, "lr": lr, "momentum": momentum, "beta1": momentum}))

    def _cycle(self, step: Vector, horizon: int, first: float, turn: float, last: float) -> Vector:
        top = max(0.0, self.options.rise * horizon - 1)
        rising, falling = step / max(top, 1), (step - top) / max(1.0, horizon - 1 - top)
        return np.where(step < top, _half_cosine(first, turn, rising), _half_cosine(turn, last, falling))


def _half_cosine(begin: float, end: float, share: Vector) -> Vector:
    return end + (begin - end) * (1 + np.cos(np.pi * share)) / 2
