"""AskTell: the base of black-box methods, which are asked for a schedule and told how it did."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hpobench_fds.method.contract import Method, Outcome, Task
from hpobench_fds.training.own_rules import OwnRule
from hpobench_fds.training.state import Evaluation, Recipe, TrainState


@dataclass(frozen=True)
class Proposal:
    """A schedule to try: ``until`` inner steps (default: the horizon), going on from trial ``resume``.

    ``extra`` goes into the record, e.g. ``{"bracket": 2, "rung": 0}``. With ``horizon`` the whole schedule is
    stretched over so many inner steps, in place of the problem's: a low fidelity that tries every window,
    where ``until`` tries the first ones alone. In the schedule's place may stand a step rule of its own.

    ``draw`` names the initialisation, split and order of a training that begins afresh; None: the next one
    that no training has had. Those of one draw can be compared without the noise of draws.
    """

    schedule: Recipe
    until: int | None = None
    resume: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    draw: int | None = None


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
        fresh = sum(entry["resume"] is None and "draw" not in entry for entry in history)
        while not task.budget.exhausted:
            proposal = self.ask(task)
            if proposal is None:
                return "done"
            trial = len(history)
            state = None if proposal.resume is None else self._states.pop(proposal.resume)
            draw = fresh if proposal.draw is None else proposal.draw
            outcome = task.train(
                proposal.schedule, trial=draw, until=proposal.until, state=state, horizon=proposal.horizon
            )
            outcome = replace(outcome, trial=trial)
            if outcome.ending == "out of budget":
                break
            self._report(task, proposal, outcome)
            if self.keeps_states and outcome.state is not None:
                self._states[trial] = outcome.state
            self.tell(task, proposal, outcome)
            history.append(_remember(task, proposal, outcome))
            fresh += proposal.resume is None and proposal.draw is None
            kept = {str(key): vars(state) for key, state in self._states.items()}
            task.checkpoint({"history": history, "states": kept})
        return "budget"

    def forget(self, trials: Iterable[int]) -> None:
        """Drop the kept states of trials that no later proposal can go on from."""
        for trial in trials:
            self._states.pop(trial, None)

    def _report(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        extra = dict(proposal.extra)
        if proposal.horizon not in (None, task.problem.horizon):
            extra["stretched_over"] = proposal.horizon
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
            if proposal is None or any(
                entry.get(key) != value for key, value in _asked(task, proposal).items()
            ):
                raise RuntimeError(
                    f"{self.name}: trial {len(history)} of the interrupted run was another proposal; "
                    "ask must depend on task.rng and on what it was told alone"
                )
            evaluation = Evaluation(entry["loss"], entry["metric"])
            outcome = Outcome(len(history), entry["step"], entry["ending"], evaluation, entry["diverged_at"])
            self.tell(task, proposal, outcome)
            history.append(entry)
        self._states = {int(key): TrainState(**state) for key, state in restored["states"].items()}
        return history


def _asked(task: Task, proposal: Proposal) -> dict[str, Any]:
    asked = proposal.schedule
    schedule = asked.as_data() if isinstance(asked, OwnRule) else task.space.to_vector(asked).tolist()
    given = {name: getattr(proposal, name) for name in ("horizon", "draw")}
    given = {name: value for name, value in given.items() if value is not None}
    return {"schedule": schedule, "until": proposal.until, **given}


def _remember(task: Task, proposal: Proposal, outcome: Outcome) -> dict[str, Any]:
    return {
        **_asked(task, proposal),
        "resume": proposal.resume,
        "step": outcome.step,
        "ending": outcome.ending,
        "loss": outcome.evaluation.loss,
        "metric": outcome.evaluation.metric,
        "diverged_at": outcome.diverged_at,
    }
