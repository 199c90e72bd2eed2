"""What every mode of differentiation is: one call, with what it covers, holds and costs said beforehand."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hpobench_fds.hypergradient.conditioning import UNKNOWN, Conditioning
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import DIVERGED, Ended, Ending, Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer


@dataclass(frozen=True)
class Hypergradient:
    """d(validation loss)/d(schedule), or why there is none.

    Attributes
    ----------
    ending : the training's: "ok", "diverged" (a loss was not finite at step ``diverged_at``) or "out of
        budget".
    gradient : [n] in the order of the space's flat view; None unless ``ending`` is "ok", and where a tangent
        or an adjoint overflowed though the training did not: its evaluation is then as good as any.
    conditioning : what the hypergradient is worth.
    loss : the validation loss differentiated: batch norm in training mode, mean over batches.
    evaluation : validation loss and accuracy in evaluation mode, as every method reports them.
    state : the training's final state.
    products : Hessian-vector products computed.
    peak_bytes : most memory that the mode held in trajectories, checkpoints and tangents.
    """

    ending: Ending
    gradient: NDArray[np.float64] | None
    loss: float
    evaluation: Evaluation
    state: TrainState
    diverged_at: int | None = None
    products: int = 0
    peak_bytes: int = 0
    conditioning: Conditioning = UNKNOWN

    @classmethod
    def none(cls, ended: Ended, state: TrainState, products: int = 0, peak_bytes: int = 0) -> Hypergradient:
        """That a training came to nothing, and why."""
        assert ended.ending != "overflow"
        return cls(ended.ending, None, math.inf, DIVERGED, state, ended.diverged_at, products, peak_bytes)


class Mode(ABC):
    """A way to the hypergradient of one training. Instances hold its options, nothing of a training.

    ``exact`` : whether it differentiates through every step of the training.
    """

    exact: ClassVar[bool]

    @abstractmethod
    def __call__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None = None
    ) -> Hypergradient:
        """Train ``schedule`` afresh as ``trial`` over ``horizon`` inner steps, and differentiate.

        The schedule is stretched over the horizon, which is the problem's if none is given.
        """

    def uncovered(self, problem: Problem) -> str | None:
        """Why this mode has no hypergradient for a problem, or None.

        Every mode moves values of windows, and needs the model's Hessian-vector products.
        """
        return no_windows(problem) or no_products(problem)

    @abstractmethod
    def held(self, problem: Problem, horizon: int) -> int:
        """Bytes held beside the training: trajectories, checkpoints, tangents.

        Raises InputError if they are limited, and the limit is too low.
        """

    @abstractmethod
    def cost(self, problem: Problem, horizon: int) -> float:
        """Gradient-equivalents of one call, the training included, validation and evaluation apart."""


def no_windows(problem: Problem) -> str | None:
    """Which hyperparameters are curves, that have no windows whose values could move; None if none are."""
    curves = problem.space.curves
    return f"it moves values of windows, and {', '.join(curves)} (allowed: piecewise)" if curves else None


def no_products(problem: Problem) -> str | None:
    """Why a problem's model cannot be differentiated twice, in words; None if it can."""
    reason = problem.network.no_products
    return None if reason is None else f"the model has no Hessian-vector products: {reason}"


def vector_bytes(problem: Problem) -> int:
    """Bytes of one parameter vector [P]."""
    return problem.network.size * problem.dtype.itemsize
