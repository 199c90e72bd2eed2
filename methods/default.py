"""The setting that people start from: a constant learning rate, momentum and weight decay."""

from __future__ import annotations

from hpobench_fds.method import Method, Plan, Planned, Proposal, Task
from hpobench_fds.training.problem import Problem

from ._baselines import by_hand, needs_windows


class Default(Planned):
    """Constant values, the customary ones of SGD on images, projected onto the space's bounds.

    Hyperparameters without an option here stay at their initial value.
    """

    name = "default"
    family = "baseline"
    searches = False
    paper = "common practice, e.g. He et al., Deep Residual Learning for Image Recognition, CVPR 2016"

    class Options(Method.Options):
        lr: float = 0.1
        momentum: float = 0.9
        weight_decay: float = 5e-4

    def skip(self, problem: Problem) -> str | None:
        return needs_windows(problem)

    def plan(self, task: Task) -> Plan:
        yield Proposal(by_hand(task, self.options.model_dump()))
