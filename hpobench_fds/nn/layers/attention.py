"""Causal attention."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Shape, Tensors, unflattened


class CausalAttention(Layer):
    """Attention of each place to itself and those before it: [L, 3 F], queries, keys, values, to [L, F].

    Vaswani et al., NeurIPS 2017, without the projections; ``heads`` of D = F / heads each.

    k tangents of what has a side L are [B, heads, L, k, ...]: rows L * k for a primal on their right, columns
    k * D or k * L for one on their left, each in one product.
    """

    own = True

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 2 or shape[1] % (3 * self.heads):
            raise ValueError(f"attention of {self.heads} heads cannot take {shape}")
        return (shape[0], shape[1] // 3)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, heads, L, D] of x [B, L, 3 F]; queries by the root of D."""
        q, k, v = unflattened(x, -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q / math.sqrt(q.shape[-1]), k, v

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        """What each place makes of the values [B, heads, L, L]."""
        length = q.shape[2]
        hidden = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        return (q @ k.transpose(-1, -2)).masked_fill(hidden, -math.inf).softmax(-1)

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        q, k, v = self._parts(x)
        return (self._weights(q, k) @ v).transpose(1, 2).flatten(2)

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        q, k, v = self._parts(x)
        c.q, c.k, c.v = q, k.contiguous(), v.contiguous()
        c.a = self._weights(q, c.k)
        mixed: Tensor = c.a @ c.v
        return mixed.transpose(1, 2).flatten(2)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        """With a = softmax(s): gs = a * (ga - sum(a * ga)), and so on down to queries, keys and values."""
        if not c.need_input:
            return None
        c.g = unflattened(g, -1, (self.heads, -1)).transpose(1, 2).contiguous()
        ga = c.g @ c.v.transpose(-1, -2)
        c.centred = ga.sub_((c.a * ga).sum(-1, keepdim=True))
        c.gs = c.a * c.centred
        gq = (c.gs @ c.k).div_(math.sqrt(c.q.shape[-1]))
        gk, gv = c.gs.transpose(-1, -2) @ c.q, c.a.transpose(-1, -2) @ c.g
        return torch.stack([gq, gk, gv]).permute(1, 3, 0, 2, 4).flatten(2)

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        c.da = None
        if dx is None:
            return None
        # [3, B, heads, L, k, D]
        parts = unflattened(dx, -1, (3, self.heads, -1)).permute(3, 0, 4, 2, 1, 5).contiguous()
        c.dq, c.dk, c.dv = parts[0].div_(math.sqrt(c.q.shape[-1])), parts[1], parts[2]
        ds = _from_right(c.dq, c.k.transpose(-1, -2))
        ds += _as_columns(c.q, c.dk)
        weights = c.a.unsqueeze(3)
        c.da = ds.mul_(weights)
        c.da = torch.addcmul(ds, weights, ds.sum(-1, keepdim=True), value=-1.0)
        out = _from_right(c.da, c.v)
        out += _from_left(c.a, c.dv)
        return out.permute(0, 3, 2, 1, 4).flatten(3)

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        if c.da is None or not c.need_input:  # nothing below has a parameter
            return None
        # [B, heads, L, k, D]
        dg = unflattened(dg, -1, (self.heads, -1)).permute(0, 3, 2, 1, 4).contiguous()
        dgs = self._pushed_scores(dg, c)
        back = c.gs.transpose(-1, -2)
        dgq = _from_right(dgs, c.k).add_(_from_left(c.gs, c.dk)).div_(math.sqrt(c.q.shape[-1]))
        dgk = _from_left(back, c.dq).add_(_over_places(dgs, c.q))
        dgv = _from_left(c.a.transpose(-1, -2), dg).add_(_over_places(c.da, c.g))
        return torch.stack([dgq, dgk, dgv]).permute(1, 4, 3, 0, 2, 5).flatten(3)

    @staticmethod
    def _pushed_scores(dg: Tensor, c: Any) -> Tensor:
        """Tangents of gs: da * (ga - r) + a * (dga - dr), r = sum(a * ga), where sum(da) = 0."""
        weights, centred = c.a.unsqueeze(3), c.centred.unsqueeze(3)
        dga = _from_right(dg, c.v.transpose(-1, -2))
        dga += _as_columns(c.g, c.dv)
        dga.mul_(weights).addcmul_(c.da, centred)
        return dga.addcmul_(weights, dga.sum(-1, keepdim=True), value=-1.0)


def _from_right(t: Tensor, m: Tensor) -> Tensor:
    """Tangents t [B, heads, L, k, I] times m [B, heads, I, O]."""
    return unflattened(t.flatten(2, 3) @ m, 2, t.shape[2:4])


def _from_left(m: Tensor, t: Tensor) -> Tensor:
    """m [B, heads, O, L] times tangents t [B, heads, L, k, D]: [B, heads, O, k, D]."""
    return unflattened(m @ t.flatten(3, 4), 3, t.shape[3:])


def _as_columns(m: Tensor, t: Tensor) -> Tensor:
    """m [B, heads, L, D] times each tangent [B, heads, L, k, D] turned round: [B, heads, L, k, L]."""
    turned = t.permute(0, 1, 4, 3, 2).reshape(*t.shape[:2], t.shape[4], -1)
    return unflattened(m @ turned, 3, (t.shape[3], t.shape[2]))


def _over_places(t: Tensor, m: Tensor) -> Tensor:
    """The sum over L of tangents t [B, heads, L, k, O] and m [B, heads, L, D]: [B, heads, O, k, D]."""
    return unflattened(t.flatten(3, 4).transpose(-1, -2) @ m, 2, t.shape[3:]).transpose(2, 3)
