"""A tuned constant: a grid over the learning rate, everything else as by default."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.method import Method, Plan, Planned, Proposal, Task
from hpobench_fds.training.problem import Problem

from ._baselines import by_hand, needs_lr


class Grid(Planned):
    """Each constant learning rate once, in the order given; those beyond the bounds once at the bound.

    lr : the customary value first, then outwards, so that a small budget has the likeliest ones.
    """

    name = "grid"
    family = "baseline"
    paper = "common practice, e.g. Goodfellow, Bengio & Courville, Deep Learning, 2016, section 11.4.3"

    class Options(Method.Options):
        lr: tuple[float, ...] = Field(default=(0.1, 0.03, 0.3, 0.01, 1.0, 0.003, 0.001), min_length=1)
        momentum: float = 0.9
        weight_decay: float = 5e-4

    def skip(self, problem: Problem) -> str | None:
        return needs_lr(problem)

    def plan(self, task: Task) -> Plan:
        rest = self.options.model_dump(exclude={"lr"})
        for schedule in dict.fromkeys(by_hand(task, {"lr": lr, **rest}) for lr in self.options.lr):
            yield Proposal(schedule)
