"""Cosine annealing (Loshchilov & Hutter, ICLR 2017)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hpobench_fds.method import Plan, Planned, Proposal, Task
from hpobench_fds.schedule import Vector
from hpobench_fds.training.problem import Problem

from ._baselines import ByHand, by_hand, needs_lr


class Cosine(Planned):
    """The learning rate falls from ``lr_max`` to 0 along half a cosine, without restarts.

    Each window takes the curve's mean over its steps; the rest, and ``lr_max``, is as in ``default``.
    """

    name = "cosine"
    family = "baseline"
    searches = False
    paper = "Loshchilov & Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017"

    class Options(ByHand):
        lr_max: float | None = Field(default=None, gt=0)

    def skip(self, problem: Problem) -> str | None:
        return needs_lr(problem)

    def plan(self, task: Task) -> Plan:
        values, T = self.options.values(task.problem), task.problem.horizon
        highest = self.options.lr_max or values["lr"]

        def lr(step: Vector) -> Vector:
            return np.asarray(highest * (1 + np.cos(np.pi * step / T)) / 2)

        yield Proposal(by_hand(task, {**values, "lr": lr}))
