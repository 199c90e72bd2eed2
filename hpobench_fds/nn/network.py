"""Models as functions of one flat parameter vector, with gradients and Hessian-vector products.

``LayeredNetwork`` uses the rules of ``layers``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from hpobench_fds.nn.draws import drawn
from hpobench_fds.nn.layers import (
    BatchNorm2d,
    CausalAttention,
    Conv2d,
    Convolution,
    ConvPool2,
    Dropout,
    Embedding,
    Layer,
    Linear,
    Parameter,
    PerToken,
    Residual,
    Sequential,
    Shape,
)
from hpobench_fds.nn.layers.convolutions import LANES
from hpobench_fds.nn.losses import CrossEntropy, Loss
from hpobench_fds.nn.tangents import Tangents


@dataclass
class Tape:
    """A gradient and what its Hessian-vector products need.

    ``gradient`` [P] is a buffer that the next call of ``gradient`` overwrites; the rest of the tape is
    valid as long as ``w`` is unchanged.
    """

    loss: Tensor  # 0-d, mean over the batch
    gradient: Tensor
    record: Any

    @property
    def bytes(self) -> int:
        """Memory that the record holds on to."""
        storages = (one.untyped_storage() for one in _tensors(self.record))
        return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


def _tensors(record: Any) -> Iterator[Tensor]:
    """All tensors in a record's namespaces and sequences."""
    if isinstance(record, Tensor):
        yield record
    elif isinstance(record, SimpleNamespace):
        yield from _tensors(list(vars(record).values()))
    elif isinstance(record, (list, tuple)):
        for part in record:
            yield from _tensors(part)


