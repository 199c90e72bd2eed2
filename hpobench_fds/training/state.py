"""A training in progress, how it ended, and what it came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from hpobench_fds.schedule import Schedule
from hpobench_fds.training.own_rules import OwnRule

Ending = Literal["ok", "diverged", "out of budget"]
LoopEnding = Literal["ok", "diverged", "out of budget", "overflow"]
"""``overflow``: what a loop carries along is not finite any more, and the training may well be."""

Piece = tuple[int, int, tuple[float, ...]]
"""A first inner step, the one after the last, and the values in force in between, in the rule's order."""

Recipe = Schedule | OwnRule
"""What a training follows: a schedule of the problem's step rule, or a rule of its own, which needs none."""


@dataclass
class TrainState:
    """A training in progress: plain tensors and numbers.

    w : parameters [P]; slots : optimiser state [S, P]; buffers : batch-norm statistics [R];
    step : inner steps done; trial : the draw (initialisation, split, order) it belongs to.
    trained : the hyperparameters that it has had since step 0; None: not known.
    by : the rule of its own that it was trained by; then w is where that rule is evaluated.
    """

    w: Tensor
    slots: Tensor
    buffers: Tensor
    step: int
    trial: int
    trained: list[Piece] | None = None
    by: OwnRule | None = None

    def clone(self) -> TrainState:
        trained = None if self.trained is None else [*self.trained]
        w, slots, buffers = self.w.clone(), self.slots.clone(), self.buffers.clone()
        return replace(self, w=w, slots=slots, buffers=buffers, trained=trained)

    def took(self, step: int, hypers: Sequence[float] | Tensor) -> None:
        """Count inner step ``step``, and note what was in force in it."""
        self.step = step + 1
        trained = self.trained
        if trained:
            begin, end, values = trained[-1]
            if values is hypers and end == step:  # nearly always, and so at no cost
                trained[-1] = begin, self.step, values
                return
        if trained is None:
            return
        if isinstance(hypers, Tensor):  # reading it would wait for the device
            self.trained = None
            return
        if isinstance(hypers, tuple) and all(type(value) is float for value in hypers):
            trained.append((step, self.step, hypers))
        else:
            trained.append((step, self.step, tuple(map(float, hypers))))


@dataclass(frozen=True)
class Ended:
    """Why an inner loop stops. ``diverged_at`` is the inner step whose loss was not finite."""

    ending: LoopEnding
    diverged_at: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Mean loss (of cross-entropy in nats) and the problem's metric; if diverged, infinite and 0."""

    loss: float
    metric: float


DIVERGED = Evaluation(math.inf, 0.0)
