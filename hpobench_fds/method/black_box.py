"""What black-box adapters share: a trial's score, where a search starts, searches written as generators."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator

from hpobench_fds.method.ask_tell import AskTell, Proposal
from hpobench_fds.method.contract import Options, Outcome, Task

Plan = Generator[Proposal, Outcome, None]


class BlackBoxOptions(Options):
    """Options of every model-based, multi-fidelity and population-based method.

    start_from_initial : try the space's initial schedule first. Gradient-based methods start from it,
        so it is knowledge that all share and a first training that all pay for; without it, a good
        initial value would be told to one family alone.
    """

    start_from_initial: bool = True


def score(task: Task, outcome: Outcome) -> float:
    """What a trial came to, to be minimised and always finite: every library takes it.

    Validation loss, or 1 - accuracy where the problem's objective is accuracy. A loss counts at most
    twice that of guessing, and so does a diverged training: beyond that nothing has been learned, and
    a surrogate fitted to 1e30 would see no difference between the others. Depends on nothing else, so
    that replayed trials score as they did.
    """
    if task.problem.config.objective == "val_accuracy":
        return 1.0 - outcome.evaluation.accuracy
    return min(outcome.evaluation.loss, 2.0 * math.log(max(2, task.problem.classes)))


class Planned(AskTell):
    """Base of methods whose search is one generator: it yields proposals and is sent their outcomes.

    ::

        def plan(self, task):
            outcome = yield Proposal(task.space.initial)
            ...                                        # and is done where it ends
    """

    @abstractmethod
    def plan(self, task: Task) -> Plan:
        """The whole search. Replayed outcomes have no state: rely on trials' numbers and scores."""

    def setup(self, task: Task) -> None:
        self._plan = self.plan(task)
        self._told: Outcome | None = None

    def ask(self, task: Task) -> Proposal | None:
        try:
            return next(self._plan) if self._told is None else self._plan.send(self._told)
        except StopIteration:
            return None

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        self._told = outcome
