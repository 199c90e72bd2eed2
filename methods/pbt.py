"""Population based training (Jaderberg et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpobench_fds.method import BlackBoxOptions, Plan, Planned, Proposal, Task, score
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace, Vector
from hpobench_fds.training.problem import Problem


@dataclass
class _Member:
    """A training of the population and the schedule that its weights have come by."""

    index: int
    vector: Vector  # windows to come hold the value of the last one begun
    state: int | None = None  # the key that its weights are kept under
    parent: int | None = None  # the member that it has copied last
    loss: float = math.inf


class PBT(Planned):
    """A population trained side by side; the worst copy weights and hyperparameters of the best.

    A lineage is a schedule: PBT's hyperparameters are numbers that change as training goes on, the
    suite's are constant on windows, so the population stops at starts of windows, and a perturbed
    value holds from the next window on. What a member reports is what its weights were trained with,
    copied ones included, and for windows to come the value it has now; training that schedule afresh
    in the same draw gives the same weights. A hyperparameter with one window is chosen at the start
    and only selected afterwards. When the horizon is reached a new population starts.

    population : the paper uses 20 to 80. exploit : the share that copies, and the share copied from.
    perturb : None: a value moves by the space's first step, up or down. A number: by such a factor, as
        in the paper (0.2: 0.8 and 1.2); a range that reaches zero or below has no factor to go by, there
        it moves by half of ``perturb`` times the range's width, which is what the factors do on average
        to a value of a range that begins at zero.
    interval : least share of the horizon between two stops.
    """

    name = "pbt"
    paper = "Jaderberg et al., Population Based Training of Neural Networks, arXiv:1711.09846"
    multi_fidelity = True
    keeps_states = True

    class Options(BlackBoxOptions):
        population: int = Field(default=20, ge=2)
        exploit: float = Field(default=0.2, gt=0, le=0.5)
        perturb: float | None = Field(default=None, gt=0, lt=1)
        interval: float = Field(default=0.05, ge=0, le=1)

    def skip(self, problem: Problem) -> str | None:
        if problem.space.curves:
            curves = ", ".join(problem.space.curves)
            return f"PBT changes values of windows on the way, and {curves} (allowed: piecewise)"
        if len(self._stops(problem.space, problem.horizon)) < 3:
            return "PBT changes hyperparameters on the way: it needs one with more than one window"
        return None

    def plan(self, task: Task) -> Plan:
        stops = self._stops(task.space, task.problem.horizon)
        starts = np.array(task.space.starts(task.problem.horizon))
        fresh = self.options.start_from_initial
        while True:
            members = [_Member(i, constant(task)) for i in range(self.options.population)]
            if fresh:
                members[0].vector = task.space.to_vector(task.space.initial)
            fresh = False
            for generation, (begin, end) in enumerate(pairwise(stops)):
                if begin and not self._evolve(task, members, generation, starts >= begin):
                    break
                for member in members:
                    extra = {"generation": generation, "member": member.index, "parent": member.parent}
                    schedule = task.space.from_vector(member.vector)
                    outcome = yield Proposal(schedule, end, member.state, extra)
                    member.state, member.parent = outcome.trial, None
                    found = score(task, outcome)
                    self.learn(task, member.vector, generation, end, member.loss, found)
                    member.loss = found if outcome.ending == "ok" else math.inf
            self.forget(member.state for member in members if member.state is not None)

    def learn(
        self, task: Task, vector: Vector, generation: int, end: int, before: float, after: float
    ) -> None:
        """Told the score at every stop, and that of the stop before, for those who explore by it."""

    def explore(self, task: Task, vector: Vector, generation: int, others: list[Vector]) -> Vector:
        """New values for a copied vector, of which windows to come are taken; ``others`` have theirs."""
        return perturbed(task.space, vector, self.options.perturb, task.rng)

    def _stops(self, space: ScheduleSpace, horizon: int) -> list[int]:
        """0, starts of windows far enough apart, the horizon."""
        stops = [0]
        for start in sorted(set(space.starts(horizon))):
            if start and start - stops[-1] >= self.options.interval * horizon:
                stops.append(start)
        return [*stops, horizon]

    def _evolve(
        self, task: Task, members: list[_Member], generation: int, to_come: NDArray[np.bool_]
    ) -> bool:
        """Exploit and explore; False if the whole population has diverged."""
        ranked = sorted(members, key=lambda member: (member.loss, member.index))
        # At most half of them, so that nobody is among the best and the worst.
        share = min(max(1, round(self.options.exploit * len(members))), len(members) // 2)
        best = [member for member in ranked[:share] if member.loss < math.inf]
        if not best:
            return False
        losers = [m for rank, m in enumerate(ranked) if rank >= len(ranked) - share or m.loss == math.inf]
        copying = {loser.index for loser in losers}
        others = [member.vector for member in members if member.index not in copying]
        for loser in losers:
            donor = best[int(task.rng.integers(len(best)))]
            self._copy_state(donor, loser)
            loser.parent = donor.index
            loser.vector, loser.loss = donor.vector.copy(), donor.loss
            explored = self.explore(task, loser.vector, generation, others)
            loser.vector[to_come] = explored[to_come]
            others.append(loser.vector)
        return True

    def _copy_state(self, donor: _Member, loser: _Member) -> None:
        """Give the loser a copy of the donor's weights, under a key that no trial has."""
        assert donor.state is not None
        assert loser.state is not None
        self.forget([loser.state])
        loser.state = -1 - loser.index
        if donor.state in self._states:  # in a replay no state is there, and none is needed
            self._states[loser.state] = self._states[donor.state].clone()


def constant(task: Task) -> Vector:
    """A vector drawn from the space with one value in all windows of a hyperparameter."""
    learned = task.space.learned.values()
    drawn = task.rng.random(len(learned))
    unit = np.concatenate([np.full(space.windows, u) for u, space in zip(drawn, learned, strict=True)])
    return task.space.to_vector(task.space.from_unit(unit))


def perturbed(space: ScheduleSpace, vector: Vector, share: float | None, rng: np.random.Generator) -> Vector:
    """Each hyperparameter's last value moved up or down, in all its windows, within its range."""
    out, at = np.array(vector), 0
    for one in space.learned.values():
        sign = 1.0 if rng.random() < 0.5 else -1.0
        value = float(vector[at + one.windows - 1])
        out[at : at + one.windows] = _moved(one, value, sign, share)
        at += one.windows
    return space.clip(out)


def _moved(space: HyperparameterSpace, value: float, sign: float, share: float | None) -> float:
    if share is None:
        step = sign * space.first_step
        return value * math.exp(step) if space.scale == "log" else value + step
    if space.low > 0:
        return value * (1 + sign * share)
    return value + sign * share / 2 * (space.high - space.low)
