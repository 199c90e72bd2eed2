"""Covariance matrix adaptation (Hansen & Ostermeier 2001; Hansen 2016), of the package cmaes."""

from __future__ import annotations

import numpy as np
from cmaes import CMA
from pydantic import Field

from hpobench_fds.method import AskTell, BlackBoxOptions, Outcome, Proposal, Task, score
from hpobench_fds.schedule import Vector
from hpobench_fds.training.problem import Problem


class CMAES(AskTell):
    """cmaes.CMA about the initial schedule, in units of the space's first steps.

    So its first draws lie as far from the initial schedule as the first steps of other methods, in each
    hyperparameter. It could not know better from the box alone.

    Where a search has stalled by the package's own rules, another starts with twice the population (IPOP,
    Auger & Hansen, CEC 2005): from the initial schedule again, the one place that the space speaks for.

    sigma : its first standard deviation, in first steps. popsize : the first; None: 4 + floor(3 ln n).
    ipop : restart; without, a stalled search goes on.
    """

    name = "cmaes"
    paper = (
        "Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772; Auger & Hansen, A Restart CMA "
        "Evolution Strategy With Increasing Population Size, CEC 2005; the package cmaes"
    )

    class Options(BlackBoxOptions):
        sigma: float = Field(default=1.0, gt=0)
        popsize: int | None = Field(default=None, ge=2)
        ipop: bool = True

    def skip(self, problem: Problem) -> str | None:
        return "CMA-ES needs at least two hyperparameters to learn" if problem.space.size < 2 else None

    def setup(self, task: Task) -> None:
        space = task.space
        self._centre, self._unit = space.to_coordinates(space.to_vector(space.initial)), space.steps
        self._search = self._begin(task, task.seed % 2**32, self.options.popsize)
        self._generation: list[tuple[Vector, float]] = []
        self._asked: Vector | None = None

    def _begin(self, task: Task, seed: int, popsize: int | None) -> CMA:
        space, edges = task.space, (task.space.low, task.space.high)
        bounds = np.stack([(space.to_coordinates(edge) - self._centre) / self._unit for edge in edges], 1)
        return CMA(np.zeros(space.size), self.options.sigma, bounds, seed=seed, population_size=popsize)

    def ask(self, task: Task) -> Proposal:
        if self.options.start_from_initial and self._asked is None:
            self._asked = np.zeros(task.space.size)
            self._first = True
            return Proposal(task.space.initial)
        self._first, self._asked = False, self._search.ask()
        coordinates = self._centre + self._unit * self._asked
        return Proposal(task.space.from_vector(task.space.from_coordinates(coordinates)))

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        if self._first or self._asked is None:  # where it starts is no draw of its own
            return
        self._generation.append((self._asked, score(task, outcome)))
        if len(self._generation) == self._search.population_size:
            self._search.tell(self._generation)
            self._generation = []
            if self.options.ipop and self._search.should_stop():
                twice = 2 * self._search.population_size
                self._search = self._begin(task, int(task.rng.integers(2**32)), twice)
