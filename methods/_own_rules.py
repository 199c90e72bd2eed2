"""What the methods share that train once by a step rule of their own."""

from __future__ import annotations

from typing import ClassVar

from hpobench_fds.method import Plan, Planned, Proposal, Task
from hpobench_fds.method.contract import WARM_STEPS
from hpobench_fds.training.own_rules import OwnRule


class ByOwnRule(Planned):
    """One training by a rule that needs no schedule, and is done; its options are the rule's.

    The problem's own step rule and its space have no part in it; batches, start, clipping and clock are
    those of every method. The referee trains by the rule again.
    """

    family = "baseline"
    searches = False
    rule: ClassVar[type[OwnRule]]

    @property
    def made(self) -> OwnRule:
        """The rule with this method's options."""
        return self.rule(**self.options.model_dump())

    def warm_up(self, task: Task) -> None:
        trainer, state = task.trainer, task.trainer.start(0)
        trainer.train(state, self.made, until=min(WARM_STEPS, task.problem.horizon))
        trainer.evaluate(state)

    def plan(self, task: Task) -> Plan:
        yield Proposal(self.made)
