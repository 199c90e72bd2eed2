"""What a layer is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Parameter:
    """A parameter's name, shape, and how it is initialised: Xavier with these fans, or a constant."""

    name: str
    shape: Shape
    fans: tuple[int, int] | None = None
    constant: float = 0.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def initial(self, generator: torch.Generator) -> Tensor:
        """Xavier normal with gain 1 (Glorot & Bengio 2010), or the constant; float32 on the CPU."""
        if self.fans is None:
            return torch.full((self.size,), self.constant)
        return torch.randn(self.size, generator=generator) * math.sqrt(2.0 / sum(self.fans))


class Layer(ABC):
    """One layer. ``p`` are its parameters, ``dp`` their tangents [k, *shape], ``c`` its place on the tape.

    A place is given with ``need_input``: whether the input's gradient, and its tangents, are wanted. Behind
    the first layer that has parameters they always are.
    """

    parameters: Sequence[Parameter] = ()
    buffers: int = 0  # running statistics it keeps
    own: bool = False  # what it returns, gradients and tangents too, are new tensors that it does not keep

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """Output shape for an input shape, both without the batch."""

    @abstractmethod
    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        """Plain differentiable operations; ``running`` statistics are used if given, else the batch's."""

    @abstractmethod
    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        """Training pass; updates ``running`` in place if given."""

    @abstractmethod
    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        """From the output's gradient to the input's; writes the parameters' into ``grads``."""

    @abstractmethod
    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        """Tangents of the output [B, k, ...]."""

    @abstractmethod
    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        """Tangents of the input's gradient; writes those of the parameters' gradients into ``dgrads``."""


def channelwise(values: Tensor) -> Tensor:
    """[..., C] as [..., C, 1, 1], to meet [B, ..., C, H, W]."""
    return values[..., None, None]


def unflattened(x: Tensor, side: int, sizes: Sequence[int]) -> Tensor:
    """x with one of its sides as several; a view."""
    out: Tensor = x.unflatten(side, tuple(sizes))  # type: ignore[no-untyped-call]
    return out


def empty_tangents(x: Tensor, k: int) -> Tensor:
    """An empty [B, k, ...] for x [B, ...]; a single tangent is laid out as x is."""
    return torch.empty_like(x).unsqueeze(1) if k == 1 else x.new_empty(len(x), k, *x.shape[1:])
