"""Implicit differentiation of the optimum (Lorraine et al., AISTATS 2020); weight decay only."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.implicit import implicit, uncovered
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.method import OuterLoop, OuterOptionsMixin, Task
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.problem import Problem


class Implicit(OuterLoop):
    """A Neumann series of ``terms`` Hessian-vector products at the end of each training."""

    name = "implicit"
    paper = "Lorraine, Vicol & Duvenaud, Optimizing Millions of Hyperparameters, AISTATS 2020"

    class Options(OuterOptionsMixin):
        terms: int = Field(default=20, ge=1)
        scale: float | None = Field(default=None, gt=0)

    def skip(self, problem: Problem) -> str | None:
        return uncovered(problem)

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        o = self.options
        return implicit(task.trainer, schedule, trial, horizon=horizon, terms=o.terms, scale=o.scale)
