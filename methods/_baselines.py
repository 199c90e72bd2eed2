"""What the hand-made schedules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hpobench_fds.method import Method, Task
from hpobench_fds.schedule import Schedule, Vector, window_start
from hpobench_fds.training.problem import Problem

Curve = Callable[[Vector], Vector]

_SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
_ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
CUSTOMARY: Mapping[str, Mapping[str, float]] = {
    "sgd": _SGD,
    "nesterov": _SGD,
    "adam": {**_ADAM, "weight_decay": 0.0},
    "adamw": {**_ADAM, "weight_decay": 1e-2},
}
"""What people set by hand, by step rule. SGD's rate and momentum on images: He et al., CVPR 2016; its weight
decay: Zagoruyko & Komodakis, BMVC 2016. Adam: Kingma & Ba, ICLR 2015, algorithm 1, and torch.optim.Adam's
defaults. AdamW: the defaults of torch.optim.AdamW."""

CUSTOMARY_GRID: Mapping[str, tuple[float, ...]] = {
    **dict.fromkeys(("sgd", "nesterov"), (0.1, 0.03, 0.3, 0.01, 1.0, 0.003, 0.001)),
    **dict.fromkeys(("adam", "adamw"), (1e-3, 3e-4, 3e-3, 1e-4, 1e-2, 3e-5, 1e-5)),
}
"""Learning rates about the customary one, by step rule: it first, then outwards."""


class ByHand(Method.Options):
    """What is set; None: what is customary for the problem's step rule, as is all that has no option."""

    momentum: float | None = None
    weight_decay: float | None = None

    def values(self, problem: Problem) -> dict[str, float]:
        """All hyperparameters of the problem's step rule."""
        given = {name: value for name, value in self.model_dump().items() if isinstance(value, float)}
        known = CUSTOMARY[problem.rule.name]
        return {name: given.get(name, value) for name, value in known.items()}


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
