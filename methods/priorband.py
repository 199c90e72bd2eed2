"""PriorBand: Hyperband whose schedules come from a prior, the incumbent and chance (Mallik et al., 2023)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit, logsumexp, ndtr, ndtri

from hpobench_fds.method import BlackBoxOptions, Fidelity, Task
from hpobench_fds.schedule import PRIOR_WIDTH, Schedule, ScheduleSpace, Vector

from .hyperband import Hyperband


class PriorBand(Hyperband):
    """The dearer a bracket's first trainings, the less is left to chance; what has worked decides the rest.

    At rung r of the fidelities, 0 the lowest, a new schedule is uniform with probability 1 / (1 + eta^r),
    else from the prior, a normal about the initial schedule (``ScheduleSpace.sample_prior``). Once a schedule
    was trained over the whole horizon and some rung has eta trainings, the prior's share is divided with the
    incumbent's neighbourhood, as S_prior : S_incumbent. S sums the densities that a normal about either gives
    to the best 1/eta of the highest such rung, the first weighing most and the last 1. Of the incumbent each
    hyperparameter moves with probability ``mutated``. All normals have the prior's width, in place of the
    paper's quarter of the range: it is the space that says how far is far.

    mutated : the paper's one half. Others as for Hyperband.
    """

    name = "priorband"
    label = "PriorBand"
    paper = (
        "Mallik et al., PriorBand: Practical Hyperparameter Optimization in the Age of Deep Learning, "
        "NeurIPS 2023"
    )

    class Options(BlackBoxOptions):
        eta: int = Field(default=3, ge=2)
        units: int = Field(default=81, ge=1)
        fidelity: Fidelity = "stretched"
        resume: bool = True
        mutated: float = Field(default=0.5, gt=0, le=1)

    def setup(self, task: Task) -> None:
        super().setup(task)
        self._seen: dict[int, list[tuple[float, Vector]]] = defaultdict(list)

    def learn(self, task: Task, schedule: Schedule, steps: int, loss: float) -> None:
        self._seen[steps].append((loss, task.space.to_coordinates(task.space.to_vector(schedule))))

    def propose(self, task: Task) -> Schedule:
        """``_trusted`` is what Hyperband leaves to a prior, eta^r / (1 + eta^r)."""
        if task.rng.random() >= self._trusted:
            return task.space.sample(task.rng)
        if task.rng.random() < self.share_of_incumbent(task):
            return self._near_incumbent(task)
        return task.space.sample_prior(task.rng)

    def share_of_incumbent(self, task: Task) -> float:
        """S_incumbent / (S_prior + S_incumbent); 0 as long as there is no incumbent to speak of."""
        rungs = [steps for steps, seen in self._seen.items() if len(seen) >= self.options.eta]
        if not rungs or not self._seen[task.problem.horizon]:
            return 0.0
        ranked = _ranked(self._seen[max(rungs)])
        best = np.array(ranked[: len(ranked) // self.options.eta])
        weights = np.log(np.arange(len(best), 0, -1))
        prior = task.space.to_coordinates(task.space.to_vector(task.space.initial))
        logs = [
            logsumexp(weights + Near(task.space, centre).log_density(best))
            for centre in (prior, self._incumbent(task))
        ]
        return float(expit(logs[1] - logs[0]))

    def _incumbent(self, task: Task) -> Vector:
        return _ranked(self._seen[task.problem.horizon])[0]

    def _near_incumbent(self, task: Task) -> Schedule:
        centre = self._incumbent(task)
        moved = task.rng.random(task.space.size) < self.options.mutated
        at = np.where(moved, Near(task.space, centre).sample(task.rng), centre)
        return task.space.from_vector(task.space.from_coordinates(at))


class Near:
    """Independent normals of the prior's width about a centre in the box, cut off at it; in coordinates."""

    def __init__(self, space: ScheduleSpace, centre: Vector) -> None:
        self._centre, self._scale = centre, PRIOR_WIDTH * space.steps
        edges = (space.to_coordinates(edge) for edge in (space.low, space.high))
        self._low, self._high = (ndtr((edge - centre) / self._scale) for edge in edges)

    def log_density(self, points: NDArray[np.float64]) -> Vector:
        """[m], for points [m, d] of the box."""
        z = (points - self._centre) / self._scale
        each = -0.5 * (z**2 + np.log(2 * np.pi)) - np.log(self._scale * (self._high - self._low))
        total: Vector = each.sum(axis=1)
        return total

    def sample(self, rng: np.random.Generator) -> Vector:
        within = self._low + rng.random(len(self._centre)) * (self._high - self._low)
        drawn: Vector = self._centre + self._scale * ndtri(within)
        return drawn


def _ranked(seen: list[tuple[float, Vector]]) -> list[Vector]:
    return [at for _, at in sorted(seen, key=lambda one: one[0])]
