"""One-pass implicit differentiation of the weight update (Clarke et al., ICLR 2022)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.online import OnlineMode, OnlineResult
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.method import OnlineLoop, OnlineOptions, Task
from hpobench_fds.training.problem import Problem


class OnePass(OnlineLoop):
    """A Neumann series through the update's fixed point; the paper moves every 10 steps, with 5 terms."""

    name = "one_pass"
    paper = "Clarke, Oldewage & Hernandez-Lobato, Scalable One-Pass Optimisation, ICLR 2022"

    class Options(OnlineOptions):
        every: int = Field(default=10, ge=1)
        terms: int = Field(default=5, ge=1)
        step_scale: float = Field(default=0.1, gt=0.0)

    def _mode(self) -> OnlineMode:
        return self.moving(neumann_terms=self.options.terms)

    def skip(self, problem: Problem) -> str | None:
        return self._mode().uncovered(problem)

    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        return self._mode()(task.trainer, outer, trial)
