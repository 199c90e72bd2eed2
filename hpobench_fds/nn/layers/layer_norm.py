"""Layer normalisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Parameter, Shape, Tensors

_norm = torch.native_layer_norm
_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class LayerNorm(Layer):
    """Layer normalisation (Ba et al. 2016) of each example's last side."""

    own = True
    eps = 1e-5

    def __init__(self, features: int, name: str = "norm") -> None:
        self.features = features
        self.parameters = (
            Parameter(f"{name}.weight", (features,), constant=1.0),
            Parameter(f"{name}.bias", (features,)),
        )

    def output(self, shape: Shape) -> Shape:
        if shape[-1] != self.features:
            raise ValueError(f"a norm of {self.features} features cannot take {shape}")
        return shape

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return F.layer_norm(x, [self.features], p[0], p[1], self.eps)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x, c.xhat = x, None
        out, c.mean, c.rstd = _norm(x, [self.features], p[0], p[1], self.eps)
        return out

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        c.g = g
        needed = [c.need_input, True, True]
        gx, gw, gb = _norm_backward(g, c.x, [self.features], c.mean, c.rstd, p[0], p[1], needed)
        grads[0].copy_(gw)
        grads[1].copy_(gb)
        return gx if c.need_input else None

    def _prepare(self, p: Tensors, c: Any) -> None:
        """What every tangent shares, with a side of 1 to meet k of them."""
        if c.xhat is not None:
            return
        c.scale = c.rstd.unsqueeze(1)
        c.xhat = ((c.x - c.mean) * c.rstd).unsqueeze(1)
        c.h = (c.g * p[0]).unsqueeze(1)  # the gradient of xhat
        c.mean_h, c.along = c.h.mean(-1, keepdim=True), _mean(c.xhat, c.h)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        """d xhat = rstd * (dx - mean(dx) - xhat * mean(xhat * dx))."""
        self._prepare(p, c)
        dw, db = (_meeting(d, c.xhat) for d in dp)
        c.dxhat = None
        out = torch.addcmul(db, c.xhat, dw)
        if dx is None:
            return out
        c.shrinks = c.scale * _mean(c.xhat, dx)  # how much faster than itself rstd falls
        c.dxhat = dx - dx.mean(-1, keepdim=True)
        c.dxhat.mul_(c.scale).addcmul_(c.xhat, c.shrinks, value=-1.0)
        return out.addcmul_(c.dxhat, p[0])

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        """The tangent of gx = rstd * (h - mean(h) - xhat * mean(xhat * h)), where h = weight * g."""
        others = (0, *range(2, dg.dim() - 1))
        torch.sum(dg, others, out=dgrads[1])
        on_weight = dg * c.xhat
        if c.dxhat is not None:
            on_weight.addcmul_(c.dxhat, c.g.unsqueeze(1))
        torch.sum(on_weight, others, out=dgrads[0])
        if not c.need_input:
            return None
        dh = dg * p[0]
        dh.addcmul_(c.g.unsqueeze(1), _meeting(dp[0], c.xhat))
        mean, along = dh.mean(-1, keepdim=True), _mean(c.xhat, dh)
        if c.dxhat is not None:
            along += _mean(c.dxhat, c.h) - c.shrinks * c.along
            mean -= c.shrinks * c.mean_h
            dh.addcmul_(c.h, c.shrinks, value=-1.0).addcmul_(c.dxhat, c.along, value=-1.0)
        return dh.sub_(mean).addcmul_(c.xhat, along, value=-1.0).mul_(c.scale)


def _mean(a: Tensor, b: Tensor) -> Tensor:
    """Means of a * b over the last side, which stays as 1."""
    return (a * b).mean(-1, keepdim=True)


def _meeting(d: Tensor, x: Tensor) -> Tensor:
    """A parameter's tangents [k, F] as they meet [B, k, ..., F], of as many sides as x."""
    return d.view(len(d), *(1,) * (x.dim() - 3), d.shape[-1])
