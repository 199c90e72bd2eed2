"""Sequences of tokens [B, L, F]: their embedding, and layers that see one place at a time.

k tangents [B, k, L, F] lie in memory as [B, L, k, F]: what works place by place then meets them as rows
[B * L, k, F], as it meets those of a batch, without a copy.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Parameter, Shape, Tensors, unflattened
from hpobench_fds.nn.layers.containers import Sequential

_embedding_backward = torch.ops.aten.embedding_dense_backward.default


class Embedding(Layer):
    """Codes [B, L] below ``tokens`` to vectors [B, L, width], a learned one of each place added."""

    own = True

    def __init__(self, tokens: int, context: int, width: int, name: str = "embedding") -> None:
        self.tokens, self.context, self.width = tokens, context, width
        self.parameters = (
            Parameter(f"{name}.token", (tokens, width), (tokens, width)),
            Parameter(f"{name}.place", (context, width), (context, width)),
        )

    def output(self, shape: Shape) -> Shape:
        if shape != (self.context,):
            raise ValueError(f"an embedding of {self.context} places cannot take {shape}")
        return (self.context, self.width)

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return F.embedding(x, p[0]) + p[1]

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x = x
        return F.embedding(x, p[0]).add_(p[1])

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        grads[0].copy_(_embedding_backward(g, c.x, self.tokens, -1, False))
        torch.sum(g, 0, out=grads[1])
        return None

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        k, (batch, context) = len(dp[0]), c.x.shape
        of_tokens = dp[0].transpose(0, 1).reshape(self.tokens, k * self.width)
        out = F.embedding(c.x, of_tokens).view(batch, context, k, self.width)
        return out.add_(dp[1].transpose(0, 1)).transpose(1, 2)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        batch, k, context, width = dg.shape
        rows = dg.transpose(1, 2).reshape(batch, context, k * width)
        pulled = _embedding_backward(rows, c.x, self.tokens, -1, False)
        dgrads[0].copy_(pulled.view(self.tokens, k, width).transpose(0, 1))
        torch.sum(dg, 0, out=dgrads[1])
        return None


class PerToken(Layer):
    """Layers of rows [F], at every place of a sequence [L, F]."""

    def __init__(self, *layers: Layer) -> None:
        self.body = Sequential(*layers)
        self.parameters = self.body.parameters
        self.own = bool(layers) and layers[0].own and layers[-1].own

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"layers of every token take sequences [L, F], not {shape}")
        return (shape[0], *self.body.output(shape[1:]))

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return unflattened(self.body.apply(p, x.flatten(0, 1), None), 0, x.shape[:2])

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.body, c.shape = SimpleNamespace(need_input=c.need_input), x.shape[:2]
        return unflattened(self.body.forward(p, x.flatten(0, 1), None, c.body), 0, c.shape)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        pulled = self.body.backward(p, g.flatten(0, 1), c.body, grads)
        return None if pulled is None else unflattened(pulled, 0, c.shape)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        rows = None if dx is None else dx.transpose(1, 2).flatten(0, 1)
        return self._back(self.body.tangent(p, dp, rows, c.body), c)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        rows = dg.transpose(1, 2).flatten(0, 1)
        return self._back(self.body.tangent_backward(p, dp, rows, c.body, dgrads), c)

    @staticmethod
    def _back(rows: Tensor | None, c: Any) -> Tensor | None:
        """Rows [B * L, k, F] as tangents [B, k, L, F]."""
        return None if rows is None else unflattened(rows, 0, c.shape).transpose(1, 2)
