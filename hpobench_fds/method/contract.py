"""The adapter contract: what a Method is, and the Task that it is given.

An adapter is one class in one file. It says what it is called and what options it takes, and
spends ``task.budget`` in ``run``::

    class MyMethod(AskTell):
        name = "my_method"
        paper = "Me (2026), arXiv:2601.00001"

        def ask(self, task):                      # a schedule to try
            return Proposal(task.space.sample(task.rng))

        def tell(self, task, proposal, outcome):  # how it did
            ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from hpobench_fds.schedule import ScheduleSpace
from hpobench_fds.seeds import derive
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import DIVERGED, Ending, Evaluation, Recipe, TrainState
from hpobench_fds.training.trainer import Trainer

Family = Literal["gradient", "black box", "baseline"]
WARM_STEPS = 2  # tangents are zero before the first step, products come with the second
TRAITS = ("greedy", "exact", "truncated", "multi_fidelity", "searches")


class Options(BaseModel):
    """Base of a method's options; unknown keys are refused, and so are numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    ``trial`` counts a method's proposals; ``Proposal.resume`` names one to go on from. ``step`` is the
    inner step it was trained to. ``state`` is the training itself; None when the outcome is replayed
    from the record of an interrupted run.
    """

    trial: int
    step: int
    ending: Ending
    evaluation: Evaluation
    diverged_at: int | None = None
    state: TrainState | None = None


@dataclass(frozen=True)
class Report:
    """What a method tells about one evaluation; the runner makes a record of it.

    ``values`` [steps, h] are those of each inner step, a column a learned hyperparameter, if they moved
    within windows: what the state was trained with, where ``schedule`` is what the method would hand on.
    A method whose answer is a step rule of its own reports that in the schedule's place.
    """

    schedule: Recipe
    evaluation: Evaluation
    state: TrainState | None
    fidelity: float = 1.0
    hypergradient: Sequence[float] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    values: NDArray[np.float64] | None = None

    def trained(self, space: ScheduleSpace) -> Recipe:
        """What its state was trained with, a schedule or a rule of its own.

        Raises ValueError for values of another shape.
        """
        return self.schedule if self.values is None else space.by_step(self.values)


class Listener(Protocol):
    """The runner's side of a task: takes reports and checkpoints, on its own time."""

    def report(self, report: Report) -> None: ...

    def checkpoint(self, state: dict[str, Any]) -> None: ...


class Deaf:
    """The listener that keeps nothing."""

    def report(self, report: Report) -> None: ...

    def checkpoint(self, state: dict[str, Any]) -> None: ...


class Task:
    """All that a method is given for one cell.

    Attributes
    ----------
    problem, space, trainer : what is tuned, where, and the one way to train; no test data.
    clock, budget : the fair clock and what may be spent on it.
    seed, rng : the method's own random stream; every other stream is shared by all methods.
    restored : plain state from ``checkpoint`` of an interrupted run, or None.
    """

    def __init__(
        self,
        trainer: Trainer,
        listener: Listener,
        *,
        method_name: str,
        restored: dict[str, Any] | None = None,
    ) -> None:
        self.trainer = trainer
        self.problem: Problem = trainer.problem
        self.space: ScheduleSpace = trainer.problem.space
        self.clock: Clock = trainer.clock
        self.budget: Budget = trainer.budget
        self.seed = derive(trainer.seed, "method", method_name)
        self.rng = np.random.default_rng(self.seed)
        self.restored = restored
        self._listener = listener

    def train(
        self,
        schedule: Recipe,
        *,
        trial: int,
        until: int | None = None,
        state: TrainState | None = None,
        horizon: int | None = None,
    ) -> Outcome:
        """Train a schedule from ``state``, else afresh as ``trial``, up to step ``until``; validate it.

        ``horizon`` stretches the whole schedule over another number of steps than the problem's. Weights
        whose validation loss is not finite have diverged, whatever the losses of training were.
        """
        state = self.trainer.start(trial) if state is None else state
        training = self.trainer.train(state, schedule, until, horizon)
        ending, diverged_at = training.ending, training.diverged_at
        evaluation = DIVERGED if ending == "diverged" else self.trainer.evaluate(state)
        if ending == "ok" and evaluation == DIVERGED:
            ending, diverged_at = "diverged", state.step
        return Outcome(trial, state.step, ending, evaluation, diverged_at, state)

    def report(
        self,
        schedule: Recipe,
        evaluation: Evaluation,
        *,
        state: TrainState | None = None,
        fidelity: float = 1.0,
        hypergradient: Sequence[float] | None = None,
        extra: dict[str, Any] | None = None,
        values: NDArray[np.float64] | None = None,
    ) -> None:
        """Tell of an evaluation. The referee keeps the incumbent; its work is off the clock.

        ``state`` is the training that was validated: without it no test accuracy can be measured,
        and a better incumbent without it is refused. ``values`` : see ``Report``.
        """
        report = Report(schedule, evaluation, state, fidelity, hypergradient, dict(extra or {}), values)
        self._listener.report(report)

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Keep plain state (tensors, numbers, strings, lists, dicts) to go on from; off the clock."""
        self._listener.checkpoint(state)


class Method(ABC):
    """A way to spend a budget on finding a good schedule.

    What kind of method it is stands on the class, goes into the record of each run, and is what the
    analysis groups methods by:

    family : "gradient", "black box" or "baseline".
    greedy : hyperparameters move during one training, by what the loss says now.
    exact : its hypergradients are exact, through the whole training.
    truncated : they are exact through the last steps of the training alone.
    multi_fidelity : trains some schedules over less than the horizon, to choose between them.
    searches : whether it looks for a schedule at all; one set by hand is trained once.

    ``label``, ``color`` ("#RRGGBB") and ``marker`` (one of matplotlib's) are how figures show it; what is
    None is theirs to choose.
    """

    name: ClassVar[str]
    family: ClassVar[Family] = "black box"
    greedy: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    truncated: ClassVar[bool] = False
    multi_fidelity: ClassVar[bool] = False
    searches: ClassVar[bool] = True
    paper: ClassVar[str] = ""
    label: ClassVar[str | None] = None
    color: ClassVar[str | None] = None
    marker: ClassVar[str | None] = None

    class Options(Options):
        """Options of this method, settable in the suite."""

    def __init__(self, options: Options | None = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    @classmethod
    def traits(cls) -> dict[str, bool]:
        """What kind of method it is, by name, beside its family."""
        return {name: bool(getattr(cls, name)) for name in TRAITS}

    @classmethod
    def appearance(cls) -> dict[str, str | None]:
        """How figures show it, by name."""
        return {name: getattr(cls, name) for name in ("label", "color", "marker")}

    def skip(self, problem: Problem) -> str | None:
        """Why this method cannot run on a problem, or None."""
        return None

    def warm_up(self, task: Task) -> None:
        """Use every kernel once that ``run`` will use, off the clock: what a process sets up at first use
        (libraries loaded, kernels chosen) is then no method's cost. The task is for this alone.
        """
        trainer, state = task.trainer, task.trainer.start(0)
        trainer.train(state, task.space.initial, until=min(WARM_STEPS, task.problem.horizon))
        trainer.evaluate(state)

    @abstractmethod
    def run(self, task: Task) -> str:
        """Spend ``task.budget``; report every evaluation. Returns why it stopped, in a word or two."""
