"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Parameter, Shape, Tensors, channelwise, empty_tangents
from hpobench_fds.nn.layers.lines import Term, combine, is_in_lines, moments, normalised, sums


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
        c.x, c.n = x, x.numel() // self.channels
        if not is_in_lines(x):
            mean, variance = (
                (None, None) if running is None else running.split_with_sizes([self.channels] * 2)
            )
            out, c.mean, c.rstd = torch.native_batch_norm(
                x, p[0], p[1], mean, variance, True, self.momentum, self.eps
            )
            return out
        c.mean, biased = moments(x)
        c.rstd = (biased + self.eps).rsqrt_()
        if running is not None:
            seen = torch.cat([c.mean, biased * (c.n / max(1, c.n - 1))])
            running.lerp_(seen, self.momentum)
        scale = p[0] * c.rstd
        return combine(torch.empty_like(x), p[1] - scale * c.mean, [(x, scale)])

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        c.g, c.ready = g, False
        if is_in_lines(c.x):
            c.gb, c.gw = sums(g, c.x, c.mean, c.rstd)
            gx = self._pull_in_lines(p, g, c) if c.need_input else None
        else:
            gx, c.gw, c.gb = torch.ops.aten.native_batch_norm_backward(
                g, c.x, p[0], None, None, c.mean, c.rstd, True, self.eps, [c.need_input, True, True]
            )
        grads[0].copy_(c.gw)
        grads[1].copy_(c.gb)
        return gx if c.need_input else None

    def _pull_in_lines(self, p: Tensors, g: Tensor, c: Any) -> Tensor:
        """weight * rstd * (g - mean(g) - xhat * mean(g * xhat)), multiplied out."""
        scale = p[0] * c.rstd
        on_x = -scale * c.rstd * c.gw / c.n
        return combine(torch.empty_like(c.x), -scale * c.gb / c.n - on_x * c.mean, [(g, scale), (c.x, on_x)])

    def _prepare(self, c: Any) -> None:
        """The normalised input, which every tangent shares."""
        if not c.ready:
            if is_in_lines(c.x):
                c.xhat = normalised(c.x, c.mean, c.rstd)
            else:
                c.xhat = (c.x - channelwise(c.mean)).mul_(channelwise(c.rstd))
            c.ready = True

    def _sums(self, d: Tensor, c: Any, work: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over batch and pixels of d [B, k, C, H, W] and of d * xhat: each [k, C]; spoils ``work``."""
        if is_in_lines(c.x):
            total, correlation = sums(d.squeeze(1), c.x, c.mean, c.rstd)
            return total.unsqueeze(0), correlation.unsqueeze(0)
        total, correlation = (d.new_zeros(d.shape[1:3]) for _ in range(2))
        for piece in _pieces(d):
            total += d[piece].sum((0, 3, 4))
            product = torch.mul(d[piece], c.xhat.unsqueeze(1)[piece], out=work[piece])
            correlation += product.sum((0, 3, 4))
        return total, correlation

    def _products(self, d: Tensor, g: Tensor, work: Tensor) -> Tensor:
        """Sum over batch and pixels of d [B, k, C, H, W] times g [B, C, H, W]: [k, C]; spoils ``work``."""
        if is_in_lines(g):
            nothing = g.new_zeros(self.channels)
            return sums(d.squeeze(1), g, nothing, nothing + 1.0)[1].unsqueeze(0)
        total = d.new_zeros(d.shape[1:3])
        for piece in _pieces(d):
            total += torch.mul(d[piece], g.unsqueeze(1)[piece], out=work[piece]).sum((0, 3, 4))
        return total

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        """d xhat = rstd * (dx - mean(dx) - xhat * mean(xhat * dx)), multiplied out to two passes."""
        self._prepare(c)
        k = dp[0].shape[0]
        out = empty_tangents(c.xhat, k)
        c.dx = dx
        c.mean_dx, c.correlation = torch.zeros_like(dp[0]), torch.zeros_like(dp[0])
        scale = p[0] * c.rstd
        if dx is not None:
            total, correlation = self._sums(dx, c, out)
            c.mean_dx, c.correlation = total / c.n, correlation / c.n
        constant, on_xhat = dp[1] - scale * c.mean_dx, dp[0] - scale * c.correlation
        terms = [(c.xhat.unsqueeze(1), on_xhat)]
        if dx is not None:
            terms.append((dx, scale.expand(k, -1)))
        return _combine(out, constant, terms)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        """The tangent of gx = weight * rstd * (g - mean(g) - xhat * mean(g * xhat)), multiplied out."""
        out = empty_tangents(c.xhat, dg.shape[1])
        dgb, dgw = self._sums(dg, c, out)
        if c.dx is not None:
            through = self._products(c.dx, c.g, out)
            dgw = dgw + c.rstd * (through - c.mean_dx * c.gb - c.correlation * c.gw)
        dgrads[0].copy_(dgw)
        dgrads[1].copy_(dgb)
        if not c.need_input:
            return None
        scale, mean_g, mean_gx = p[0] * c.rstd, c.gb / c.n, c.gw / c.n
        factor = dp[0] * c.rstd - scale * c.rstd * c.correlation  # the tangent of weight * rstd
        through_x = scale * c.rstd * mean_gx
        on_xhat = through_x * c.correlation - scale * dgw / c.n - factor * mean_gx
        constant = through_x * c.mean_dx - scale * dgb / c.n - factor * mean_g
        terms = [(c.xhat.unsqueeze(1), on_xhat), (c.g.unsqueeze(1), factor), (dg, scale.expand_as(factor))]
        if c.dx is not None:
            terms.append((c.dx, (-through_x).expand_as(factor)))
        return _combine(out, constant, terms)


CACHED = 1 << 22  # bytes that several passes in a row find in a CPU's cache


def _pieces(x: Tensor) -> list[slice]:
    """The batch in pieces that stay in the cache while several passes go over them; whole on a GPU."""
    step = len(x) if x.is_cuda else max(1, CACHED * len(x) // (x.numel() * x.element_size()))
    return [slice(at, at + step) for at in range(0, len(x), step)]


def _combine(out: Tensor, constant: Tensor, terms: Sequence[Term]) -> Tensor:
    """constant [k, C] + the sum of tensors [B, k or 1, C, H, W] times factors [k, C], into ``out``."""
    if out.shape[1] == 1 and is_in_lines(out.squeeze(1)):
        return combine(
            out.squeeze(1), constant[0], [(x.squeeze(1), factor[0]) for x, factor in terms]
        ).unsqueeze(1)
    constant, factors = channelwise(constant), [channelwise(factor) for _, factor in terms]
    for piece in _pieces(out):
        torch.addcmul(constant, terms[0][0][piece], factors[0], out=out[piece])
        for (x, _), factor in zip(terms[1:], factors[1:], strict=True):
            out[piece].addcmul_(x[piece], factor)
    return out
