"""Hyperparameters that move during a training: where they are, where they were, and what moved them.

They live where the weights do, so that a move reads nothing from a GPU: there vectors are tensors, on a CPU
numpy's, which is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.hypergradient.outer import Array, Outer
from hpobench_fds.training.problem import Problem


class Trajectory:
    """One vector of learned hyperparameters [n], moved by an outer optimiser over ``one_value_space``."""

    def __init__(self, problem: Problem, outer: Outer) -> None:
        self._problem, self._outer, self._horizon = problem, outer, problem.horizon
        self._device = problem.device
        self._host = self._device.type == "cpu"
        space = outer.space
        learned = list(space.learned)
        self._places = [learned.index(n) if n in learned else None for n in problem.rule.defaults]
        self._initial = space.initial  # of what is not learned
        self.vector: Array = self._array(space.to_vector(space.initial))
        self._values = self._array(np.zeros((self._horizon, len(learned))))
        self._slopes = self._array(np.zeros((self._horizon, len(learned))))
        self.steps = self.moves = 0
        if not self._host:
            self._prepare_device()

    def _array(self, values: NDArray[np.float64]) -> Array:
        return values if self._host else torch.as_tensor(values, device=self._device)

    def _prepare_device(self) -> None:
        """Values of every step with what is not learned filled in, and where the learned ones stand."""
        table = [self._in_force(step, [0.0] * len(self._places)) for step in range(self._horizon)]
        self._table = torch.tensor(table, dtype=torch.float64, device=self._device)
        self._learned = torch.tensor([p is not None for p in self._places], device=self._device)
        self._gather = torch.tensor([p or 0 for p in self._places], device=self._device)

    def _in_force(self, step: int, learned: Sequence[float]) -> tuple[float, ...]:
        return tuple(
            learned[place] if place is not None else self._initial.at(name, step, self._horizon)
            for place, name in zip(self._places, self._problem.rule.defaults, strict=True)
        )

    def hypers(self, step: int) -> Sequence[float] | Tensor:
        """Values in force at a step, in the rule's order [H]: numbers, or a tensor on a GPU."""
        if self._host:
            return self._in_force(step, self.vector.tolist())
        return torch.where(self._learned, self.vector.index_select(0, self._gather), self._table[step])

    def keep(self) -> None:
        """Remember the vector as that of the step."""
        self._values[self.steps] = self.vector
        self.steps += 1

    def move(self, hypergradient: Tensor) -> None:
        """Step along a hypergradient [n] (float64); one that is not finite moves nothing."""
        slope: Any = hypergradient.numpy() if self._host else hypergradient
        self._slopes[self.moves] = slope
        self.moves += 1
        if self._host:
            if np.isfinite(slope).all():
                self.vector = self._outer.move(self.vector, slope)
            return
        moved = self._outer.move(self.vector, slope)
        sound = torch.isfinite(slope).all() & torch.isfinite(moved).all()
        self.vector = torch.where(sound, moved, self.vector)

    def history(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values in force [steps, n] and hypergradients [moves, n]; the one read of them all."""
        values, slopes = torch.as_tensor(self._values), torch.as_tensor(self._slopes)
        return values[: self.steps].cpu().numpy(), slopes[: self.moves].cpu().numpy()
