"""Ladder, of this project: reverse mode with sharing, from short stretched horizons to the whole one."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.outer import OuterOptions
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import Fractions, Method, ModeLoop, OuterOptionsMixin, Task
from hpobench_fds.schedule import Vector

MOST = 64  # retreats in a row that are told apart: doubled more often, a limit is none
MARGIN = 0.1  # of the loss of guessing: what a validation loss may vary by


class Ladder(ModeLoop):
    """Most of a schedule is found in stretched trainings of a tenth of the horizon, at a tenth of the cost.

    Six outer steps there, three at three tenths, the rest over the whole; a rung of fewer inner steps than
    ``shortest``, which would tell little, is longer, with as many outer steps fewer. Hypergradients by
    reverse mode, whose cost the number of windows does not change; steps by Rprop. A hypergradient is not
    followed, and the search retreats along its path, where the adjoint has grown so much on its way that
    rounding decides where it points, and where the validation loss is far above the best one so far of
    horizons no longer, or half the way back to that of guessing: a divergence that did not reach infinity.
    The limits are raised with each retreat in a row. Over the whole horizon every second vector that was
    stepped from makes an answer too, the mean of the last ``average``, which sign steps go on bouncing about:
    it is trained and reported.

    shortest : inner steps of a rung, at least.
    worse : times the best loss from which a loss is far above it; and again as much for each retreat.
    growth : of the adjoint (``hypergradient.conditioning``) that is followed; twice as much for each.
    average : vectors in the mean; 0: none is made.
    """

    name = "ladder"
    label = "Ladder"
    exact = True
    multi_fidelity = True
    paper = "this project; parts: Micaelli & Storkey, NeurIPS 2021; Riedmiller & Braun, ICNN 1993"

    class Options(OuterOptionsMixin):
        outer: OuterOptions = OuterOptions(kind="rprop")
        inner_fractions: Fractions = (0.1,) * 6 + (0.3,) * 3 + (1.0,)
        shortest: int = Field(default=50, ge=1)
        worse: float = Field(default=1.5, gt=1.0)
        growth: float = Field(default=100.0, gt=1.0)
        average: int = Field(default=4, ge=0)

    def __init__(self, options: Method.Options | None = None) -> None:
        super().__init__(options)
        self._best: list[tuple[int, float]] = []  # horizon, validation loss
        self._fallen = 0
        self._followed: list[Vector] = []  # over the whole horizon

    def mode(self) -> ReverseMode:
        return ReverseMode()

    def horizons(self, whole: int) -> list[int]:
        found = []
        for fraction, outer_steps in groupby(self.options.inner_fractions):
            rung = max(1, round(fraction * whole))
            longer = min(whole, max(rung, self.options.shortest))
            found += [longer] * math.ceil(len(list(outer_steps)) * rung / longer)
        return found

    def followed(
        self, task: Task, vector: Vector, result: Hypergradient, horizon: int
    ) -> NDArray[np.float64] | None:
        loss, growth = result.evaluation.loss, result.conditioning.growth or 0.0
        grown = growth > self.options.growth * 2.0**self._fallen
        if result.gradient is None or grown or loss > self._limit(task, horizon):
            self._fallen = min(self._fallen + 1, MOST)
            return None
        self._fallen = 0
        self._best.append((horizon, loss))
        if horizon == task.problem.horizon:
            self._followed.append(np.array(vector, float))
        return result.gradient

    def _limit(self, task: Task, horizon: int) -> float:
        """The validation loss up to which a hypergradient is followed."""
        best = min((loss for at, loss in self._best if at <= horizon), default=math.inf)
        guessing = task.problem.objective.guessing(task.problem.classes)[0]
        worse = float(self.options.worse) ** (1 + self._fallen)
        # Where most is left to learn, half of what was learnt is less than half of the loss.
        half = best + max(0.0, guessing - best) / 2 * worse / float(self.options.worse)
        return max(min(best * worse, half), best + MARGIN * guessing * (1 + self._fallen))

    def between(self, task: Task, trial: int) -> bool:
        count, of = len(self._followed), self.options.average
        if not of or self._fallen or count < of or count % 2:
            return True
        at = [task.space.to_coordinates(one) for one in self._followed[-of:]]
        mean = task.space.from_vector(task.space.from_coordinates(np.mean(at, axis=0)))
        outcome = task.train(mean, trial=trial)
        if outcome.ending == "out of budget":
            return False
        task.report(mean, outcome.evaluation, state=outcome.state, extra={"mean_of": of})
        return True

    def more(self) -> dict[str, Any]:
        followed = [one.tolist() for one in self._followed]
        return {"best": self._best, "fallen": self._fallen, "followed": followed}

    def resume(self, more: dict[str, Any]) -> None:
        self._best = [(int(horizon), float(loss)) for horizon, loss in more["best"]]
        self._fallen, self._followed = int(more["fallen"]), [np.array(one) for one in more["followed"]]
