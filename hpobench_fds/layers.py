"""Layer kinds with hand-written gradient and tangent rules: no autograd in the inner loop.

Each layer knows four passes. ``forward`` and ``backward`` make a gradient and leave on the tape what
they saw (input x, output gradient g). ``tangent`` and ``tangent_backward`` push k directions through
the same tape: the derivative of the gradient along k parameter tangents, i.e. k Hessian-vector
products that share one primal pass.

Layout: x [B, ...]; k tangents of it [B, k, ...]. With parameter tangents stored [k, *shape], the k
products with a primal input are one GEMM or convolution with k times the output channels, and the k
products with a primal weight one with k times the batch; both without a copy.

A tangent of None is zero (the input data's). No layer overwrites what it is given, since branches
share it, but where its neighbour on the tape made it for nobody else (``own``).
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
    own: bool = False  # every gradient and tangent it returns is a tensor of its own, which it does not keep

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

    own = True

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
        if dx is None:
            return None
        if getattr(c, "after_own", False) and dx.is_contiguous():
            return dx.mul_(self._mask(c))
        return torch.mul(dx, self._mask(c), out=dx.new_empty(dx.shape))

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        return dg.mul_(self._mask(c)) if getattr(c, "before_own", False) else dg * self._mask(c)


_convolution_backward = torch.ops.aten.convolution_backward


class Conv2d(Layer):
    """Square-kernel convolution, with or without bias."""

    own = True

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
        c.shape, c.right = x.shape, is_right
        c.lower = torch.where(is_right, below[..., 1::2], below[..., 0::2])
        c.index = self.index(c, x.shape[3], 1)
        return torch.maximum(left, right)

    @staticmethod
    def index(c: Any, down: int, right: int) -> Tensor:
        """Where each maximum lies, [B, C, pixels of the output], in an image with these strides."""
        height, width = c.shape[2:]
        corner = torch.arange(0, height, 2, device=c.lower.device)[:, None] * down
        corner = corner + torch.arange(0, width, 2, device=c.lower.device) * right
        return torch.add(corner, c.lower, alpha=down).add_(c.right, alpha=right).flatten(2)

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


class ConvPool2(Layer):
    """A convolution with MaxPool2 behind it.

    Derivatives pass through the maxima alone, a quarter of the pixels. In a first layer, whose input
    has no tangent, all products are then GEMMs over the patches of the input that the maxima look at,
    gathered once for all tangents; a convolution would work on every pixel and pool most of it away.
    """

    own = True
    MANY = 3  # tangents from which on gathering the patches pays

    def __init__(self, conv: Conv2d) -> None:
        self.conv, self.pool = conv, MaxPool2()
        self.parameters = conv.parameters

    def output(self, shape: Shape) -> Shape:
        return self.pool.output(self.conv.output(shape))

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        return self.pool.apply((), self.conv.apply(p, x, running), None)

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.conv, c.pool, c.patches = SimpleNamespace(), SimpleNamespace(), None
        return self.pool.forward((), self.conv.forward(p, x, running, c.conv), None, c.pool)

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        pulled = self.pool.backward((), g, c.pool, (), True)
        assert pulled is not None
        return self.conv.backward(p, pulled, c.conv, grads, need_input)

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        c.gathered = dx is None and len(dp[0]) >= self.MANY
        if c.gathered:
            return self._tangent_of_patches(dp, c)
        dz = self.conv.tangent(p, dp, dx, c.conv)
        return self.pool.tangent((), (), dz, c.pool)

    def tangent_backward(
        self,
        p: Sequence[Tensor],
        dp: Sequence[Tensor],
        dg: Tensor,
        c: Any,
        dgrads: Sequence[Tensor],
        need_input: bool,
    ) -> Tensor | None:
        if c.gathered and not need_input:
            self._pull_patches(dg, c, dgrads)
            return None
        pulled = self.pool.tangent_backward((), (), dg, c.pool, (), True)
        assert pulled is not None
        return self.conv.tangent_backward(p, dp, pulled, c.conv, dgrads, need_input)

    def _patches(self, c: Any) -> Tensor:
        """What each maximum of each output channel looks at: [O, B * pixels, kernel * I * kernel].

        Strips of the image as wide as the kernel are laid out first: a patch is then one piece of one.
        """
        if c.patches is None:
            conv, x = self.conv, c.conv.x
            padded = F.pad(x, [conv.padding] * 4) if conv.padding else x
            strips = padded.unfold(3, conv.kernel, conv.stride).permute(0, 3, 2, 1, 4).contiguous()
            batch, across, height = strips.shape[:3]
            line = conv.inputs * conv.kernel
            count = batch * across * height - conv.kernel + 1
            rows = strips.view(-1).as_strided((count, conv.kernel * line), (line, 1))
            first = torch.arange(batch, device=x.device)[:, None, None] * (across * height)
            index = self.pool.index(c.pool, conv.stride, height) + first
            c.patches = rows.index_select(0, index.transpose(0, 1).reshape(-1)).view(
                conv.outputs, -1, conv.kernel * line
            )
        patches: Tensor = c.patches
        return patches

    def _tangent_of_patches(self, dp: Sequence[Tensor], c: Any) -> Tensor:
        k, outputs, batch = len(dp[0]), self.conv.outputs, len(c.conv.x)
        # [k, O, I, kernel, kernel] as patches lie: rows outside, inputs inside
        weights = dp[0].permute(1, 0, 3, 2, 4).reshape(outputs, k, -1)
        patches = self._patches(c).transpose(1, 2)
        if self.conv.bias:
            dz = torch.baddbmm(dp[1].t().unsqueeze(2), weights, patches)
        else:
            dz = torch.bmm(weights, patches)
        c.conv.dx = None
        height, width = c.pool.shape[2] // 2, c.pool.shape[3] // 2
        return dz.view(outputs, k, batch, height, width).permute(2, 1, 0, 3, 4)

    def _pull_patches(self, dg: Tensor, c: Any, dgrads: Sequence[Tensor]) -> None:
        _, k, outputs = dg.shape[:3]
        at_maxima = dg.permute(2, 1, 0, 3, 4).reshape(outputs, k, -1)
        gw = torch.bmm(at_maxima, self._patches(c))
        side = self.conv.kernel
        dgrads[0].copy_(gw.view(outputs, k, side, self.conv.inputs, side).permute(1, 0, 3, 2, 4))
        if self.conv.bias:
            dgrads[1].copy_(at_maxima.sum(2).t())


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

    own = True
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
        c.mean_dx, c.correlation = torch.zeros_like(dp[0]), torch.zeros_like(dp[0])
        pieces = _pieces(out)
        if dx is not None:
            for piece in pieces:
                c.mean_dx += dx[piece].sum((0, 3, 4))  # [k, C]
                c.correlation += torch.mul(dx[piece], xhat[piece], out=out[piece]).sum((0, 3, 4))
            c.mean_dx /= c.n
            c.correlation /= c.n
        scale = p[0] * c.rstd
        constant, on_xhat = dp[1] - scale * c.mean_dx, dp[0] - scale * c.correlation
        for piece in pieces:
            torch.addcmul(_channels(constant), xhat[piece], _channels(on_xhat), out=out[piece])
            if dx is not None:
                out[piece].addcmul_(dx[piece], _channels(scale))
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
        out = torch.empty_like(dg)
        dgw, dgb, through = (torch.zeros_like(dp[0]) for _ in range(3))
        pieces = _pieces(out)
        for piece in pieces:
            dgb += dg[piece].sum((0, 3, 4))
            dgw += torch.mul(dg[piece], xhat[piece], out=out[piece]).sum((0, 3, 4))
            if c.dx is not None:
                through += torch.mul(c.dx[piece], g[piece], out=out[piece]).sum((0, 3, 4))
        if c.dx is not None:
            dgw += c.rstd * (through - c.mean_dx * c.gb - c.correlation * c.gw)
        dgrads[0].copy_(dgw)
        dgrads[1].copy_(dgb)
        if not need_input:
            return None
        scale, mean_g, mean_gx = p[0] * c.rstd, c.gb / c.n, c.gw / c.n
        factor = dp[0] * c.rstd - scale * c.rstd * c.correlation  # the tangent of weight * rstd
        through_x = scale * c.rstd * mean_gx
        on_xhat = through_x * c.correlation - scale * dgw / c.n - factor * mean_gx
        constant = through_x * c.mean_dx - scale * dgb / c.n - factor * mean_g
        for piece in pieces:
            torch.addcmul(_channels(constant), xhat[piece], _channels(on_xhat), out=out[piece])
            out[piece].addcmul_(g[piece], _channels(factor)).addcmul_(dg[piece], _channels(scale))
            if c.dx is not None:
                out[piece].addcmul_(c.dx[piece], _channels(-through_x))
        return out


CACHED = 1 << 22  # bytes that several passes in a row find in a CPU's cache


def _pieces(x: Tensor) -> list[slice]:
    """The batch in pieces that stay in the cache while several passes go over them; whole on a GPU."""
    step = len(x) if x.is_cuda else max(1, CACHED * len(x) // (x.numel() * x.element_size()))
    return [slice(at, at + step) for at in range(0, len(x), step)]


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
        own = [False, *(layer.own for layer in layers), False]
        self._beside_own = list(zip(own[:-2], own[2:], strict=True))  # of each layer: before it, behind it

    def output(self, shape: Shape) -> Shape:
        for layer in self.layers:
            shape = layer.output(shape)
        return shape

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        for layer, mine, stats in self._parts:
            x = layer.apply(p[mine], x, None if running is None else running[stats])
        return x

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.parts = [SimpleNamespace(after_own=a, before_own=b) for a, b in self._beside_own]
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

    stem : runs before both (a pre-activation that body and shortcut share).
    stride : the shortcut sees every so-manyth pixel of each row and column. A 1x1 convolution behind
        it is one with that stride, at which convolution libraries are slow.
    """

    def __init__(
        self,
        body: Sequential,
        shortcut: Sequential | None = None,
        stem: Sequential | None = None,
        stride: int = 1,
    ) -> None:
        self.stem, self.body = stem or Sequential(), body
        self.shortcut, self.stride = shortcut or Sequential(), stride
        self._own_input = bool(body.layers) and body.layers[0].own
        self._own_output = bool(body.layers) and body.layers[-1].own
        branches = (self.stem, self.body, self.shortcut)
        self.parameters = tuple(q for branch in branches for q in branch.parameters)
        self.buffers = sum(branch.buffers for branch in branches)
        a, b = len(self.stem.parameters), len(self.stem.parameters) + len(self.body.parameters)
        self._p = (slice(0, a), slice(a, b), slice(b, None))
        a, b = self.stem.buffers, self.stem.buffers + self.body.buffers
        self._r = (slice(0, a), slice(a, b), slice(b, None))

    def output(self, shape: Shape) -> Shape:
        shape = self.stem.output(shape)
        body, beside = self.body.output(shape), self.shortcut.output(self.seen(shape))
        if body != beside:
            raise ValueError(f"a residual block cannot add {body} and {beside}")
        return body

    def seen(self, shape: Shape) -> Shape:
        """The shape that the shortcut sees of an input."""
        return shape if self.stride == 1 else (shape[0], *(-(-side // self.stride) for side in shape[1:]))

    def _seen(self, x: Tensor) -> Tensor:
        """What the shortcut sees of its input."""
        return x[..., :: self.stride, :: self.stride].contiguous() if self.stride > 1 else x

    def _merged(self, through: Tensor, beside: Tensor) -> Tensor:
        """The body's gradient of their input and the shortcut's."""
        if self.stride > 1:
            through = through if self._own_input else through.clone()
            through[..., :: self.stride, :: self.stride] += beside
            return through
        return through.add_(beside) if self._own_input else through + beside

    def _running(self, running: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if running is None else running[part] for part in self._r)

    def apply(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None) -> Tensor:
        r = self._running(running)
        x = self.stem.apply(p[self._p[0]], x, r[0])
        beside = self.shortcut.apply(p[self._p[2]], self._seen(x), r[2])
        return self.body.apply(p[self._p[1]], x, r[1]) + beside

    def forward(self, p: Sequence[Tensor], x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        r = self._running(running)
        c.stem, c.body, c.shortcut = SimpleNamespace(), SimpleNamespace(), SimpleNamespace()
        x = self.stem.forward(p[self._p[0]], x, r[0], c.stem)
        out = self.body.forward(p[self._p[1]], x, r[1], c.body)
        return out + self.shortcut.forward(p[self._p[2]], self._seen(x), r[2], c.shortcut)

    def backward(
        self, p: Sequence[Tensor], g: Tensor, c: Any, grads: Sequence[Tensor], need_input: bool
    ) -> Tensor | None:
        need = need_input or bool(self.stem.parameters)
        through = self.body.backward(p[self._p[1]], g, c.body, grads[self._p[1]], need)
        beside = self.shortcut.backward(p[self._p[2]], g, c.shortcut, grads[self._p[2]], need)
        if through is None or beside is None:
            return None
        merged = self._merged(through, beside)
        return self.stem.backward(p[self._p[0]], merged, c.stem, grads[self._p[0]], need_input)

    def tangent(self, p: Sequence[Tensor], dp: Sequence[Tensor], dx: Tensor | None, c: Any) -> Tensor | None:
        dx = self.stem.tangent(p[self._p[0]], dp[self._p[0]], dx, c.stem)
        seen = None if dx is None else self._seen(dx)
        beside = self.shortcut.tangent(p[self._p[2]], dp[self._p[2]], seen, c.shortcut)
        out = self.body.tangent(p[self._p[1]], dp[self._p[1]], dx, c.body)
        if out is None or beside is None:
            return beside if out is None else out
        return out.add_(beside) if self._own_output else out + beside

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
        merged = self._merged(through, beside)
        return self.stem.tangent_backward(
            p[self._p[0]], dp[self._p[0]], merged, c.stem, dgrads[self._p[0]], need_input
        )
