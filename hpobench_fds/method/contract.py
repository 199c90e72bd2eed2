"""The adapter contract: Method and Task, and the two bases AskTell and OuterLoop.

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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.online import OnlineResult, one_value_space
from hpobench_fds.hypergradient.outer import Outer, OuterOptions, build_outer
from hpobench_fds.schedule import Schedule, ScheduleSpace, Vector
from hpobench_fds.seeds import derive
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import DIVERGED, Ending, Evaluation, Trainer, TrainState

Family = Literal["gradient", "black box", "baseline"]


class Options(BaseModel):
    """Base of a method's options; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """What a method tells about one evaluation; the runner makes a record of it."""

    schedule: Schedule
    evaluation: Evaluation
    state: TrainState | None
    fidelity: float = 1.0
    hypergradient: Sequence[float] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    """The runner's side of a task: takes reports and checkpoints, on its own time."""

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
        self, schedule: Schedule, *, trial: int, until: int | None = None, state: TrainState | None = None
    ) -> Outcome:
        """Train a schedule from ``state``, else afresh as ``trial``, up to step ``until``; validate it."""
        state = self.trainer.start(trial) if state is None else state
        training = self.trainer.train(state, schedule, until)
        bad = training.ending == "diverged"
        evaluation = DIVERGED if bad else self.trainer.evaluate(state)
        return Outcome(trial, state.step, training.ending, evaluation, training.diverged_at, state)

    def report(
        self,
        schedule: Schedule,
        evaluation: Evaluation,
        *,
        state: TrainState | None = None,
        fidelity: float = 1.0,
        hypergradient: Sequence[float] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Tell of an evaluation. The referee keeps the incumbent; its work is off the clock.

        ``state`` is the training that was validated: without it no test accuracy can be measured,
        and a better incumbent without it is refused.
        """
        self._listener.report(Report(schedule, evaluation, state, fidelity, hypergradient, dict(extra or {})))

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Keep plain state (tensors, numbers, strings, lists, dicts) to go on from; off the clock."""
        self._listener.checkpoint(state)


class Method(ABC):
    """A way to spend a budget on finding a good schedule."""

    name: ClassVar[str]
    family: ClassVar[Family] = "black box"
    paper: ClassVar[str] = ""

    class Options(Options):
        """Options of this method, settable in the suite."""

    def __init__(self, options: Options | None = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def skip(self, problem: Problem) -> str | None:
        """Why this method cannot run on a problem, or None."""
        return None

    @abstractmethod
    def run(self, task: Task) -> str:
        """Spend ``task.budget``; report every evaluation. Returns why it stopped, in a word or two."""


@dataclass(frozen=True)
class Proposal:
    """A schedule to try: ``until`` inner steps (default: the horizon), going on from trial ``resume``.

    ``extra`` goes into the record, e.g. ``{"bracket": 2, "rung": 0}``.
    """

    schedule: Schedule
    until: int | None = None
    resume: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class AskTell(Method):
    """Base of black-box methods: ``ask`` for a proposal, train it, ``tell`` what it came to.

    An interrupted run is rebuilt by asking and telling its recorded trials again, without
    training: ``ask`` must depend on ``task.rng`` and what it was told, on nothing else.
    """

    #: whether trained states are kept, so that a proposal can go on from an earlier trial
    keeps_states: ClassVar[bool] = False

    def setup(self, task: Task) -> None:
        """Build what ``ask`` and ``tell`` work on; called once before the first ``ask``."""

    @abstractmethod
    def ask(self, task: Task) -> Proposal | None:
        """The next proposal, or None when there is nothing left to try."""

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        """Learn from a trial. A diverged one has loss inf; one cut off by the budget is not told."""

    def run(self, task: Task) -> str:
        self.setup(task)
        self._states: dict[int, TrainState] = {}
        history: list[dict[str, Any]] = []
        if task.restored is not None:
            with task.clock.charge("records"):  # it paid for these thoughts before the interruption
                history = self._replay(task, task.restored)
        # The i-th fresh training is the same draw for every method; one that goes on keeps its draw.
        fresh = sum(entry["resume"] is None for entry in history)
        while not task.budget.exhausted:
            proposal = self.ask(task)
            if proposal is None:
                return "done"
            trial = len(history)
            state = None if proposal.resume is None else self._states.pop(proposal.resume)
            outcome = task.train(proposal.schedule, trial=fresh, until=proposal.until, state=state)
            outcome = replace(outcome, trial=trial)
            if outcome.ending == "out of budget":
                break
            self._report(task, proposal, outcome)
            if self.keeps_states and outcome.state is not None:
                self._states[trial] = outcome.state
            self.tell(task, proposal, outcome)
            history.append(_remember(task, proposal, outcome))
            fresh += proposal.resume is None
            kept = {str(key): vars(state) for key, state in self._states.items()}
            task.checkpoint({"history": history, "states": kept})
        return "budget"

    def forget(self, trials: Iterable[int]) -> None:
        """Drop the kept states of trials that no later proposal can go on from."""
        for trial in trials:
            self._states.pop(trial, None)

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        extra = dict(proposal.extra)
        if outcome.diverged_at is not None:
            extra["diverged_at"] = outcome.diverged_at
        task.report(
            proposal.schedule,
            outcome.evaluation,
            state=outcome.state,
            fidelity=outcome.step / task.problem.horizon,
            extra=extra,
        )

    def _replay(self, task: Task, restored: dict[str, Any]) -> list[dict[str, Any]]:
        history: list[dict[str, Any]] = []
        for entry in restored["history"]:
            proposal = self.ask(task)
            if proposal is None or any(entry[key] != value for key, value in _asked(task, proposal).items()):
                raise RuntimeError(
                    f"{self.name}: trial {len(history)} of the interrupted run was another proposal; "
                    "ask must depend on task.rng and on what it was told alone"
                )
            evaluation = Evaluation(entry["loss"], entry["accuracy"])
            outcome = Outcome(len(history), entry["step"], entry["ending"], evaluation, entry["diverged_at"])
            self.tell(task, proposal, outcome)
            history.append(entry)
        self._states = {int(key): TrainState(**state) for key, state in restored["states"].items()}
        return history


def _asked(task: Task, proposal: Proposal) -> dict[str, Any]:
    schedule = task.space.to_vector(proposal.schedule).tolist()
    return {"schedule": schedule, "until": proposal.until}


def _remember(task: Task, proposal: Proposal, outcome: Outcome) -> dict[str, Any]:
    return {
        **_asked(task, proposal),
        "resume": proposal.resume,
        "step": outcome.step,
        "ending": outcome.ending,
        "loss": outcome.evaluation.loss,
        "accuracy": outcome.evaluation.accuracy,
        "diverged_at": outcome.diverged_at,
    }


class OuterOptionsMixin(Options):
    """Options that every gradient-based method takes.

    outer : the outer optimiser.
    inner_fractions : horizon of each outer step as a share of the problem's; the last one repeats.
        The paper's figure 1 is ``[0.1, 1.0]``: the schedule is stretched over a short run first.
    outer_steps : stop after that many outer steps; None: when converged or out of budget.
    """

    outer: OuterOptions = OuterOptions()
    inner_fractions: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = Field(default=(1.0,), min_length=1)
    outer_steps: int | None = Field(default=None, ge=1)


class OuterLoop(Method):
    """Base of gradient-based methods: a hypergradient through one training moves the schedule.

    Each outer step trains afresh (a new trial: initialisation, split and order). A training that
    diverges moves the schedule half way back to the last good one with smaller steps.
    """

    family = "gradient"

    class Options(OuterOptionsMixin):
        pass

    @abstractmethod
    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        """Train ``schedule`` as ``trial`` over ``horizon`` inner steps; differentiate its validation loss."""

    def run(self, task: Task) -> str:
        options: OuterOptionsMixin = self.options
        outer = build_outer(options.outer, task.space)
        vector, done = task.space.to_vector(task.space.initial), 0
        if task.restored is not None:
            vector, done = np.array(task.restored["vector"]), int(task.restored["outer_step"])
            outer.load_state_dict(task.restored["outer"])
        while not task.budget.exhausted:
            if options.outer_steps is not None and done >= options.outer_steps:
                return "done"
            if done and outer.has_converged(vector):
                return "converged"
            fraction = options.inner_fractions[min(done, len(options.inner_fractions) - 1)]
            horizon = max(1, round(fraction * task.problem.horizon))
            result = self.hypergradient(task, task.space.from_vector(vector), done, horizon)
            if result.ending == "out of budget":
                break
            self._report(task, vector, result, outer.steps)
            vector = (
                outer.step(vector, result.gradient) if result.gradient is not None else outer.back_off(vector)
            )
            done += 1
            task.checkpoint({"vector": vector.tolist(), "outer_step": done, "outer": outer.state_dict()})
        return "budget"

    def _report(self, task: Task, vector: Vector, result: Hypergradient, steps: Vector) -> None:
        extra: dict[str, Any] = {"step_sizes": steps.tolist(), "hypergradient_bytes": result.peak_bytes}
        if result.diverged_at is not None:
            extra["diverged_at"] = result.diverged_at
        task.report(
            task.space.from_vector(vector),
            result.evaluation,
            state=result.state,
            fidelity=result.state.step / task.problem.horizon,
            hypergradient=None if result.gradient is None else result.gradient.tolist(),
            extra=extra,
        )


class OnlineOptions(Options):
    """Options of greedy methods.

    outer : the outer optimiser, moving after every ``every``-th inner step.
    step_scale : its first step sizes are multiplied by this, since it moves far more often than one
        that waits for the end of a training.
    validation_batch : validation examples for each move; None: the training batch size.
    frozen : hyperparameters do not move but follow the problem's initial schedule through one training,
        whose report has their greedy hypergradient, summed over each window.
    """

    outer: OuterOptions = OuterOptions(kind="adam")
    step_scale: float = Field(default=0.02, gt=0.0)
    every: int = Field(default=1, ge=1)
    validation_batch: int | None = Field(default=None, ge=1)
    frozen: bool = False

    @model_validator(mode="after")
    def _every_step_if_frozen(self) -> OnlineOptions:
        if self.frozen and self.every != 1:
            raise ValueError(f"frozen needs every = 1, the hypergradient of each step, not {self.every}")
        return self


class _Following(Outer):
    """Goes along the space's initial schedule from step to step, whatever the hypergradient says."""

    def __init__(self, options: OuterOptions, space: ScheduleSpace, horizon: int) -> None:
        super().__init__(options, one_value_space(space))
        self._schedule, self._horizon, self._step = space.initial, horizon, 0

    def step(self, vector: Vector, hypergradient: Vector) -> Vector:
        self._step = min(self._step + 1, self._horizon - 1)
        return np.array([self._schedule.at(name, self._step, self._horizon) for name in self.space.learned])


class OnlineLoop(Method):
    """Base of greedy methods: hyperparameters move while one training runs.

    Such a method is done after one training. While budget is left it starts over as another trial,
    and validation picks the best.
    """

    family = "gradient"

    class Options(OnlineOptions):
        pass

    @abstractmethod
    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        """One training with moving hyperparameters."""

    def run(self, task: Task) -> str:
        trial = 0 if task.restored is None else int(task.restored["trial"])
        while not task.budget.exhausted:
            if self.options.frozen and trial:
                return "done"
            result = self.train_online(task, self._outer(task), trial)
            if result.ending == "out of budget":
                break
            self._report(task, result)
            trial += 1
            task.checkpoint({"trial": trial})
        return "budget"

    def _outer(self, task: Task) -> Outer:
        options: OnlineOptions = self.options
        if options.frozen:
            return _Following(options.outer, task.space, task.problem.horizon)
        outer = build_outer(options.outer, one_value_space(task.space))
        outer.steps = outer.steps * options.step_scale
        return outer

    def _report(self, task: Task, result: OnlineResult) -> None:
        frozen = self.options.frozen
        extra: dict[str, Any] = {"values": result.values[:: max(1, len(result.values) // 100)].tolist()}
        if result.diverged_at is not None:
            extra["diverged_at"] = result.diverged_at
        task.report(
            task.space.initial if frozen else result.schedule(task.space),
            result.evaluation,
            state=result.state,
            fidelity=result.state.step / task.problem.horizon,
            hypergradient=result.summed(task.space).tolist() if frozen and result.ending == "ok" else None,
            extra=extra,
        )
