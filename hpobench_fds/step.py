"""The inner step as a differentiable map, with its products with tangents and adjoints.

A rule maps (w, slots, gradient, hyperparameters) to (w', slots'). ``update`` states it once, in
plain torch operations; the tangent and adjoint products either follow from it by torch.func
(``AutogradRule``) or are written out and tested against it (``SGD``).

Shapes: w, gradient [P]; slots [S, P]; hyperparameters [H] in the order of ``defaults``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from hpobench_fds.tangents import Tangents


class StepRule(ABC):
    """An inner optimiser's step."""

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, float]]  # hyperparameters in order, with the value of one left out
    slots: ClassVar[int]  # state vectors of size P beside w

    @abstractmethod
    def update(
        self, w: Tensor, slots: Tensor, gradient: Tensor, hypers: Tensor | Sequence[float], step: int
    ) -> tuple[Tensor, Tensor]:
        """(w', slots'), differentiable in every tensor; ``step`` counts from 0."""

    @abstractmethod
    def update_(self, w: Tensor, slots: Tensor, gradient: Tensor, hypers: Sequence[float], step: int) -> None:
        """The same in place; ``gradient`` may be overwritten."""

    @abstractmethod
    def push(
        self,
        w: Tensor,
        slots: Tensor,
        gradient: Tensor,
        hypers: Sequence[float],
        step: int,
        dw: Tangents,
        dslots: list[Tangents],
        dgradient: Tangents,
        active: Sequence[int | None],
    ) -> None:
        """Tangents through the step, in place on dw and dslots; dgradient may be overwritten.

        ``active[h]`` is the row of the hyperparameter window in force (its own tangent is 1), or None.
        Arguments are those before the step.
        """

    @abstractmethod
    def pull(
        self,
        w: Tensor,
        slots: Tensor,
        gradient: Tensor,
        hypers: Sequence[float],
        step: int,
        aw: Tensor,
        aslots: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Adjoints back through the step.

        From d/dw' [P] and d/dslots' [S, P] to: d/dw without the part through the gradient [P],
        d/dslots [S, P], d/dgradient [P], d/dhyperparameters [H].
        """


class SGD(StepRule):
    """v' = momentum * v + (g + weight_decay * w); w' = w - lr * v' (torch.optim.SGD's rule)."""

    name = "sgd"
    defaults: ClassVar[Mapping[str, float]] = {"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    slots = 1

    def update(
        self, w: Tensor, slots: Tensor, gradient: Tensor, hypers: Tensor | Sequence[float], step: int
    ) -> tuple[Tensor, Tensor]:
        lr, momentum, decay = hypers
        v = momentum * slots[0] + (gradient + decay * w)
        return w - lr * v, v.unsqueeze(0)

    def update_(self, w: Tensor, slots: Tensor, gradient: Tensor, hypers: Sequence[float], step: int) -> None:
        lr, momentum, decay = hypers
        v = slots[0]
        if decay:
            gradient.add_(w, alpha=decay)
        v.mul_(momentum).add_(gradient)
        w.add_(v, alpha=-lr)

    def push(
        self,
        w: Tensor,
        slots: Tensor,
        gradient: Tensor,
        hypers: Sequence[float],
        step: int,
        dw: Tangents,
        dslots: list[Tangents],
        dgradient: Tangents,
        active: Sequence[int | None],
    ) -> None:
        lr, momentum, decay = hypers
        row_lr, row_momentum, row_decay = active
        v, dv = slots[0], dslots[0]
        if decay:
            dgradient.flat.add_(dw.flat, alpha=decay)
        dv.flat.mul_(momentum).add_(dgradient.flat)
        if row_momentum is not None:
            dv.add_to_row(row_momentum, v)
        if row_decay is not None:
            dv.add_to_row(row_decay, w)
        dw.flat.add_(dv.flat, alpha=-lr)
        if row_lr is not None:  # - v', made from what is known before the step
            dw.add_to_row(row_lr, v, -momentum)
            dw.add_to_row(row_lr, gradient, -1.0)
            if decay:
                dw.add_to_row(row_lr, w, -decay)

    def pull(
        self,
        w: Tensor,
        slots: Tensor,
        gradient: Tensor,
        hypers: Sequence[float],
        step: int,
        aw: Tensor,
        aslots: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        lr, momentum, decay = hypers
        v = slots[0]
        av = torch.add(aslots[0], aw, alpha=-lr)  # everything that reaches v'
        d_lr = -(momentum * torch.dot(aw, v) + torch.dot(aw, gradient) + decay * torch.dot(aw, w))
        hyper = torch.stack([d_lr, torch.dot(av, v), torch.dot(av, w)])
        return torch.add(aw, av, alpha=decay), (momentum * av).unsqueeze(0), av, hyper


RULES: dict[str, StepRule] = {rule.name: rule for rule in (SGD(),)}
"""Inner optimisers by name."""