class Network(ABC):
    """A model over a flat parameter vector w [P].

    Attributes
    ----------
    objective : what it is trained for; ``objective.plain`` is what it is validated by.
    shapes : shape of each parameter, in the order they lie in w.
    size : P. buffer_size : R, running statistics of batch norm.
    recordable : whether its kernels may be recorded on a GPU: it waits for nothing, and draws nothing.
    no_products : why it has no Hessian-vector products, in a line; None if it has them.
    random : whether it draws while it trains (``draws``), as dropout does.
    """

    shapes: list[Shape]
    size: int
    buffer_size: int = 0
    objective: Loss = CrossEntropy()
    recordable: bool = False
    no_products: str | None = None
    random: bool = False
    product_cost: float = 2.0  # FLOPs of a Hessian-vector product over those of a gradient
    gradient_flops: float = 0.0  # for one example, where they are known

    @abstractmethod
    def initial(self, generator: torch.Generator) -> Tensor:
        """A fresh w [P], float32 on the CPU: Xavier weights (gain 1), zero biases."""

    def initial_buffers(self) -> Tensor:
        """Running statistics [R] before any batch."""
        return torch.zeros(0)

    @abstractmethod
    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None, draw: int | None = None) -> Tensor:
        """Outputs [B, ...], logits of classes; batch norm by ``buffers`` if given, else by the batch.

        What is random follows from ``draw``, and is left out without one. Differentiable.
        """

    @abstractmethod
    def gradient(
        self,
        w: Tensor,
        x: Tensor,
        y: Tensor,
        buffers: Tensor | None = None,
        plain: bool = False,
        draw: int | None = None,
    ) -> Tape:
        """Loss and gradient of a batch in training mode; updates ``buffers`` in place if given.

        ``plain`` : of the loss that it is validated by. Such a tape has no products.
        ``draw`` : what is random follows from it, in the tape's products too; None: nothing is.
        """

    def see(self, w: Tensor, x: Tensor, buffers: Tensor, draw: int | None = None) -> None:  # noqa: B027
        """Update ``buffers`` in place as ``gradient`` does, without one; nothing where there are none."""

    @abstractmethod
    def products(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        """Hessian-vector products of the tape's loss with k directions, written to ``out``."""

    def loss(self, w: Tensor, x: Tensor, y: Tensor, plain: bool = False, draw: int | None = None) -> Tensor:
        """The objective in training mode, by plain differentiable operations."""
        return (self.objective.plain if plain else self.objective)(self.logits(w, x, draw=draw), y)

    def tangents(self, w: Tensor, k: int) -> Tangents:
        """k zero tangents of w."""
        return Tangents(self.shapes, k, dtype=w.dtype, device=w.device)


WIDE = 3 << 19  # bytes of 16 channels' activations, from which on a CPU runs with channels last


class LayeredNetwork(Network):
    """A network of layers that bring their own rules."""

    def __init__(self, body: Sequential, shape: Shape, classes: int) -> None:
        if body.output(shape)[-1:] != (classes,):  # of tokens at each place
            raise ValueError(f"the layers map {shape} to {body.output(shape)}, not to ({classes},)")
        self.body = body
        self.parameters: Sequence[Parameter] = body.parameters
        self.shapes = [p.shape for p in self.parameters]
        self._sizes = [p.size for p in self.parameters]
        self.size = sum(self._sizes)
        self.buffer_size = body.buffers
        gradient, product, _ = _flops(body, shape, first=True)
        self.gradient_flops = 2.0 * gradient
        if gradient:
            self.product_cost = product / gradient
        self.random = any(isinstance(layer, Dropout) and layer.p for layer in _walk(body))
        self.recordable = not self.random  # masks are made anew in each step
        convolutions = [layer for layer in _walk(body) if isinstance(layer, (Conv2d, ConvPool2))]
        self._fills_lanes = bool(convolutions) and all(_fills_lanes(layer) for layer in convolutions)
        self._grad: Tensor | None = None
        self._grads: list[Tensor] = []
        self._split: tuple[Tensor, list[Tensor]] | None = None

    def initial(self, generator: torch.Generator) -> Tensor:
        return torch.cat([p.initial(generator) for p in self.parameters])

    def initial_buffers(self) -> Tensor:
        norms = [layer for layer in _walk(self.body) if isinstance(layer, BatchNorm2d)]
        parts = [torch.cat([torch.zeros(n.channels), torch.ones(n.channels)]) for n in norms]
        return torch.cat(parts) if parts else torch.zeros(0)

    def _views(self, w: Tensor) -> list[Tensor]:
        if self._split is not None and self._split[0] is w:
            return self._split[1]
        parts = w.split_with_sizes(self._sizes)
        views = [part.view(s) for part, s in zip(parts, self.shapes, strict=True)]
        if not w._is_view():  # else a whole store would stay
            self._split = w, views
        return views

    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None, draw: int | None = None) -> Tensor:
        parts = [part.view(s) for part, s in zip(w.split_with_sizes(self._sizes), self.shapes, strict=True)]
        with drawn(draw, w.device):
            return self.body.apply(parts, self._laid_out(x), buffers)

    def _is_wide(self, x: Tensor) -> bool:
        """Whether layers run with channels last and products one by one: faster on a CPU from a size on.

        Convolutions then need no reordering, and one tangent's activations stay in the cache.
        """
        if not self._fills_lanes or x.device.type != "cpu":
            return False
        return len(x) * x.shape[2] * x.shape[3] * LANES * x.element_size() >= WIDE

    def _laid_out(self, x: Tensor) -> Tensor:
        """x [B, C, H, W], with channels last if that is faster."""
        if not self._is_wide(x):
            return x
        _, channels, height, width = x.shape  # strides are spelled out: those of one channel are ambiguous
        strides = (channels * height * width, 1, channels * width, channels)
        return torch.empty_strided(x.shape, strides, dtype=x.dtype).copy_(x)

    def gradient(
        self,
        w: Tensor,
        x: Tensor,
        y: Tensor,
        buffers: Tensor | None = None,
        plain: bool = False,
        draw: int | None = None,
    ) -> Tape:
        if self._grad is None or self._grad.dtype != w.dtype or self._grad.device != w.device:
            self._grad = torch.empty_like(w)
            parts = self._grad.split_with_sizes(self._sizes)
            self._grads = [part.view(s) for part, s in zip(parts, self.shapes, strict=True)]
        with torch.no_grad():
            p, c = self._views(w), SimpleNamespace(need_input=False)
            with drawn(draw, w.device):
                z = self.body.forward(p, self._laid_out(x), buffers if self.buffer_size else None, c)
            pulled = (self.objective.plain if plain else self.objective).pull(z, y)
            c.pulled = pulled.record
            self.body.backward(p, pulled.gradient, c, self._grads)
            c.one_by_one = self._is_wide(x)
        return Tape(pulled.loss, self._grad, c)

    def see(self, w: Tensor, x: Tensor, buffers: Tensor, draw: int | None = None) -> None:
        with torch.no_grad(), drawn(draw, w.device):
            unused = SimpleNamespace(need_input=False)
            self.body.forward(self._views(w), self._laid_out(x), buffers, unused)

    def products(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        with torch.no_grad():
            if tape.record.one_by_one:
                for j in range(directions.k):
                    one = slice(j, j + 1)
                    self._products(w, tape, [d[one] for d in directions.blocks], [o[one] for o in out.blocks])
            else:
                self._products(w, tape, directions.blocks, out.blocks)

    def _products(self, w: Tensor, tape: Tape, directions: list[Tensor], out: list[Tensor]) -> None:
        p, c = self._views(w), tape.record
        dz = self.body.tangent(p, directions, None, c)
        assert dz is not None
        self.body.tangent_backward(p, directions, self.objective.push(c.pulled, dz), c, out)


def _fills_lanes(layer: Layer) -> bool:
    """Whether a convolution's channels fill a CPU's vector registers."""
    return isinstance(layer, Conv2d) and layer.outputs % LANES == 0


def _flops(layer: Layer, shape: Shape, first: bool) -> tuple[float, float, bool]:
    """Multiply-adds for one example of a gradient and of a Hessian-vector product; GEMMs and convolutions.

    A gradient passes each weight three times (forward, weight, input), a product six; in the first
    layer no input gradient is needed and the input's tangent is zero, which leaves two and two. The
    last value says whether the layer that follows is still the first.
    """
    gradient = product = 0.0
    after = first
    if isinstance(layer, Sequential):
        for part in layer.layers:
            g, h, after = _flops(part, shape, after)
            gradient, product, shape = gradient + g, product + h, part.output(shape)
    elif isinstance(layer, Residual):
        gradient, product, stem_after = _flops(layer.stem, shape, first)
        inside = layer.stem.output(shape)
        for branch, seen in ((layer.body, inside), (layer.shortcut, layer.seen(inside))):
            g, h, branch_after = _flops(branch, seen, stem_after)
            gradient, product, after = gradient + g, product + h, after and branch_after
    elif isinstance(layer, PerToken):
        g, h, after = _flops(layer.body, shape[1:], first)
        gradient, product = shape[0] * g, shape[0] * h
    elif isinstance(layer, CausalAttention):  # two products of all places with all
        once = 2.0 * shape[0] * math.prod(layer.output(shape))
        gradient, product, after = once * 3, once * 6, False
    elif isinstance(layer, Embedding):
        after = False
    elif isinstance(layer, ConvPool2):
        gradient, product, after = _flops(layer.conv, shape, first)
        product -= gradient * (0.75 if first else 0.5)  # two of its passes are over a quarter of the pixels
    elif isinstance(layer, (Linear, Convolution)):
        once = float(layer.parameters[0].size * math.prod(layer.output(shape)[1:]))
        gradient, product, after = once * (2 if first else 3), once * (2 if first else 6), False
    return gradient, product, after


def _walk(layer: Layer) -> list[Layer]:
    if isinstance(layer, Sequential):
        return [inner for part in layer.layers for inner in _walk(part)]
    if isinstance(layer, PerToken):
        return _walk(layer.body)
    if isinstance(layer, Residual):
        return [inner for part in (layer.stem, layer.body, layer.shortcut) for inner in _walk(part)]
    return [layer]
