"""A tuned constant: a grid over the learning rate, everything else as by default."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.method import Plan, Planned, Proposal, Task
from hpobench_fds.training.problem import Problem

from ._baselines import CUSTOMARY_GRID, ByHand, by_hand, needs_lr


class Grid(Planned):
    """Each constant learning rate once, in the order given; those beyond the bounds once at the bound.

    lr : None: about the rate that is customary for the problem's step rule, that first, then outwards, so
        that a small budget has the likeliest ones.
    """

    name = "grid"
    family = "baseline"
    paper = "common practice, e.g. Goodfellow, Bengio & Courville, Deep Learning, 2016, section 11.4.3"

    class Options(ByHand):
        lr: tuple[float, ...] | None = Field(default=None, min_length=1)

    def skip(self, problem: Problem) -> str | None:
        return needs_lr(problem)

    def plan(self, task: Task) -> Plan:
        rates = self.options.lr or CUSTOMARY_GRID[task.problem.rule.name]
        rest = self.options.values(task.problem)
        for schedule in dict.fromkeys(by_hand(task, {**rest, "lr": lr}) for lr in rates):
            yield Proposal(schedule)
