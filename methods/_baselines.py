"""What the hand-made schedules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hpobench_fds.method import Task
from hpobench_fds.schedule import Schedule, Vector, window_start
from hpobench_fds.training.problem import Problem

Curve = Callable[[Vector], Vector]


def by_hand(task: Task, values: Mapping[str, float | Curve]) -> Schedule:
    """A schedule from constants and curves over the inner steps, within the space's bounds.

    A window takes the mean of its curve over its steps. What is not learned, or not named, stays at
    its initial value.
    """
    initial = task.space.initial
    vector = [
        value
        for name, space in task.space.learned.items()
        for value in (
            _windows(values[name], space.windows, task.problem.horizon) if name in values else initial[name]
        )
    ]
    return task.space.from_vector(task.space.clip(np.array(vector)))


def _windows(value: float | Curve, windows: int, horizon: int) -> list[float]:
    if not callable(value):
        return [float(value)] * windows
    curve = value(np.arange(horizon, dtype=float))
    # A horizon shorter than the windows leaves some without a step: they take the next step's value.
    edges = [window_start(windows, index, horizon) for index in range(windows + 1)]
    starts = [min(edge, horizon - 1) for edge in edges[:-1]]
    return [float(curve[a : max(b, a + 1)].mean()) for a, b in zip(starts, edges[1:], strict=True)]


def needs_windows(problem: Problem) -> str | None:
    """Why values cannot be set by hand, or None."""
    curves = problem.space.curves
    return f"it sets values of windows, and {', '.join(curves)} (allowed: piecewise)" if curves else None


def needs_lr(problem: Problem) -> str | None:
    """Why a learning-rate schedule cannot be tried, or None."""
    return needs_windows(problem) if "lr" in problem.space.learned else "the space does not learn lr"
