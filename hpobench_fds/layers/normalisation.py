"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.layers.base import Layer, Parameter, Shape, Tensors, channelwise


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

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        if running is None:
            return F.batch_norm(x, None, None, p[0], p[1], training=True, eps=self.eps)
        mean, variance = running.split_with_sizes([self.channels] * 2)
        return F.batch_norm(x, mean, variance, p[0], p[1], training=False, eps=self.eps)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        mean, variance = (None, None) if running is None else running.split_with_sizes([self.channels] * 2)
        out, c.mean, c.rstd = torch.native_batch_norm(
            x, p[0], p[1], mean, variance, True, self.momentum, self.eps
        )
        c.x = x
        return out

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors, need_input: bool) -> Tensor | None:
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
            c.xhat = (c.x - channelwise(c.mean)).mul_(channelwise(c.rstd))
            c.ready = True

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
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
            torch.addcmul(channelwise(constant), xhat[piece], channelwise(on_xhat), out=out[piece])
            if dx is not None:
                out[piece].addcmul_(dx[piece], channelwise(scale))
        return out

    def tangent_backward(
        self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors, need_input: bool
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
            torch.addcmul(channelwise(constant), xhat[piece], channelwise(on_xhat), out=out[piece])
            out[piece].addcmul_(g[piece], channelwise(factor)).addcmul_(dg[piece], channelwise(scale))
            if c.dx is not None:
                out[piece].addcmul_(c.dx[piece], channelwise(-through_x))
        return out


CACHED = 1 << 22  # bytes that several passes in a row find in a CPU's cache


def _pieces(x: Tensor) -> list[slice]:
    """The batch in pieces that stay in the cache while several passes go over them; whole on a GPU."""
    step = len(x) if x.is_cuda else max(1, CACHED * len(x) // (x.numel() * x.element_size()))
    return [slice(at, at + step) for at in range(0, len(x), step)]
