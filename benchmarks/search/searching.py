"""A large search of one space: CMA-ES with restarts, by what many draws come to on their validation data."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray

from hpobench_fds.schedule import Schedule
from hpobench_fds.seeds import derive
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import Trainer

Vector = NDArray[np.float64]
POPULATION = 16
SIGMA = 0.2  # of the first step, in units of a range; a restart from the best has a third of it
FINALISTS = 12  # schedules that are tried again on other draws, so that luck does not choose
WORST = 1.0  # of a training that diverged: the error of who knows nothing, about


@dataclass(frozen=True)
class Found:
    """The best schedule of a search, as a point of the unit cube, and its mean validation error."""

    schedule: Schedule
    unit: Vector
    error: float
    trainings: int


class Errors:
    """The mean validation error (1 - accuracy) of schedules over a fixed set of draws; counts trainings."""

    def __init__(self, problem: Problem, seed: int, draws: int) -> None:
        self._problem, self._draws = problem, draws
        self._trainers = [Trainer(problem, derive(seed, "draw", i), Clock()) for i in range(draws)]
        self.trainings = 0

    def __call__(self, unit: Vector) -> float:
        schedule = self._problem.space.from_unit(unit)
        self.trainings += self._draws
        return float(np.mean([self._error(trainer, schedule) for trainer in self._trainers]))

    def _error(self, trainer: Trainer, schedule: Schedule) -> float:
        state = trainer.start(0)
        if trainer.train(state, schedule).ending != "ok":
            return WORST
        return 1.0 - trainer.evaluate(state).metric


def searched(problem: Problem, starts: list[Vector], evaluations: int, draws: int, seed: int = 0) -> Found:
    """Minimise the validation error from each start in turn, with the same number of evaluations.

    The best dozen are tried again on four times as many draws that none of them was chosen by.
    """
    errors, last = (
        Errors(problem, derive(seed, "search"), draws),
        Errors(problem, derive(seed, "last"), 4 * draws),
    )
    best = list[tuple[float, int, Vector]]()
    for index, start in enumerate(starts):
        run = _run(
            errors, start, SIGMA if index == 0 else SIGMA / 3, evaluations // len(starts), seed + index
        )
        best += [(error, len(best) + i, unit) for i, (error, unit) in enumerate(run)]
    finalists = [unit for _, _, unit in heapq.nsmallest(FINALISTS, best)]
    again = [last(unit) for unit in finalists]
    chosen = finalists[int(np.argmin(again))]
    trainings = errors.trainings + last.trainings
    return Found(problem.space.from_unit(chosen), chosen, min(again), trainings)


def _run(
    errors: Callable[[Vector], float], start: Vector, sigma: float, evaluations: int, seed: int
) -> list[tuple[float, Vector]]:
    """One run of CMA-ES; its means stand among its points, since they are what it has learned."""
    bounds = np.tile([0.0, 1.0], (len(start), 1))
    search = CMA(
        mean=np.clip(start, 0.02, 0.98), sigma=sigma, bounds=bounds, seed=seed + 1, population_size=POPULATION
    )
    seen = list[tuple[float, Vector]]()
    while len(seen) < evaluations:
        told = [(unit, errors(unit)) for unit in (search.ask() for _ in range(POPULATION))]
        search.tell(told)
        seen += [(error, unit) for unit, error in told]
        mean = np.clip(search.mean, 0.0, 1.0)
        seen.append((errors(mean), mean))
    return seen
