"""Layer kinds with hand-written gradient and tangent rules: no autograd in the inner loop.

Each layer knows four passes. ``forward`` and ``backward`` make a gradient and leave on the tape what
they saw (input x, output gradient g). ``tangent`` and ``tangent_backward`` push k directions through
the same tape: the derivative of the gradient along k parameter tangents, i.e. k Hessian-vector
products that share one primal pass.

Layout: x [B, ...]; k tangents of it [B, k, ...]. With parameter tangents stored [k, *shape], the k
products with a primal input are one GEMM or convolution with k times the output channels, and the k
products with a primal weight one with k times the batch; both without a copy.

A tangent of None is zero (the input data's). No layer overwrites what it is given: branches share it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Shape = tuple[int, ...]


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
    """One layer. ``p`` are its parameters, ``dp`` their tangents [k, *shape], ``c`` its place on the tape."""

    parameters: Sequence[Parameter] = ()
    buffers: int = 0  # running statistics it keeps

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """Output shape for an input shape, both without the batch."""

    @abstractmethod
    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        """Plain differentiable operations; ``running`` statistics are used if given, else the batch's."""

    @abstractmethod
    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        """Training pass; updates ``running`` in place if given."""

    @abstractmethod
    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        """From the output's gradient to the input's; writes the parameters' into ``grads``."""

    @abstractmethod
    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        """Tangents of the output [B, k, ...]."""

    @abstractmethod
    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        """Tangents of the input's gradient; writes those of the parameters' gradients into ``dgrads``."""


class Flatten(Layer):
    """[C, H, W] to [C * H * W]."""

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        return x.flatten(1)

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.shape = x.shape[1:]
        return x.flatten(1)

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        return g.view(len(g), *c.shape)

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        return None if dx is None else dx.flatten(2)

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        return dg.view(*dg.shape[:2], *c.shape)


class Linear(Layer):
    """x W^T + b."""

    def __init__(self, inputs: int, outputs: int, name: str = "linear") -> None:
        self.inputs, self.outputs = inputs, outputs
        self.parameters = (
            Parameter(f"{name}.weight", (outputs, inputs), (inputs, outputs)),
            Parameter(f"{name}.bias", (outputs,)),
        )

    def output(self, shape: Shape) -> Shape:
        return (self.outputs,)

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        return F.linear(x, p[0], p[1])

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x = x
        return torch.addmm(p[1], x, p[0].t())

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        c.g = g
        torch.mm(g.t(), c.x, out=grads[0])
        torch.sum(g, 0, out=grads[1])
        return g @ p[0] if need_input else None

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        k, batch = dp[0].shape[0], c.x.shape[0]
        bias = dp[1].view(k * self.outputs)
        dz = torch.addmm(bias, c.x, dp[0].view(k * self.outputs, self.inputs).t())
        if dx is not None:
            dz.view(batch * k, self.outputs).addmm_(dx.reshape(batch * k, self.inputs), p[0].t())
        c.dx = dx
        return dz.view(batch, k, self.outputs)

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        batch, k = dg.shape[:2]
        flat = dg.reshape(batch, k * self.outputs)
        torch.mm(flat.t(), c.x, out=dgrads[0].view(k * self.outputs, self.inputs))
        torch.sum(flat, 0, out=dgrads[1].view(k * self.outputs))
        if c.dx is not None:
            dgrads[0].baddbmm_(c.g.t().expand(k, -1, -1), c.dx.transpose(0, 1))
        if not need_input:
            return None
        out = (flat.view(batch * k, self.outputs) @ p[0]).view(batch, k, self.inputs)
        return out.transpose(0, 1).baddbmm_(c.g.expand(k, -1, -1), dp[0]).transpose(0, 1)


class ReLU(Layer):
    """max(x, 0); its derivative at 0 is 0."""

    def output(self, shape: Shape) -> Shape:
        return shape

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        return F.relu(x)

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.out = F.relu(x)
        out: Tensor = c.out
        return out

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        c.mask = None
        pulled: Tensor = torch.ops.aten.threshold_backward(g, c.out, 0.0)
        return pulled

    def _mask(self, c: Any) -> Tensor:
        if c.mask is None:
            c.mask = (c.out > 0).to(c.out.dtype).unsqueeze(1)
        mask: Tensor = c.mask
        return mask

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        return None if dx is None else dx * self._mask(c)

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        return dg * self._mask(c)


