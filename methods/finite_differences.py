"""Finite differences in each coordinate: a control that has FDS's gradient, at a black box's price."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.method import Method, Plan, Planned, Proposal, Task, score


class FiniteDifferences(Planned):
    """Each coordinate alone is moved to its sides; the validation losses' slope is its derivative.

    All trainings of an outer step have one draw (initialisation, split, order), that of FDS's outer step of
    the same number: a difference is the schedules' alone. FDS's own outer optimiser steps along the slopes,
    and as they become derivatives, the schedules become FDS's. A step takes one training of the schedule
    itself and, for n coordinates, 2n of its sides, or n.

    sides : "both" is the central difference, whose error is of second order in the width; "one" the forward
        difference, backward where the range ends.
    width : how far to a side, in first steps of the space.
    """

    name = "finite_differences"
    label = "Finite differences"
    stochastic = False
    paper = "Kiefer & Wolfowitz, Stochastic Estimation of the Maximum of a Regression Function, 1952"

    class Options(Method.Options):
        outer: OuterOptions = OuterOptions()
        sides: Literal["both", "one"] = "both"
        width: float = Field(default=0.5, gt=0)

    def plan(self, task: Task) -> Plan:
        space, outer = task.space, build_outer(self.options.outer, task.space)
        low, high = (space.to_coordinates(edge) for edge in (space.low, space.high))
        here, width, draw = space.to_vector(space.initial), self.options.width * space.steps, 0
        while not (draw and outer.has_converged(here)):
            extra: dict[str, Any] = {"step_sizes": outer.steps.tolist()}
            middle = yield Proposal(space.from_vector(here), draw=draw, extra=extra)
            if middle.ending == "diverged":
                here, draw = outer.back_off(here), draw + 1
                continue
            centre, slope = space.to_coordinates(here), np.zeros(space.size)
            for i, name in enumerate(space.names):
                sides = [min(centre[i] + width[i], high[i]), max(centre[i] - width[i], low[i])]
                sides = [
                    side for side in sides if side != centre[i]
                ]  # beyond the end of its range is nothing
                losses = {centre[i]: score(task, middle)}
                for side in sides[: 2 if self.options.sides == "both" else 1]:
                    moved = centre.copy()
                    moved[i] = side
                    schedule = space.from_vector(space.from_coordinates(moved))
                    extra = {"moved": name, "by": side - centre[i]}
                    losses[side] = score(task, (yield Proposal(schedule, draw=draw, extra=extra)))
                a, b = min(losses), max(losses)
                slope[i] = (losses[b] - losses[a]) / (b - a)
            value = np.where(space.log, here, 1.0)
            here, draw = outer.step(here, slope / value), draw + 1  # derivatives are by the value
