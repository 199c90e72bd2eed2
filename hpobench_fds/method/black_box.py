"""What black-box adapters share: a trial's score, where a search starts, searches written as generators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from typing import Any, Literal

from hpobench_fds.method.ask_tell import AskTell, Proposal
from hpobench_fds.method.contract import Options, Outcome, Task
from hpobench_fds.schedule import Schedule

Plan = Generator[Proposal, Outcome, None]


class BlackBoxOptions(Options):
    """Options of every model-based, multi-fidelity and population-based method.

    start_from_initial : try the space's initial schedule first. Gradient-based methods start from it,
        so it is knowledge that all share and a first training that all pay for; without it, a good
        initial value would be told to one family alone.
    """

    start_from_initial: bool = True


class PriorOptions(BlackBoxOptions):
    """Options of those that draw schedules at random.

    prior : draw from the space's prior too, a normal about the initial schedule of twice its first steps
        (see ``ScheduleSpace.sample_prior``): what gradient-based methods are told by their first steps.
        Uniform draws are mixed in, which keeps a misleading prior from ending a search.
    """

    prior: bool = False


def draw(task: Task, prior: bool, share: float = 0.5) -> Schedule:
    """A schedule at random: uniform, or with ``prior`` a share of the time from the space's prior.

    One half is what PriorBand (Mallik et al., NeurIPS 2023) begins with.
    """
    if prior and task.rng.random() < share:
        return task.space.sample_prior(task.rng)
    return task.space.sample(task.rng)


def first_schedules(task: Task, options: BlackBoxOptions, startup: int) -> list[Schedule]:
    """What a model-based search is given to begin with: the initial schedule, and with a prior its draws.

    ``startup`` trials at random come before a model's; of a prior's share of these the search is relieved.
    """
    first = [task.space.initial] if options.start_from_initial else []
    if isinstance(options, PriorOptions) and options.prior:
        first += [draw(task, True) for _ in range(startup - len(first))]
    return first


Fidelity = Literal["stretched", "prefix"]


def at_fidelity(schedule: Schedule, steps: int, fidelity: Fidelity, **more: Any) -> Proposal:
    """A proposal to train for so many inner steps: the whole schedule stretched over them, or its first ones.

    ``more`` are the other arguments of ``Proposal``; a stretched training cannot go on from another.
    """
    if fidelity == "stretched":
        return Proposal(schedule, horizon=steps, **{**more, "resume": None})
    return Proposal(schedule, until=steps, **more)


def score(task: Task, outcome: Outcome) -> float:
    """What a trial came to, to be minimised and always finite: every library takes it.

    Validation loss, or 1 - accuracy where the problem's objective is accuracy. A loss counts at most
    twice that of guessing: beyond that nothing has been learned, and a surrogate fitted to 1e30 would see
    no difference between the others. A diverged training scores worse than that, up to twice as much, by
    how early in the horizon it diverged. Depends on nothing else, so that replayed trials score as they
    did.
    """
    by_accuracy = task.problem.config.objective == "val_accuracy"
    worst = 1.0 if by_accuracy else 2.0 * task.problem.objective.guessing(task.problem.classes)[0]
    if outcome.ending == "diverged":
        return worst * (2.0 - min(1.0, (outcome.diverged_at or 0) / task.problem.horizon))
    return 1.0 - outcome.evaluation.metric if by_accuracy else min(outcome.evaluation.loss, worst)


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
