"""A training in progress, how it ended, and what it came to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

Ending = Literal["ok", "diverged", "out of budget"]


@dataclass
class TrainState:
    """A training in progress: plain tensors and numbers.

    w : parameters [P]; slots : optimiser state [S, P]; buffers : batch-norm statistics [R];
    step : inner steps done; trial : the draw (initialisation, split, order) it belongs to.
    """

    w: Tensor
    slots: Tensor
    buffers: Tensor
    step: int
    trial: int

    def clone(self) -> TrainState:
        return replace(self, w=self.w.clone(), slots=self.slots.clone(), buffers=self.buffers.clone())


@dataclass(frozen=True)
class Ended:
    """Why an inner loop stops. ``diverged_at`` is the inner step whose loss was not finite."""

    ending: Ending
    diverged_at: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats) and accuracy; a diverged training has loss inf, accuracy 0."""

    loss: float
    accuracy: float


DIVERGED = Evaluation(math.inf, 0.0)