_convolution_backward = torch.ops.aten.convolution_backward


class Conv2d(Layer):
    """Square-kernel convolution, with or without bias."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        name: str = "conv",
    ) -> None:
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        self.stride, self.padding, self.bias = stride, padding, bias
        fans = (inputs * kernel * kernel, outputs * kernel * kernel)
        weight = Parameter(f"{name}.weight", (outputs, inputs, kernel, kernel), fans)
        self.parameters = (weight, Parameter(f"{name}.bias", (outputs,))) if bias else (weight,)

    def output(self, shape: Shape) -> Shape:
        _, height, width = shape
        side = [(n + 2 * self.padding - self.kernel) // self.stride + 1 for n in (height, width)]
        return (self.outputs, *side)

    def _conv(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding)

    def _pull(self, g: Tensor, x: Tensor, weight: Tensor, need: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
        gx, gw, _ = _convolution_backward(
            g,
            x,
            weight,
            None,
            [self.stride] * 2,
            [self.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            1,
            [*need, False],
        )
        return gx, gw

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        return self._conv(x, p[0], p[1] if self.bias else None)

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x = x
        return self._conv(x, p[0], p[1] if self.bias else None)

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        c.g = g
        gx, gw = self._pull(g, c.x, p[0], (need_input, True))
        grads[0].copy_(gw)
        if self.bias:
            torch.sum(g, (0, 2, 3), out=grads[1])
        return gx if need_input else None

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        k, batch = dp[0].shape[0], c.x.shape[0]
        bias = dp[1].view(k * self.outputs) if self.bias else None
        dz = self._conv(c.x, dp[0].view(k * self.outputs, *dp[0].shape[2:]), bias)
        dz = dz.view(batch, k, self.outputs, *dz.shape[2:])
        if dx is not None:
            dz.view(batch * k, *dz.shape[2:]).add_(
                self._conv(dx.reshape(batch * k, *dx.shape[2:]), p[0], None)
            )
        c.dx = dx
        return dz

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        batch, k, outputs, *side = dg.shape
        weights = (k * outputs, self.inputs, self.kernel, self.kernel)
        _, gw = self._pull(dg.reshape(batch, k * outputs, *side), c.x, dp[0].view(weights), (False, True))
        dgrads[0].copy_(gw.view_as(dgrads[0]))
        if self.bias:
            torch.sum(dg, (0, 3, 4), out=dgrads[1])
        if c.dx is None and not need_input:
            return None
        return self._second_order(p, dp, dg, c, dgrads, need_input)

    def _second_order(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        """The terms in which the primal gradient g meets a tangent: one call makes both."""
        batch, k, outputs, *side = dg.shape
        # [O, k * I, ...]: k input tangents side by side as channels
        weights = dp[0].transpose(0, 1).reshape(outputs, k * self.inputs, self.kernel, self.kernel)
        has_dx = c.dx is not None
        wide_shape = (batch, k * self.inputs, *c.x.shape[2:])
        wide = (
            c.dx.reshape(wide_shape) if has_dx else c.x.new_empty(wide_shape)
        )  # else only its shape is read
        gx, gw = self._pull(c.g, wide, weights, (need_input, has_dx))
        if has_dx:
            dgrads[0].add_(gw.view(outputs, k, self.inputs, self.kernel, self.kernel).transpose(0, 1))
        if not need_input:
            return None
        gx = gx.view(batch, k, *c.x.shape[1:])
        flat_x = c.x.new_empty(batch * k, *c.x.shape[1:])  # only its shape is read
        through, _ = self._pull(dg.reshape(batch * k, outputs, *side), flat_x, p[0], (True, False))
        return through.view_as(gx).add_(gx)


class MaxPool2(Layer):
    """Maximum over windows of 2 x 2 pixels.

    Of equals the upper is taken in each column, then the left: by comparisons of whole rows, several
    times faster on the CPU than the library's search window by window.
    """

    def output(self, shape: Shape) -> Shape:
        channels, height, width = shape
        if height % 2 or width % 2:
            raise ValueError(f"cannot pool {height} x {width} pixels by 2")
        return (channels, height // 2, width // 2)

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        upper, lower = x[..., 0::2, :], x[..., 1::2, :]
        columns = torch.where(upper >= lower, upper, lower)
        left, right = columns[..., 0::2], columns[..., 1::2]
        return torch.where(left >= right, left, right)

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        upper, lower = x[..., 0::2, :], x[..., 1::2, :]
        below = upper < lower
        columns = torch.maximum(upper, lower)  # unlike a comparison, lets NaN through
        left, right = columns[..., 0::2], columns[..., 1::2]
        is_right = left < right
        c.shape = x.shape
        c.index = self._index(x.shape[-2:], below, is_right)
        return torch.maximum(left, right)

    def _index(self, side: torch.Size, below: Tensor, is_right: Tensor) -> Tensor:
        """Where in the flattened image each maximum lies: [B, C, pixels of the output]."""
        height, width = side
        corner = torch.arange(0, height, 2, device=below.device)[:, None] * width
        corner = corner + torch.arange(0, width, 2, device=below.device)
        row = torch.where(is_right, below[..., 1::2], below[..., 0::2])
        return torch.add(corner, row, alpha=width).add_(is_right).flatten(2)

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        gx = g.new_zeros((*c.shape[:2], c.shape[2] * c.shape[3]))
        return gx.scatter_(2, c.index, g.flatten(2)).view(*c.shape)

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        if dx is None:
            return None
        index = c.index.unsqueeze(1).expand(-1, dx.shape[1], -1, -1)
        return dx.flatten(3).gather(3, index).view(*dx.shape[:3], c.shape[2] // 2, c.shape[3] // 2)

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        batch, k = dg.shape[:2]
        index = c.index.unsqueeze(1).expand(-1, k, -1, -1)
        gx = dg.new_zeros((batch, k, c.shape[1], c.shape[2] * c.shape[3]))
        return gx.scatter_(3, index, dg.flatten(3)).view(batch, k, *c.shape[1:])


class GlobalAvgPool(Layer):
    """Mean over all pixels: [C, H, W] to [C]."""

    def output(self, shape: Shape) -> Shape:
        return shape[:1]

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        return x.mean((2, 3))

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.shape = x.shape
        return x.mean((2, 3))

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        pixels = c.shape[2] * c.shape[3]
        return _channels(g / pixels).expand(*c.shape).contiguous()

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        return None if dx is None else dx.mean((3, 4))

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        pixels = c.shape[2] * c.shape[3]
        return _channels(dg / pixels).expand(*dg.shape, *c.shape[2:]).contiguous()


class BatchNorm2d(Layer):
    """Batch normalisation; the batch's statistics in training, running ones (momentum 0.1) in evaluation."""

    momentum, eps = 0.1, 1e-5

    def __init__(self, channels: int, name: str = "norm") -> None:
        self.channels = channels
        self.parameters = (
            Parameter(f"{name}.weight", (channels,), constant=1.0),
            Parameter(f"{name}.bias", (channels,)),
        )
        self.buffers = 2 * channels

    def output(self, shape: Shape) -> Shape:
        return shape

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        if running is None:
            return F.batch_norm(x, None, None, p[0], p[1], training=True, eps=self.eps)
        mean, variance = running.split_with_sizes([self.channels] * 2)
        return F.batch_norm(x, mean, variance, p[0], p[1], training=False, eps=self.eps)

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        mean, variance = (None, None) if running is None else running.split_with_sizes([self.channels] * 2)
        out, c.mean, c.rstd = torch.native_batch_norm(
            x, p[0], p[1], mean, variance, True, self.momentum, self.eps
        )
        c.x = x
        return out

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        c.g = g
        gx, gw, gb = torch.ops.aten.native_batch_norm_backward(
            g, c.x, p[0], None, None, c.mean, c.rstd, True, self.eps, [need_input, True, True]
        )
        grads[0].copy_(gw)
        grads[1].copy_(gb)
        c.gw, c.gb, c.ready = gw, gb, False
        return gx if need_input else None

    def _prepare(self, c: Any) -> None:
        """The normalised input, which every tangent shares."""
        if not c.ready:
            c.n = c.x.numel() // self.channels
            c.xhat = (c.x - _channels(c.mean)).mul_(_channels(c.rstd))
            c.ready = True

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        """d xhat = rstd * (dx - mean(dx) - xhat * mean(xhat * dx)), multiplied out to two passes."""
        self._prepare(c)
        k, xhat = dp[0].shape[0], c.xhat.unsqueeze(1)
        out: Tensor = xhat.new_empty(len(xhat), k, *xhat.shape[2:])
        c.dx = dx
        if dx is None:
            c.mean_dx = c.correlation = torch.zeros_like(dp[0])
        else:
            c.mean_dx = dx.mean((0, 3, 4))  # [k, C]
            c.correlation = torch.mul(dx, xhat, out=out).mean((0, 3, 4))
        scale = p[0] * c.rstd
        constant = dp[1] - scale * c.mean_dx
        torch.addcmul(_channels(constant), xhat, _channels(dp[0] - scale * c.correlation), out=out)
        if dx is not None:
            out.addcmul_(dx, _channels(scale))
        return out

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        """The tangent of gx = weight * rstd * (g - mean(g) - xhat * mean(g * xhat)), multiplied out."""
        xhat, g = c.xhat.unsqueeze(1), c.g.unsqueeze(1)
        out: Tensor = torch.mul(dg, xhat)
        dgw = out.sum((0, 3, 4))
        if c.dx is not None:
            through = torch.mul(c.dx, g, out=out).sum((0, 3, 4))
            dgw += c.rstd * (through - c.mean_dx * c.gb - c.correlation * c.gw)
        dgrads[0].copy_(dgw)
        torch.sum(dg, (0, 3, 4), out=dgrads[1])
        if not need_input:
            return None
        scale, mean_g, mean_gx = p[0] * c.rstd, c.gb / c.n, c.gw / c.n
        factor = dp[0] * c.rstd - scale * c.rstd * c.correlation  # the tangent of weight * rstd
        through_x = scale * c.rstd * mean_gx
        on_xhat = through_x * c.correlation - scale * dgw / c.n - factor * mean_gx
        constant = through_x * c.mean_dx - scale * dgrads[1] / c.n - factor * mean_g
        torch.addcmul(_channels(constant), xhat, _channels(on_xhat), out=out)
        out.addcmul_(g, _channels(factor)).addcmul_(dg, _channels(scale))
        if c.dx is not None:
            out.addcmul_(c.dx, _channels(-through_x))
        return out


