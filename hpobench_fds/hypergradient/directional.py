"""Directional derivatives of a training: one tangent a direction, whatever the number of hyperparameters.

Forward gradients (Baydin et al., Gradients without Backpropagation, 2022, definition 1): for a random
direction u with E[u u^T] = I, (dL/du) u is the gradient in expectation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.hypergradient.conditioning import from_growth
from hpobench_fds.hypergradient.interface import Hypergradient, Mode, vector_bytes
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import Schedule, Vector, window_index
from hpobench_fds.seeds import derive
from hpobench_fds.training.inner_step import constant_segments
from hpobench_fds.training.optimisers import Step, StepTangents
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Ended
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
        return replace(found, gradient=found.gradient @ draws / (len(draws) * unit))

    def draw(self, seed: int, n: int) -> NDArray[np.float64]:
        """The directions [k, n], in units."""
        rng, shape = np.random.default_rng(seed), (self.directions, n)
        return rng.standard_normal(shape) if self.drawn == "normal" else rng.choice([-1.0, 1.0], shape)

    def held(self, problem: Problem, horizon: int) -> int:
        groups = 2 + problem.rule.slots  # of w, each slot, and the gradient
        return groups * self.directions * vector_bytes(problem)

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
    inner = trainer.inner(trainer.start(trial), last=horizon, derived=True)
    zeros = p.network.tangents(inner.state.w, len(directions))
    tangents = StepTangents(
        _Mixed(zeros, directions),
        [_Mixed(zeros, directions) for _ in range(p.rule.slots)],
        _Mixed(zeros, directions),
    )
    held = [tangents.w, tangents.gradient, *tangents.slots]
    size, lost = sum(t.flat.numel() * t.flat.element_size() for t in held), False
    for begin, end in constant_segments(schedule, horizon, 0, horizon):
        active = _active(p, begin, horizon)

        def push(step: Step, active: list[int | None] = active) -> None:
            if step.index:  # all tangents are zero before the first step
                inner.push_gradient(tangents.w, tangents.gradient)
            p.rule.push(step, tangents, active)

        ended = inner.stretch(begin, end, inner.values(schedule, begin, horizon), push, tangents.w.flat)
        if ended is not None and ended.ending == "overflow":
            lost = True
            ended = inner.run(schedule, horizon, horizon)  # the training goes on without them
        if ended is not None:
            return Hypergradient.none(ended, inner.state, inner.products, size)
        if lost:
            break
    loss, gradient = validation_gradient(trainer, inner.state)
    evaluation = trainer.evaluate(inner.state)
    if not (math.isfinite(loss) and math.isfinite(evaluation.loss)):
        return Hypergradient.none(Ended("diverged", inner.state.step), inner.state, inner.products, size)
    slopes = None if lost else _finite(tangents.w.dot(gradient))
    worth = from_growth(None, 0, slopes, p.dtype != torch.float64)
    return Hypergradient("ok", slopes, loss, evaluation, inner.state, None, inner.products, size, worth)


def _finite(values: Tensor) -> Vector | None:
    found: Vector = values.double().cpu().numpy()
    return found if np.all(np.isfinite(found)) else None


def _active(problem: Problem, step: int, horizon: int) -> list[int | None]:
    """For each hyperparameter of the rule, the place of its window at ``step`` in the flat view."""
    places, at = dict[str, int](), 0
    for name, one in problem.space.learned.items():
        places[name] = at + window_index(one.windows, step, horizon)
        at += one.windows
    return [places.get(name) for name in problem.rule.defaults]


class _Mixed(Tangents):
    """k tangents along directions [k, n]: a hyperparameter's part goes into each by its component."""

    def __init__(self, zeros: Tangents, directions: NDArray[np.float64]) -> None:
        super().__init__(zeros.shapes, zeros.k, dtype=zeros.flat.dtype, device=zeros.flat.device)
        self._components: Sequence[Sequence[float]] = directions.T.tolist()

    def add_to_row(self, j: int, vector: Tensor, scale: float = 1.0) -> None:
        """Tangents += scale * vector [P] * their directions' components ``j``."""
        for i, component in enumerate(self._components[j]):
            super().add_to_row(i, vector, scale * component)
