"""Cosine annealing (Loshchilov & Hutter, ICLR 2017)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hpobench_fds.method import Method, Plan, Planned, Proposal, Task
from hpobench_fds.schedule import Vector
from hpobench_fds.training.problem import Problem

from ._baselines import by_hand, needs_lr


class Cosine(Planned):
    """The learning rate falls from ``lr_max`` to 0 along half a cosine, without restarts.

    Each window takes the curve's mean over its steps; the rest is as in ``default``.
    """

    name = "cosine"
    family = "baseline"
    searches = False
    paper = "Loshchilov & Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017"

    class Options(Method.Options):
        lr_max: float = Field(default=0.1, gt=0)
        momentum: float = 0.9
        weight_decay: float = 5e-4

    def skip(self, problem: Problem) -> str | None:
        return needs_lr(problem)

    def plan(self, task: Task) -> Plan:
        o, T = self.options, task.problem.horizon

        def lr(step: Vector) -> Vector:
            return np.asarray(o.lr_max * (1 + np.cos(np.pi * step / T)) / 2)

        yield Proposal(by_hand(task, {"lr": lr, "momentum": o.momentum, "weight_decay": o.weight_decay}))
