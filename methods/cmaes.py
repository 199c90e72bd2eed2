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

    sigma : its first standard deviation, in first steps. popsize : None: 4 + floor(3 ln n).
    """

    name = "cmaes"
    paper = "Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772; the package cmaes"

    class Options(BlackBoxOptions):
        sigma: float = Field(default=1.0, gt=0)
        popsize: int | None = Field(default=None, ge=2)

    def skip(self, problem: Problem) -> str | None:
        return "CMA-ES needs at least two hyperparameters to learn" if problem.space.size < 2 else None

    def setup(self, task: Task) -> None:
        space = task.space
        self._centre, self._unit = space.to_coordinates(space.to_vector(space.initial)), space.steps
        edges = [(space.to_coordinates(edge) - self._centre) / self._unit for edge in (space.low, space.high)]
        self._search = CMA(
            mean=np.zeros(space.size), sigma=self.options.sigma, bounds=np.stack(edges, 1),
            seed=task.seed % 2**32, population_size=self.options.popsize,
        )  # fmt: skip
        self._generation: list[tuple[Vector, float]] = []
        self._asked: Vector | None = None

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
