"""DEHB: differential evolution inside Hyperband (Awad, Mallik & Hutter, IJCAI 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpobench_fds.method import Fidelity, Plan, Planned, PriorOptions, Task, at_fidelity, draw, score
from hpobench_fds.schedule import Vector

from ._brackets import brackets, inner_steps


@dataclass
class _Individual:
    """A point of the unit cube, and what it came to; inf: not trained yet."""

    unit: Vector
    loss: float = math.inf


class DEHB(Planned):
    """Each fidelity has a subpopulation that evolves; brackets say how many children it has, in which order.

    A child's target is the next individual of its subpopulation in turn, whose place it takes if it is no
    worse. Its mutant, a + F (b - c), is of three parents: in a bracket's first rung of the best of the
    subpopulation itself, in later rungs of the next lower fidelity, as many as the rung trains; of all
    subpopulations where these are fewer than three. It crosses with the target, and where it leaves the
    unit cube it is drawn anew. In the first round of brackets the best of the lower fidelity are promoted
    instead, as successive halving does, and individuals that were never trained are trained as they are.

    The authors' package asks for numpy below 2. Brackets are Hyperband's here (``_brackets``), which round
    the number of schedules up.

    factor, crossover : F and p of rand/1/bin. eta, units, fidelity : as for Hyperband.
    """

    name = "dehb"
    label = "DEHB"
    paper = (
        "Awad, Mallik & Hutter, DEHB: Evolutionary Hyperband for Scalable, Robust and Efficient "
        "Hyperparameter Optimization, IJCAI 2021"
    )
    multi_fidelity = True

    class Options(PriorOptions):
        eta: int = Field(default=3, ge=2)
        units: int = Field(default=81, ge=1)
        fidelity: Fidelity = "stretched"
        factor: float = Field(default=0.5, gt=0, le=2)
        crossover: float = Field(default=0.5, ge=0, le=1)

    def plan(self, task: Task) -> Plan:
        R = min(int(self.options.units), task.problem.horizon)
        table = brackets(R, self.options.eta)
        top = table[0].s  # the level of the horizon
        sizes = [max(b.rungs[k - top + b.s].n for b in table if k >= top - b.s) for k in range(top + 1)]
        self._levels = [[_Individual(self._drawn(task)) for _ in range(size)] for size in sizes]
        if self.options.start_from_initial:
            self._levels[0][0].unit = task.space.to_unit(task.space.initial)
        turns, first_round = [0] * len(sizes), True
        while True:
            for bracket in table:
                for i, rung in enumerate(bracket.rungs):
                    k = top - bracket.s + i
                    level, below = self._levels[k], self._levels[k - 1 if i else k]
                    promoted = self._promoted(level, below, rung.n) if first_round and i else []
                    for _ in range(rung.n):
                        target = level[turns[k] % len(level)]
                        turns[k] += 1
                        if promoted:
                            unit = promoted.pop(0)
                        elif target.loss == math.inf:
                            unit = target.unit
                        else:
                            unit = self._child(task, target, _best(below, rung.n))
                        loss = score(task, (yield at_fidelity(
                            task.space.from_unit(unit), inner_steps(rung.r, R, task.problem.horizon),
                            self.options.fidelity, extra={"bracket": bracket.s, "rung": i},
                        )))  # fmt: skip
                        if loss <= target.loss:
                            target.unit, target.loss = unit, loss
            first_round = False

    def _drawn(self, task: Task) -> Vector:
        return task.space.to_unit(draw(task, self.options.prior))

    def _promoted(self, level: list[_Individual], below: list[_Individual], count: int) -> list[Vector]:
        """The best of the fidelity below that this one does not have."""
        new = [b for b in below if not any(np.array_equal(b.unit, one.unit) for one in level)]
        return [one.unit for one in _best(new, count)]

    def _child(self, task: Task, target: _Individual, parents: list[_Individual]) -> Vector:
        rng, d = task.rng, task.space.size
        pool = [one.unit for one in parents]
        everyone = [one.unit for level in self._levels for one in level]
        if len(pool) < 3:
            more = rng.choice(len(everyone), min(3 - len(pool), len(everyone)), replace=False)
            pool += [everyone[i] for i in more]
        pool += [self._drawn(task) for _ in range(3 - len(pool))]  # there are hardly any fidelities
        a, b, c = (pool[i] for i in rng.choice(len(pool), 3, replace=False))
        mutant: NDArray[np.float64] = a + self.options.factor * (b - c)
        crossed = rng.random(d) < self.options.crossover
        crossed[rng.integers(d)] = True  # something is always the mutant's
        child = np.where(crossed, mutant, target.unit)
        outside = (child < 0) | (child > 1)
        child[outside] = rng.random(int(outside.sum()))
        return child


def _best(individuals: list[_Individual], count: int) -> list[_Individual]:
    trained = [one for one in individuals if one.loss < math.inf]
    return sorted(trained, key=lambda one: one.loss)[:count]  # stable: ties by place
