"""Hyperband (Li et al., JMLR 2018)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.method import Fidelity, Plan, Planned, PriorOptions, Task, at_fidelity, draw, score
from hpobench_fds.schedule import Schedule

from ._brackets import Bracket, brackets, inner_steps, most_halvings


class Hyperband(Planned):
    """Successive halving over inner steps, in brackets that trade the number of schedules for their length.

    Brackets follow one another from the most exploring one until the budget ends. Optuna's HyperbandPruner
    has neither whole brackets (it halves asynchronously) nor promotion by going on, hence
    ``hpobench_fds.methods._brackets``.

    eta : one schedule in eta goes on to the next rung.
    units : R, the units of resource that the horizon counts as (at most one an inner step). 81 is the
        paper's table; each unit is then a validation's distance, not a single step.
    prior : a share of a bracket's first schedules comes from the space's prior: one half in the most
        exploring bracket, more where their trainings are longer (Mallik et al., NeurIPS 2023).
    fidelity : at a rung of r steps the whole schedule is stretched over them ("stretched"), so that every
        window is tried at every rung, or its first r steps are trained ("prefix").
    resume : of prefixes, promoted trainings go on from their state, or are trained again from the start.
    """

    name = "hyperband"
    paper = (
        "Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar, Hyperband: A Novel Bandit-Based Approach to "
        "Hyperparameter Optimization, JMLR 2018"
    )
    multi_fidelity = True
    keeps_states = True

    class Options(PriorOptions):
        eta: int = Field(default=3, ge=2)
        units: int = Field(default=81, ge=1)
        fidelity: Fidelity = "stretched"
        resume: bool = True

    def plan(self, task: Task) -> Plan:
        self._fresh = self.options.start_from_initial
        while True:
            for bracket in brackets(self._units(task), self.options.eta):
                yield from self._halve(task, bracket)

    def propose(self, task: Task) -> Schedule:
        """A new schedule for a bracket's first rung."""
        return draw(task, self.options.prior, self._trusted)

    def learn(self, task: Task, schedule: Schedule, steps: int, loss: float) -> None:
        """Told the score of every training, for those whose proposals depend on it."""

    @property
    def _resumes(self) -> bool:
        return bool(self.options.resume) and self.options.fidelity == "prefix"

    def _units(self, task: Task) -> int:
        return min(int(self.options.units), task.problem.horizon)

    def _halve(self, task: Task, bracket: Bracket) -> Plan:
        # As PriorBand has it: the dearer a first training, the more of them the prior proposes.
        odds = self.options.eta ** (most_halvings(self._units(task), self.options.eta) - bracket.s)
        self._trusted = odds / (1 + odds)
        entrants: list[tuple[Schedule, int | None]] = []
        for i, rung in enumerate(bracket.rungs):
            steps = inner_steps(rung.r, self._units(task), task.problem.horizon)
            places = bracket.rungs[i + 1].n if i < bracket.s else 0
            best: list[tuple[float, int, Schedule]] = []  # score, trial
            for j in range(rung.n if i == 0 else len(entrants)):
                schedule, trial = (self._first(task), None) if i == 0 else entrants[j]
                resume = trial if self.options.resume else None
                outcome = yield at_fidelity(
                    schedule, steps, self.options.fidelity, resume=resume,
                    extra={"bracket": bracket.s, "rung": i},
                )  # fmt: skip
                loss = score(task, outcome)
                self.learn(task, schedule, steps, loss)
                if outcome.ending == "ok":  # a diverged training is never promoted
                    best = sorted([*best, (loss, outcome.trial, schedule)], key=lambda one: one[:2])
                kept = {trial for _, trial, _ in best[:places]} if self._resumes else set()
                self.forget({outcome.trial, *(trial for _, trial, _ in best)} - kept)
                best = best[:places]
            entrants = [(schedule, trial) for _, trial, schedule in best]

    def _first(self, task: Task) -> Schedule:
        if self._fresh:
            self._fresh = False
            return task.space.initial
        return self.propose(task)
