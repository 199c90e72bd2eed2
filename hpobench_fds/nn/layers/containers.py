"""Layers made of layers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch import Tensor

from hpobench_fds.nn.layers.base import Layer, Shape, Tensors


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
        below = [mine.start > 0 for _, mine, _ in edges]  # whether the gradient must reach a parameter there
        self._places = list(zip(own[:-2], own[2:], below, strict=True))  # of each layer: before it, behind it

    def output(self, shape: Shape) -> Shape:
        for layer in self.layers:
            shape = layer.output(shape)
        return shape

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        for layer, mine, stats in self._parts:
            x = layer.apply(p[mine], x, None if running is None else running[stats])
        return x

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        c.parts = [
            SimpleNamespace(after_own=a, before_own=b, need_input=c.need_input or below)
            for a, b, below in self._places
        ]
        for (layer, mine, stats), part in zip(self._parts, c.parts, strict=True):
            x = layer.forward(p[mine], x, None if running is None else running[stats], part)
        return x

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        out: Tensor | None = g
        for i in range(len(self._parts) - 1, -1, -1):
            layer, mine, _ = self._parts[i]
            assert out is not None
            out = layer.backward(p[mine], out, c.parts[i], grads[mine])
            if out is None:
                break
        return out

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        for (layer, mine, _), part in zip(self._parts, c.parts, strict=True):
            dx = layer.tangent(p[mine], dp[mine], dx, part)
        return dx

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        out: Tensor | None = dg
        for i in range(len(self._parts) - 1, -1, -1):
            layer, mine, _ = self._parts[i]
            assert out is not None
            out = layer.tangent_backward(p[mine], dp[mine], out, c.parts[i], dgrads[mine])
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
        return x[..., :: self.stride, :: self.stride].clone() if self.stride > 1 else x

    def _merged(self, through: Tensor, beside: Tensor) -> Tensor:
        """The body's gradient of their input and the shortcut's."""
        if self.stride > 1:
            through = through if self._own_input else through.clone()
            through[..., :: self.stride, :: self.stride] += beside
            return through
        return through.add_(beside) if self._own_input else through + beside

    def _running(self, running: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if running is None else running[part] for part in self._r)

    def apply(self, p: Tensors, x: Tensor, running: Tensor | None) -> Tensor:
        r = self._running(running)
        x = self.stem.apply(p[self._p[0]], x, r[0])
        beside = self.shortcut.apply(p[self._p[2]], self._seen(x), r[2])
        return self.body.apply(p[self._p[1]], x, r[1]) + beside

    def forward(self, p: Tensors, x: Tensor, running: Tensor | None, c: Any) -> Tensor:
        r = self._running(running)
        c.stem = SimpleNamespace(need_input=c.need_input)
        need = c.need_input or bool(self.stem.parameters)
        c.body, c.shortcut = SimpleNamespace(need_input=need), SimpleNamespace(need_input=need)
        x = self.stem.forward(p[self._p[0]], x, r[0], c.stem)
        out = self.body.forward(p[self._p[1]], x, r[1], c.body)
        return out + self.shortcut.forward(p[self._p[2]], self._seen(x), r[2], c.shortcut)

    def backward(self, p: Tensors, g: Tensor, c: Any, grads: Tensors) -> Tensor | None:
        through = self.body.backward(p[self._p[1]], g, c.body, grads[self._p[1]])
        beside = self.shortcut.backward(p[self._p[2]], g, c.shortcut, grads[self._p[2]])
        if through is None or beside is None:
            return None
        merged = self._merged(through, beside)
        return self.stem.backward(p[self._p[0]], merged, c.stem, grads[self._p[0]])

    def tangent(self, p: Tensors, dp: Tensors, dx: Tensor | None, c: Any) -> Tensor | None:
        dx = self.stem.tangent(p[self._p[0]], dp[self._p[0]], dx, c.stem)
        seen = None if dx is None else self._seen(dx)
        beside = self.shortcut.tangent(p[self._p[2]], dp[self._p[2]], seen, c.shortcut)
        out = self.body.tangent(p[self._p[1]], dp[self._p[1]], dx, c.body)
        if out is None or beside is None:
            return beside if out is None else out
        return out.add_(beside) if self._own_output else out + beside

    def tangent_backward(self, p: Tensors, dp: Tensors, dg: Tensor, c: Any, dgrads: Tensors) -> Tensor | None:
        beside = self.shortcut.tangent_backward(
            p[self._p[2]], dp[self._p[2]], dg, c.shortcut, dgrads[self._p[2]]
        )
        through = self.body.tangent_backward(p[self._p[1]], dp[self._p[1]], dg, c.body, dgrads[self._p[1]])
        if through is None or beside is None:
            return None
        merged = self._merged(through, beside)
        return self.stem.tangent_backward(p[self._p[0]], dp[self._p[0]], merged, c.stem, dgrads[self._p[0]])
