"""MARTHE (Donini et al., IJCAI 2020): tangents discounted between HD (0) and RTHO (1)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.online import OnlineResult
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.method import OnlineLoop, OnlineOptions, Task


class MARTHE(OnlineLoop):
    """``discount`` is the paper's mu; it adapts mu, here it is an option."""

    name = "marthe"
    paper = "Donini et al., MARTHE: Scheduling the Learning Rate Via Online Hypergradients, IJCAI 2020"

    class Options(OnlineOptions):
        discount: float = Field(default=0.99, ge=0.0, le=1.0)

    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        return self.moving(discount=self.options.discount)(task.trainer, outer, trial)
