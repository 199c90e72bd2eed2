"""Linear maps, relu, silu, gelu, flattening, averages."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Parameter, Shape, Tensors, channelwise, empty_tangents

_threshold = torch.ops.aten.threshold_backward.default
_silu_backward = torch.ops.aten.silu_backward.default
_gelu_backward = torch.ops.aten.gelu_backward.default
_threshold_into = torch.ops.aten.threshold_backward.grad_input


class Flatten(Layer):
    """[C, H, W] to [C * H * W]."""

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return x.flatten(1)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.shape = x.shape[1:]
        return x.flatten(1)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        return g.view(len(g), *c.shape)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        return None if dx is None else dx.flatten(2)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        return dg.view(*dg.shape[:2], *c.shape)


class Linear(Layer):
    """x W^T + b, or without b."""

    own = True

    def __init__(self, inputs: int, outputs: int, name: str = "linear", bias: bool = True) -> None:
        self.inputs, self.outputs, self.bias = inputs, outputs, bias
        weight = Parameter(f"{name}.weight", (outputs, inputs), (inputs, outputs))
        self.parameters = (weight, Parameter(f"{name}.bias", (outputs,))) if bias else (weight,)

    def output(self, shape: Shape) -> Shape:
        return (self.outputs,)

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return F.linear(x, p[0], p[1] if self.bias else None)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x = x
        return torch.addmm(p[1], x, p[0].t()) if self.bias else x @ p[0].t()

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        c.g = g
        torch.mm(g.t(), c.x, out=grads[0])
        if self.bias:
            torch.sum(g, 0, out=grads[1])
        return g @ p[0] if c.need_input else None

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        k, batch = dp[0].shape[0], c.x.shape[0]
        dz: Tensor = c.x @ dp[0].view(k * self.outputs, self.inputs).t()
        if self.bias:
            dz += dp[1].view(k * self.outputs)
        if dx is not None:
            dz.view(batch * k, self.outputs).addmm_(dx.reshape(batch * k, self.inputs), p[0].t())
        c.dx = dx
        return dz.view(batch, k, self.outputs)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        batch, k = dg.shape[:2]
        flat = dg.reshape(batch, k * self.outputs)
        torch.mm(flat.t(), c.x, out=dgrads[0].view(k * self.outputs, self.inputs))
        if self.bias:
            torch.sum(flat, 0, out=dgrads[1].view(k * self.outputs))
        if c.dx is not None:  # [O, k * I]: k tangents of the input side by side
            wide = c.g.t() @ c.dx.reshape(batch, k * self.inputs)
            dgrads[0].add_(wide.view(self.outputs, k, self.inputs).transpose(0, 1))
        if not c.need_input:
            return None
        out: Tensor = (flat.view(batch * k, self.outputs) @ p[0]).view(batch, k * self.inputs)
        out.addmm_(c.g, dp[0].transpose(0, 1).reshape(self.outputs, k * self.inputs))
        return out.view(batch, k, self.inputs)


class ReLU(Layer):
    """max(x, 0); its derivative at 0 is 0."""

    def output(self, shape: Shape) -> Shape:
        return shape

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return F.relu(x)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.out = x.relu_() if getattr(c, "after_own", False) else x.relu()
        out: Tensor = c.out
        return out

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        return self._masked(g, c.out, g if getattr(c, "before_own", False) else None)

    @staticmethod
    def _masked(g: Tensor, out: Tensor, into: Tensor | None = None) -> Tensor:
        """g where the unit is on, else 0."""
        if into is None:
            masked: Tensor = _threshold(g, out, 0.0)
        else:
            masked = _threshold_into(g, out, 0.0, grad_input=into)
        return masked

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        if dx is None:
            return None
        k = dx.shape[1]
        in_place = getattr(c, "after_own", False) and (k == 1 or dx.is_contiguous())
        return self._masked(dx, c.out.unsqueeze(1), dx if in_place else empty_tangents(c.out, k))

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        return self._masked(dg, c.out.unsqueeze(1), dg if getattr(c, "before_own", False) else None)


class _Smooth(Layer):
    """A function of each number that can be differentiated twice."""

    own = True

    def output(self, shape: Shape) -> Shape:
        return shape

    @abstractmethod
    def _value(self, x: Tensor) -> Tensor:
        """f(x)."""

    @abstractmethod
    def _pulled(self, g: Tensor, x: Tensor) -> Tensor:
        """g f'(x), by the library's kernel."""

    @abstractmethod
    def _derivatives(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f'(x) and f''(x)."""

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return self._value(x)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x, c.slope = x, None
        return self._value(x)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        c.g = g
        return self._pulled(g, c.x)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        c.dx = dx
        if dx is None:
            return None
        if c.slope is None:  # every tangent shares it, and what the second derivative makes of the gradient
            slope, bend = self._derivatives(c.x)
            c.slope, c.bend = slope.unsqueeze(1), bend.mul_(c.g).unsqueeze(1)
        out: Tensor = dx * c.slope
        return out

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        if c.dx is None:  # nothing below has a parameter
            return None
        out: Tensor = dg * c.slope
        return out.addcmul_(c.dx, c.bend)


class SiLU(_Smooth):
    """x * sigmoid(x), a relu with a continuous derivative."""

    def _value(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def _pulled(self, g: Tensor, x: Tensor) -> Tensor:
        pulled: Tensor = _silu_backward(g, x)
        return pulled

    def _derivatives(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = x.sigmoid()
        return s * (1 + x * (1 - s)), s * (1 - s) * (2 + x * (1 - 2 * s))


class GELU(_Smooth):
    """x * Phi(x), Phi the normal distribution's (Hendrycks & Gimpel 2016)."""

    def _value(self, x: Tensor) -> Tensor:
        return F.gelu(x)

    def _pulled(self, g: Tensor, x: Tensor) -> Tensor:
        pulled: Tensor = _gelu_backward(g, x)
        return pulled

    def _derivatives(self, x: Tensor) -> tuple[Tensor, Tensor]:
        squared = x * x
        density = squared.mul(-0.5).exp_().mul_(1.0 / math.sqrt(2.0 * math.pi))
        slope = x.mul(math.sqrt(0.5)).erf_().add_(1.0).mul_(0.5).addcmul_(x, density)
        return slope, squared.neg_().add_(2.0).mul_(density)


class GlobalAvgPool(Layer):
    """Mean over all pixels: [C, H, W] to [C]."""

    def output(self, shape: Shape) -> Shape:
        return shape[:1]

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return x.mean((2, 3))

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x = x
        return x.mean((2, 3))

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        return torch.empty_like(c.x).copy_(channelwise(g / c.x[0, 0].numel()))

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        return None if dx is None else dx.mean((3, 4))

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        return empty_tangents(c.x, dg.shape[1]).copy_(channelwise(dg / c.x[0, 0].numel()))