def _channels(values: Tensor) -> Tensor:
    """[..., C] as [..., C, 1, 1], to meet [B, ..., C, H, W]."""
    return values[..., None, None]


class Sequential(Layer):
    """Layers one after another."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers
        self.parameters = tuple(q for layer in layers for q in layer.parameters)
        self.buffers = sum(layer.buffers for layer in layers)
        edges, start, at = [], 0, 0
        for layer in layers:
            stop, end = start + len(layer.parameters), at + layer.buffers
            edges.append((layer, slice(start, stop), slice(at, end)))
            start, at = stop, end
        self._parts = edges

    def output(self, shape: Shape) -> Shape:
        for layer in self.layers:
            shape = layer.output(shape)
        return shape

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        for layer, mine, stats in self._parts:
            x = layer.apply(p[mine], x, None if running is None else running[stats])
        return x

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.parts = [SimpleNamespace() for _ in self.layers]
        for (layer, mine, stats), part in zip(self._parts, c.parts, strict=True):
            x = layer.forward(p[mine], x, None if running is None else running[stats], part)
        return x

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        out: Tensor | None = g
        for i in range(len(self._parts) - 1, -1, -1):
            layer, mine, _ = self._parts[i]
            assert out is not None
            out = layer.backward(p[mine], out, c.parts[i], grads[mine], need_input or self._below(i))
            if out is None:
                break
        return out

    def _below(self, i: int) -> bool:
        """Whether a layer before the i-th has parameters, so that the gradient must reach it."""
        return self._parts[i][1].start > 0

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        for (layer, mine, _), part in zip(self._parts, c.parts, strict=True):
            dx = layer.tangent(p[mine], dp[mine], dx, part)
        return dx

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        out: Tensor | None = dg
        for i in range(len(self._parts) - 1, -1, -1):
            layer, mine, _ = self._parts[i]
            assert out is not None
            need = need_input or self._below(i)
            out = layer.tangent_backward(p[mine], dp[mine], out, c.parts[i], dgrads[mine], need)
            if out is None:
                break
        return out


class Residual(Layer):
    """body(x) + shortcut(x); no shortcut is the identity.

    ``stem`` runs before both (a pre-activation that branch and shortcut share).
    """

    def __init__(
        self, body: Sequential, shortcut: Sequential | None = None, stem: Sequential | None = None
    ) -> None:
        self.stem, self.body = stem or Sequential(), body
        self.shortcut = shortcut or Sequential()
        branches = (self.stem, self.body, self.shortcut)
        self.parameters = tuple(q for branch in branches for q in branch.parameters)
        self.buffers = sum(branch.buffers for branch in branches)
        a, b = len(self.stem.parameters), len(self.stem.parameters) + len(self.body.parameters)
        self._p = (slice(0, a), slice(a, b), slice(b, None))
        a, b = self.stem.buffers, self.stem.buffers + self.body.buffers
        self._r = (slice(0, a), slice(a, b), slice(b, None))

    def output(self, shape: Shape) -> Shape:
        shape = self.stem.output(shape)
        body, beside = self.body.output(shape), self.shortcut.output(shape)
        if body != beside:
            raise ValueError(f"a residual block cannot add {body} and {beside}")
        return body

    def _running(self, running: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if running is None else running[part] for part in self._r)

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        r = self._running(running)
        x = self.stem.apply(p[self._p[0]], x, r[0])
        return self.body.apply(p[self._p[1]], x, r[1]) + self.shortcut.apply(p[self._p[2]], x, r[2])

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        r = self._running(running)
        c.stem, c.body, c.shortcut = SimpleNamespace(), SimpleNamespace(), SimpleNamespace()
        x = self.stem.forward(p[self._p[0]], x, r[0], c.stem)
        out = self.body.forward(p[self._p[1]], x, r[1], c.body)
        return out + self.shortcut.forward(p[self._p[2]], x, r[2], c.shortcut)

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        need = need_input or bool(self.stem.parameters)
        through = self.body.backward(p[self._p[1]], g, c.body, grads[self._p[1]], need)
        beside = self.shortcut.backward(p[self._p[2]], g, c.shortcut, grads[self._p[2]], need)
        if through is None or beside is None:
            return None
        return self.stem.backward(p[self._p[0]], through + beside, c.stem, grads[self._p[0]], need_input)

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        dx = self.stem.tangent(p[self._p[0]], dp[self._p[0]], dx, c.stem)
        beside = self.shortcut.tangent(p[self._p[2]], dp[self._p[2]], dx, c.shortcut)
        out = self.body.tangent(p[self._p[1]], dp[self._p[1]], dx, c.body)
        if out is None or beside is None:
            return beside if out is None else out
        return out + beside

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        need = need_input or bool(self.stem.parameters)
        beside = self.shortcut.tangent_backward(
            p[self._p[2]], dp[self._p[2]], dg, c.shortcut, dgrads[self._p[2]], need
        )
        through = self.body.tangent_backward(
            p[self._p[1]], dp[self._p[1]], dg, c.body, dgrads[self._p[1]], need
        )
        if through is None or beside is None:
            return None
        return self.stem.tangent_backward(
            p[self._p[0]], dp[self._p[0]], beside + through, c.stem, dgrads[self._p[0]], need_input
        )
