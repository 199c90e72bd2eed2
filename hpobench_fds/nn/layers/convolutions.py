"""Convolutions, pooling, and both at once."""

from __future__ import annotations

import math
from abc import abstractmethod
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Parameter, Shape, Tensors

LANES = 16  # floats of a vector register, and what the CPU's convolutions pad channels to
_convolution_backward = torch.ops.aten.convolution_backward


class Convolution(Layer):
    """Convolution by a kernel that is as long on every side, with or without bias."""

    own = True
    sides: int  # of an example, beside its channels

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
        kernels = (kernel,) * self.sides
        fans = (inputs * math.prod(kernels), outputs * math.prod(kernels))
        weight = Parameter(f"{name}.weight", (outputs, inputs, *kernels), fans)
        self.parameters = (weight, Parameter(f"{name}.bias", (outputs,))) if bias else (weight,)

    def output(self, shape: Shape) -> Shape:
        _, *sides = shape
        if len(sides) != self.sides:
            raise ValueError(f"a convolution of {self.sides} sides cannot take {shape}")
        return (self.outputs, *((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in sides))

    @abstractmethod
    def _conv(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x [B, I, ...] by weight [O, I, ...]."""

    def _pull(self, g: Tensor, x: Tensor, weight: Tensor, need: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
        """Gradients of the input and of the weight; one that is not needed is undefined."""
        n = self.sides
        gx, gw, _ = _convolution_backward(
            g, x, weight, None, [self.stride] * n, [self.padding] * n, [1] * n, False, [0] * n, 1,
            [need[0], need[1], False],
        )  # fmt: skip
        return gx, gw

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return self._conv(x, p[0], p[1] if self.bias else None)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.x = x
        return self._conv(x, p[0], p[1] if self.bias else None)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        self.pull_bias(g, grads)
        return self.backward_but_bias(p, g, c, grads)

    def pull_bias(self, g: Tensor, grads: Tensors) -> None:
        """The bias's gradient [O] of g [B, O, ...], or its tangents [k, O] of [B, k, O, ...]."""
        if self.bias:
            torch.sum(g, (0, *range(-self.sides, 0)), out=grads[1])

    def backward_but_bias(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        """``backward``, the bias's gradient left to the caller."""
        c.g = g
        gx, gw = self._pull(g, c.x, p[0], (c.need_input, True))
        grads[0].copy_(gw)
        return gx if c.need_input else None

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
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

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        self.pull_bias(dg, dgrads)
        return self.tangent_backward_but_bias(p, dp, dg, c, dgrads)

    def tangent_backward_but_bias(
        self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors
    ) -> Tensor | None:
        """``tangent_backward``, the bias's tangents left to the caller."""
        batch, k, outputs, *side = dg.shape
        self._pull_weights(dg.reshape(batch, k * outputs, *side), dp[0], c, dgrads[0])
        if c.dx is None and not c.need_input:
            return None
        return self._second_order(p, dp, dg, c, dgrads)

    def _pull_weights(self, dg: Tensor, dp: Tensor, c: Any, dgrads: Tensor) -> None:
        """The term in which the primal input x meets the gradients' tangents, into ``dgrads``."""
        _, gw = self._pull(dg, c.x, dp.view(dg.shape[1], *dp.shape[2:]), (False, True))
        dgrads.copy_(gw.view_as(dgrads))

    def _second_order(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        """The terms in which the primal gradient g meets a tangent: one call makes both."""
        batch, k, outputs, *side = dg.shape
        # [O, k * I, ...]: k input tangents side by side as channels
        weights = dp[0].transpose(0, 1).reshape(outputs, k * self.inputs, *dp[0].shape[3:])
        has_dx = c.dx is not None
        wide_shape = (batch, k * self.inputs, *c.x.shape[2:])
        wide = c.dx.reshape(wide_shape) if has_dx else self._unread(c.x, wide_shape)
        gx, gw = self._pull(c.g, wide, weights, (c.need_input, has_dx))
        if has_dx:
            dgrads[0].add_(gw.view(outputs, k, *dp[0].shape[2:]).transpose(0, 1))
        if not c.need_input:
            return None
        gx = gx.view(batch, k, *c.x.shape[1:])
        flat_x = self._unread(c.x, (batch * k, *c.x.shape[1:]))
        through, _ = self._pull(dg.reshape(batch * k, outputs, *side), flat_x, p[0], (True, False))
        return through.view_as(gx).add_(gx)

    @staticmethod
    def _unread(x: Tensor, shape: Shape) -> Tensor:
        """An input of which only shape and layout are read."""
        return x if x.shape == shape else x.new_empty(shape)


class Conv1d(Convolution):
    """Convolution of sequences [C, L]."""

    sides = 1

    def _conv(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv1d(x, weight, bias, self.stride, self.padding)


class Conv2d(Convolution):
    """Convolution of images [C, H, W]; few channels are widened, so that they fill a CPU's lanes."""

    sides = 2

    def _conv(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding)

    def _pull(self, g: Tensor, x: Tensor, weight: Tensor, need: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
        if not (need[0] and self._is_thin(g, weight)):
            return super()._pull(g, x, weight, need)
        gx = self._pull_by_pairs(g, weight)
        return gx, super()._pull(g, x, weight, (False, True))[1] if need[1] else gx

    def _is_thin(self, g: Tensor, weight: Tensor) -> bool:
        """Whether pairs of columns pay: the CPU computes ``LANES`` channels at a time, few or not."""
        width = g.shape[3] + self.kernel - 1 - 2 * self.padding
        small = 2 * weight.shape[1] <= LANES and 1 < self.kernel > self.padding
        return small and self.stride == 1 and width % 2 == 0 and g.device.type == "cpu"

    def _pull_by_pairs(self, g: Tensor, weight: Tensor) -> Tensor:
        """The input's gradient, two neighbouring columns of a pixel's channels as channels of their own.

        It is the convolution of g with the kernel turned round; two columns see k + 1 columns of g.
        """
        outputs, inputs = weight.shape[:2]
        k, around = self.kernel, self.kernel - 1 - self.padding
        turned = weight.flip(2, 3).transpose(0, 1)
        pairs = weight.new_zeros(2, inputs, outputs, k, k + 1)
        pairs[0, ..., :k] = turned
        pairs[1, ..., 1:] = turned
        both = F.conv2d(g, pairs.flatten(0, 1), None, (1, 2), around)
        height, half = both.shape[2:]
        apart = both.view(len(g), 2, inputs, height, half)
        return apart.permute(0, 2, 3, 4, 1).reshape(len(g), inputs, height, 2 * half)

    def _pull_weights(self, dg: Tensor, dp: Tensor, c: Any, dgrads: Tensor) -> None:
        """The term in which the primal input x meets the gradients' tangents, into ``dgrads``."""
        side, inputs, many = self.kernel, self.inputs, dg.shape[1]
        if not (2 * inputs <= LANES and side >= 5 and self.stride == 1 and dg.device.type == "cpu"):
            super()._pull_weights(dg, dp, c, dgrads)
            return
        # Few channels: the rows under the kernel become channels as well, and fill the lanes.
        padded = F.pad(c.x, [self.padding] * 4)
        rows = torch.cat([padded[:, :, i : i + dg.shape[2]] for i in range(side)], 1)
        weights = rows.new_empty(many, side * inputs, 1, side)  # only its shape is read
        needed = [False, True, False]
        _, gw, _ = _convolution_backward(
            dg, rows, weights, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, needed
        )
        shape = (*dgrads.shape[:2], side, inputs, side)
        dgrads.copy_(gw.view(shape).transpose(2, 3))


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

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        upper, lower = x[..., 0::2, :], x[..., 1::2, :]
        columns = torch.where(upper >= lower, upper, lower)
        left, right = columns[..., 0::2], columns[..., 1::2]
        return torch.where(left >= right, left, right)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        upper, lower = x[..., 0::2, :], x[..., 1::2, :]
        below = upper < lower
        columns = torch.maximum(upper, lower)  # unlike a comparison, lets NaN through
        left, right = columns[..., 0::2], columns[..., 1::2]
        is_right = left < right
        c.shape, c.right = x.shape, _as_numbers(is_right)
        c.lower = _as_numbers(torch.where(is_right, below[..., 1::2], below[..., 0::2]))
        c.index = self.index(c, x.shape[3], 1).long()
        return torch.maximum(left, right)

    @staticmethod
    def index(c: Any, down: int, right: int) -> Tensor:
        """Where each maximum lies, int32 [B, C, pixels of the output], in an image with these strides."""
        height, width = c.shape[2:]
        corner = torch.arange(0, height, 2, device=c.lower.device, dtype=torch.int32)[:, None] * down
        corner = corner + torch.arange(0, width, 2, device=c.lower.device, dtype=torch.int32) * right
        return torch.add(corner, c.lower, alpha=down).add_(c.right, alpha=right).flatten(2)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        gx = g.new_zeros((*c.shape[:2], c.shape[2] * c.shape[3]))
        return gx.scatter_(2, c.index, g.flatten(2)).view(*c.shape)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        if dx is None:
            return None
        index = c.index.unsqueeze(1).expand(-1, dx.shape[1], -1, -1)
        return dx.flatten(3).gather(3, index).view(*dx.shape[:3], c.shape[2] // 2, c.shape[3] // 2)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        batch, k = dg.shape[:2]
        index = c.index.unsqueeze(1).expand(-1, k, -1, -1)
        gx = dg.new_zeros((batch, k, c.shape[1], c.shape[2] * c.shape[3]))
        return gx.scatter_(3, index, dg.flatten(3)).view(batch, k, *c.shape[1:])


def _as_numbers(flags: Tensor) -> Tensor:
    """Flags as int32: sums of mixed types are slow."""
    return flags.view(torch.uint8).int()


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

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        return self.pool.apply((), self.conv.apply(p, x, running), None)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.conv, c.pool, c.patches = SimpleNamespace(need_input=c.need_input), SimpleNamespace(), None
        return self.pool.forward((), self.conv.forward(p, x, running, c.conv), None, c.pool)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        pulled = self.pool.backward((), g, c.pool, ())
        assert pulled is not None
        self.conv.pull_bias(g, grads)  # over a quarter of the pixels: the others' gradients are zero
        return self.conv.backward_but_bias(p, pulled, c.conv, grads)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        c.gathered = dx is None and len(dp[0]) >= self.MANY
        if c.gathered:
            return self._tangent_of_patches(dp, c)
        dz = self.conv.tangent(p, dp, dx, c.conv)
        return self.pool.tangent((), (), dz, c.pool)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        if c.gathered and not c.need_input:
            self._pull_patches(dg, c, dgrads)
            return None
        pulled = self.pool.tangent_backward((), (), dg, c.pool, ())
        assert pulled is not None
        self.conv.pull_bias(dg, dgrads)
        return self.conv.tangent_backward_but_bias(p, dp, pulled, c.conv, dgrads)

    def _patches(self, c: Any) -> Tensor:
        """What each maximum of each output channel looks at: [O, B * pixels, kernel * I * kernel].

        The image is laid out so that each pixel brings those below it, as many as the kernel is high:
        a patch is then one piece, columns outside.
        """
        if c.patches is None:
            conv, x = self.conv, c.conv.x
            padded = F.pad(x, [conv.padding] * 4) if conv.padding else x
            down, step = c.pool.shape[2], conv.stride
            pixels = padded.permute(0, 2, 3, 1)  # [B, height, width, I]
            below = [pixels[:, i : i + (down - 1) * step + 1 : step] for i in range(conv.kernel)]
            columns = torch.stack(below, -1)  # [B, down, width, I, kernel]
            batch, _, width = columns.shape[:3]
            line = conv.inputs * conv.kernel
            count = batch * down * width - conv.kernel + 1
            pieces = columns.view(-1).as_strided((count, conv.kernel * line), (line, 1))
            first = torch.arange(batch, device=x.device, dtype=torch.int32)[:, None, None] * (down * width)
            index = self.pool.index(c.pool, width, step) + first
            c.patches = pieces.index_select(0, index.transpose(0, 1).reshape(-1)).view(
                conv.outputs, -1, conv.kernel * line
            )
        patches: Tensor = c.patches
        return patches

    def _tangent_of_patches(self, dp: Tensors, c: Any) -> Tensor:
        k, outputs, batch = len(dp[0]), self.conv.outputs, len(c.conv.x)
        # [k, O, I, kernel, kernel] as patches lie: columns outside, rows inside
        weights = dp[0].permute(1, 0, 4, 2, 3).reshape(outputs, k, -1)
        patches = self._patches(c).transpose(1, 2)
        if self.conv.bias:
            dz = torch.baddbmm(dp[1].t().unsqueeze(2), weights, patches)
        else:
            dz = torch.bmm(weights, patches)
        c.conv.dx = None
        height, width = c.pool.shape[2] // 2, c.pool.shape[3] // 2
        return dz.view(outputs, k, batch, height, width).permute(2, 1, 0, 3, 4)

    def _pull_patches(self, dg: Tensor, c: Any, dgrads: Tensors) -> None:
        _, k, outputs = dg.shape[:3]
        at_maxima = dg.permute(2, 1, 0, 3, 4).reshape(outputs, k, -1)
        gw = torch.bmm(at_maxima, self._patches(c))
        side = self.conv.kernel
        dgrads[0].copy_(gw.view(outputs, k, side, self.conv.inputs, side).permute(1, 0, 3, 4, 2))
        if self.conv.bias:
            dgrads[1].copy_(at_maxima.sum(2).t())
