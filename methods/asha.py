"""Asynchronous successive halving (Li et al., MLSys 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from hpobench_fds.method import Fidelity, Plan, Planned, PriorOptions, Task, at_fidelity, draw, score
from hpobench_fds.schedule import Schedule

from ._brackets import inner_steps, most_halvings, rung_resources


@dataclass
class _Entry:
    """A schedule that a rung has trained."""

    loss: float
    trial: int
    schedule: Schedule
    promoted: bool = False


class ASHA(Planned):
    """Promote whoever is among the best 1/eta of a rung as it stands, else start a new schedule.

    With one worker: each time it is free it looks for a promotion from the highest rung down.

    eta, units : the paper's 4 and r = R/256: of R units (the horizon, at most one an inner step) a new
        schedule is trained for one.
    prior : every other new schedule, on average, comes from the space's prior.
    fidelity : at a rung of r steps the whole schedule is stretched over them ("stretched"), or its first r
        steps are trained ("prefix").
    resume : of prefixes, promoted trainings go on from their state, or are trained again from the start.
    keep : states that a rung keeps, the best ones: any entry may yet be promoted as its rung fills,
        and states take memory. One promoted after all is trained again from the start.
    """

    name = "asha"
    paper = "Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020"
    multi_fidelity = True
    keeps_states = True

    class Options(PriorOptions):
        eta: int = Field(default=4, ge=2)
        units: int = Field(default=256, ge=1)
        fidelity: Fidelity = "stretched"
        resume: bool = True
        keep: int = Field(default=100, ge=0)

    def plan(self, task: Task) -> Plan:
        R, horizon = min(int(self.options.units), task.problem.horizon), task.problem.horizon
        resources = rung_resources(R, self.options.eta, most_halvings(R, self.options.eta))
        rungs: list[list[_Entry]] = [[] for _ in resources]
        initial = task.space.initial if self.options.start_from_initial else None
        while True:
            at, entry = self._promotable(rungs)
            if entry is None:
                schedule, resume = initial or draw(task, self.options.prior), None
                initial = None
            else:
                schedule = entry.schedule
                # None of a state that was dropped, and in a replay, which trains nothing.
                resume = entry.trial if entry.trial in self._states else None
                entry.promoted = True
            steps = inner_steps(resources[at], R, horizon)
            outcome = yield at_fidelity(
                schedule, steps, self.options.fidelity, resume=resume, extra={"bracket": 0, "rung": at}
            )
            loss = score(task, outcome) if outcome.ending == "ok" else float("inf")
            rungs[at].append(_Entry(loss, outcome.trial, schedule))
            top = at == len(rungs) - 1
            self.forget([outcome.trial] if top else self._beyond(rungs[at]))

    def _promotable(self, rungs: list[list[_Entry]]) -> tuple[int, _Entry | None]:
        """The rung to train next and who goes on to it; (0, None) for a new schedule."""
        for at in range(len(rungs) - 2, -1, -1):
            best = _ranked(rungs[at])[: len(rungs[at]) // self.options.eta]
            for entry in best:
                if not entry.promoted and entry.loss < float("inf"):
                    return at + 1, entry
        return 0, None

    def _beyond(self, rung: list[_Entry]) -> set[int]:
        """Trials of a rung whose states are not kept."""
        resumes = self.options.resume and self.options.fidelity == "prefix"
        keep = self.options.keep if resumes else 0
        return {e.trial for rank, e in enumerate(_ranked(rung)) if rank >= keep or e.loss == float("inf")}


def _ranked(rung: list[_Entry]) -> list[_Entry]:
    return sorted(rung, key=lambda entry: (entry.loss, entry.trial))
