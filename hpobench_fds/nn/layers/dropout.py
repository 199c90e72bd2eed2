"""Dropout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hpobench_fds.nn.draws import are_on
from hpobench_fds.nn.layers.base import Layer, Shape, Tensors


class Dropout(Layer):
    """Each number is dropped with probability p in training, the others grow by 1 / (1 - p).

    Srivastava et al., JMLR 2014. The mask follows from the pass's draw (``draws``); without one the layer is
    the identity. Raises ValueError for a p outside [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p < 1.0:
            raise ValueError(f"dropout of {p:g} (allowed: 0 or more, and less than 1)")
        self.p = p

    def output(self, shape: Shape) -> Shape:
        return shape

    def _mask(self, x: Tensor) -> Tensor | None:
        """What x is multiplied by: 0 or 1 / (1 - p); None: nothing is dropped."""
        if not (self.p and are_on()):
            return None
        mask = torch.empty(x.shape, dtype=x.dtype, device=x.device)  # in the order of its shape
        return mask.bernoulli_(1.0 - self.p).div_(1.0 - self.p)

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        mask = self._mask(x)
        return x if mask is None else x * mask

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.mask = mask = self._mask(x)
        return x if mask is None else x * mask

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        return g if c.mask is None else g * c.mask

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        return dx if dx is None or c.mask is None else dx * c.mask.unsqueeze(1)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        return dg if c.mask is None else dg * c.mask.unsqueeze(1)
