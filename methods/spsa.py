"""SPSA (Spall 1992): the gradient along one random direction, from two trainings."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.method import Method, Plan, Planned, Proposal, Task, score


class SPSA(Planned):
    """Trainings on both sides of the present schedule, with every hyperparameter moved up or down at random.

    Their difference over the way between them stands for each hyperparameter's derivative; FDS's own outer
    optimiser steps along it. The two have different draws, as any two trainings of a black-box method.

    width : how far to each side, in first steps of the space.
    """

    name = "spsa"
    label = "SPSA"
    paper = "Spall, Multivariate Stochastic Approximation Using a Simultaneous Perturbation, IEEE TAC 1992"

    class Options(Method.Options):
        outer: OuterOptions = OuterOptions()
        width: float = Field(default=0.5, gt=0)

    def plan(self, task: Task) -> Plan:
        space, outer = task.space, build_outer(self.options.outer, task.space)
        here, away = space.to_vector(space.initial), self.options.width * space.steps
        yield Proposal(space.initial)
        while True:
            centre, sign = space.to_coordinates(here), task.rng.choice([-1.0, 1.0], space.size)
            scores = []
            for side in (1.0, -1.0):
                vector = space.from_coordinates(centre + side * away * sign)
                scores.append(score(task, (yield Proposal(space.from_vector(vector)))))
            slope = (scores[0] - scores[1]) / (2 * away * sign)
            value = np.where(space.log, here, 1.0)
            here = outer.step(here, slope / value)  # which takes derivatives by the value, not its logarithm
