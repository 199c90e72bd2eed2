"""What every hypergradient mode returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpobench_fds.training.trainer import Ending, Evaluation, TrainState


@dataclass(frozen=True)
class Hypergradient:
    """d(validation loss)/d(schedule), or why there is none.

    Attributes
    ----------
    ending : "ok", "diverged" (a loss, tangent or adjoint stopped being finite at step
        ``diverged_at``) or "out of budget".
    gradient : [n] in the order of the space's flat view; None unless ``ending`` is "ok".
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
