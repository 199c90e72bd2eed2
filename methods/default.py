"""The setting that people start from: a constant learning rate, momentum and weight decay."""

from __future__ import annotations

from hpobench_fds.method import Plan, Planned, Proposal, Task
from hpobench_fds.training.problem import Problem

from ._baselines import ByHand, by_hand, needs_windows


class Default(Planned):
    """Constant values, those that are customary for the problem's step rule, within the space's bounds."""

    name = "default"
    family = "baseline"
    searches = False
    paper = "common practice, e.g. He et al., Deep Residual Learning for Image Recognition, CVPR 2016"

    class Options(ByHand):
        lr: float | None = None

    def skip(self, problem: Problem) -> str | None:
        return needs_windows(problem)

    def plan(self, task: Task) -> Plan:
        yield Proposal(by_hand(task, self.options.values(task.problem)))
