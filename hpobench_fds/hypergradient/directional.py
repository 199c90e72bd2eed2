"""Directional derivatives of a training: one tangent a direction, whatever the number of hyperparameters.

Forward gradients (Baydin et al., Gradients without Backpropagation, 2022, definition 1): for a random
direction u with E[u u^T] = I, (dL/du) u is the gradient in expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.hypergradient.carried import Carried, Rows, bytes_of
from hpobench_fds.hypergradient.interface import Hypergradient, Mode
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import Schedule
from hpobench_fds.seeds import derive
from hpobench_fds.training.optimisers import StepTangents
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import Trainer

Drawn = Literal["normal", "signs"]


@dataclass(frozen=True)
class ForwardGradientMode(Mode):
    """The mean of (dL/du) u over random directions u: without bias, and as noisy as they are few.

    Directions are drawn in units of the space's first steps, on a log scale of the logarithm's: that is the
    estimator in coordinates of one size, without which the largest range would drown the others. They are
    a function of the trainer's seed and the trial.

    directions : how many; each costs a Hessian-vector product an inner step.
    drawn : "normal" (the paper's) or "signs", whose estimate varies least.
    """

    exact: ClassVar[bool] = False
    directions: int = 1
    drawn: Drawn = "normal"

    def __call__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None = None
    ) -> Hypergradient:
        space = trainer.problem.space
        unit = space.steps * np.where(space.log, space.to_vector(schedule), 1.0)
        draws = self.draw(derive(trainer.seed, "directions", trial), space.size)
        found = along(trainer, schedule, trial, horizon, draws * unit)
        if found.gradient is None:
            return found
        gradient = found.gradient @ draws / (len(draws) * unit)
        norm = float(np.linalg.norm(gradient))  # not that of the derivatives along directions
        return replace(found, gradient=gradient, conditioning=replace(found.conditioning, norm=norm))

    def draw(self, seed: int, n: int) -> NDArray[np.float64]:
        """The directions [k, n], in units."""
        rng, shape = np.random.default_rng(seed), (self.directions, n)
        return rng.standard_normal(shape) if self.drawn == "normal" else rng.choice([-1.0, 1.0], shape)

    def held(self, problem: Problem, horizon: int) -> int:
        return bytes_of(problem, self.directions)

    def cost(self, problem: Problem, horizon: int) -> float:
        return horizon + (horizon - 1) * self.directions * problem.network.product_cost


def along(
    trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None, directions: NDArray[np.float64]
) -> Hypergradient:
    """Train, and differentiate along ``directions`` [k, n] of the space's flat view.

    Its ``gradient`` [k] has the validation loss's derivatives along them: that of ``ForwardMode`` times each.
    Raises ValueError for directions of another length.
    """
    p, horizon = trainer.problem, horizon or trainer.problem.horizon
    if directions.shape[1:] != (p.space.size,):
        raise ValueError(f"directions of shape {directions.shape} in a space of {p.space.size}")
    inner, rows = trainer.inner(trainer.start(trial), last=horizon, derived=True), Rows.of(p.space, horizon)
    zeros, parts = p.network.tangents(inner.state.w, len(directions)), directions[:, rows.flat]
    slots: list[Tangents] = [_Mixed(zeros, parts) for _ in range(p.rule.slots)]
    tangents = StepTangents(_Mixed(zeros, parts), slots, _Mixed(zeros, parts))
    return Carried(inner, rows, tangents).through(trainer, schedule, horizon)


class _Mixed(Tangents):
    """k tangents along directions [k, n]: a window's part goes into each by its component."""

    def __init__(self, zeros: Tangents, directions: NDArray[np.float64]) -> None:
        super().__init__(zeros.shapes, zeros.k, dtype=zeros.flat.dtype, device=zeros.flat.device)
        self._components: Sequence[Sequence[float]] = directions.T.tolist()

    def add_to_row(self, j: int, vector: Tensor, scale: float = 1.0) -> None:
        """Tangents += scale * vector [P] * their directions' components ``j``."""
        for i, component in enumerate(self._components[j]):
            super().add_to_row(i, vector, scale * component)
