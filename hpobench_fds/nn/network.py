"""Models as functions of one flat parameter vector, with gradients and Hessian-vector products.

``LayeredNetwork`` uses the rules of ``layers``; ``ModuleNetwork`` takes any ``torch.nn.Module`` and
falls back on torch.func.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hpobench_fds.errors import InputError
from hpobench_fds.nn.layers import (
    BatchNorm2d,
    Conv2d,
    ConvPool2,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Shape,
)
from hpobench_fds.nn.layers.convolutions import LANES
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.python_file import import_file


@dataclass
class Tape:
    """A gradient and what its Hessian-vector products need.

    ``gradient`` [P] is a buffer that the next call of ``gradient`` overwrites; the tape is valid
    until then and as long as ``w`` is unchanged.
    """

    loss: Tensor  # 0-d, mean cross-entropy of the batch
    gradient: Tensor
    record: Any


class Network(ABC):
    """A classifier over a flat parameter vector w [P].

    Attributes
    ----------
    shapes : shape of each parameter, in the order they lie in w.
    size : P. buffer_size : R, running statistics of batch norm.
    """

    shapes: list[Shape]
    size: int
    buffer_size: int = 0
    product_cost: float = 2.0  # FLOPs of a Hessian-vector product over those of a gradient
    gradient_flops: float | None = None  # for one example, where they are known

    @abstractmethod
    def initial(self, generator: torch.Generator) -> Tensor:
        """A fresh w [P], float32 on the CPU: Xavier weights (gain 1), zero biases."""

    def initial_buffers(self) -> Tensor:
        """Running statistics [R] before any batch."""
        return torch.zeros(0)

    @abstractmethod
    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None) -> Tensor:
        """Logits [B, classes]; batch norm by ``buffers`` if given, else by the batch. Differentiable."""

    @abstractmethod
    def gradient(self, w: Tensor, x: Tensor, y: Tensor, buffers: Tensor | None = None) -> Tape:
        """Loss and gradient of a batch in training mode; updates ``buffers`` in place if given."""

    @abstractmethod
    def products(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        """Hessian-vector products of the tape's loss with k directions, written to ``out``."""

    def loss(self, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy in training mode, by plain differentiable operations."""
        return F.cross_entropy(self.logits(w, x), y)

    def tangents(self, w: Tensor, k: int) -> Tangents:
        """k zero tangents of w."""
        return Tangents(self.shapes, k, dtype=w.dtype, device=w.device)


# What cross-entropy and its gradient are made of, without autograd between them.
_nll, _nll_backward = torch.ops.aten.nll_loss_forward.default, torch.ops.aten.nll_loss_backward.default
_log_softmax_backward = torch.ops.aten._log_softmax_backward_data.default
_MEAN, _KEEP_ALL = 1, -100  # reduction; the label to leave out

WIDE = 3 << 19  # bytes of 16 channels' activations, from which on a CPU runs with channels last


class LayeredNetwork(Network):
    """A network of layers that bring their own rules."""

    def __init__(self, body: Sequential, shape: Shape, classes: int) -> None:
        if body.output(shape) != (classes,):
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
        if self._split is None or self._split[0] is not w:
            parts = w.split_with_sizes(self._sizes)
            self._split = (w, [part.view(s) for part, s in zip(parts, self.shapes, strict=True)])
        return self._split[1]

    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None) -> Tensor:
        parts = [part.view(s) for part, s in zip(w.split_with_sizes(self._sizes), self.shapes, strict=True)]
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

    def gradient(self, w: Tensor, x: Tensor, y: Tensor, buffers: Tensor | None = None) -> Tape:
        if self._grad is None or self._grad.dtype != w.dtype or self._grad.device != w.device:
            self._grad = torch.empty_like(w)
            parts = self._grad.split_with_sizes(self._sizes)
            self._grads = [part.view(s) for part, s in zip(parts, self.shapes, strict=True)]
        with torch.no_grad():
            p, c = self._views(w), SimpleNamespace(need_input=False)
            z = self.body.forward(p, self._laid_out(x), buffers if self.buffer_size else None, c)
            c.log_p = torch.log_softmax(z, 1)
            loss, count = _nll(c.log_p, y, None, _MEAN, _KEEP_ALL)
            pulled = _nll_backward(loss.new_ones(()), c.log_p, y, None, _MEAN, _KEEP_ALL, count)
            g = _log_softmax_backward(pulled, c.log_p, 1, z.dtype)
            self.body.backward(p, g, c, self._grads)
            c.one_by_one = self._is_wide(x)
        return Tape(loss, self._grad, c)

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
        softmax = c.log_p.exp().unsqueeze(1)  # [B, 1, classes]
        dg = dz.mul_(softmax)
        dg = torch.addcmul(dg, softmax, dg.sum(2, keepdim=True), value=-1.0).div_(len(dz))
        self.body.tangent_backward(p, directions, dg, c, out)


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
    elif isinstance(layer, ConvPool2):
        gradient, product, after = _flops(layer.conv, shape, first)
        product -= gradient * (0.75 if first else 0.5)  # two of its passes are over a quarter of the pixels
    elif isinstance(layer, (Linear, Conv2d)):
        once = float(layer.parameters[0].size * math.prod(layer.output(shape)[1:]))
        gradient, product, after = once * (2 if first else 3), once * (2 if first else 6), False
    return gradient, product, after


def _walk(layer: Layer) -> list[Layer]:
    if isinstance(layer, Sequential):
        return [inner for part in layer.layers for inner in _walk(part)]
    if isinstance(layer, Residual):
        return [inner for part in (layer.stem, layer.body, layer.shortcut) for inner in _walk(part)]
    return [layer]


class ModuleNetwork(Network):
    """Any ``torch.nn.Module`` without randomness; slower than layers with rules.

    Batch norm uses the batch's statistics in evaluation too, since running statistics cannot be
    carried through torch.func. Weights of two dimensions and more start as Xavier normal, others as
    the module made them, the same for every seed. Raises InputError for a module with dropout.
    """

    def __init__(self, module: nn.Module) -> None:
        for name, part in module.named_modules():
            if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
                raise InputError("dropout makes the inner step random, so it has no hypergradient", key=name)
        torch.func.replace_all_batch_norm_modules_(module)
        self.module = module.train()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self._names = [name for name, _ in module.named_parameters()]
        self._start = [p.detach().clone() for p in module.parameters()]
        self.shapes = [tuple(p.shape) for p in self._start]
        self._sizes = [p.numel() for p in self._start]
        self.size = sum(self._sizes)

    def initial(self, generator: torch.Generator) -> Tensor:
        parts = []
        for p in self._start:
            if p.dim() < 2:
                parts.append(p.flatten().float().cpu())
                continue
            receptive = math.prod(p.shape[2:])
            std = math.sqrt(2.0 / ((p.shape[0] + p.shape[1]) * receptive))
            parts.append(torch.randn(p.numel(), generator=generator) * std)
        return torch.cat(parts)

    def _named(self, w: Tensor) -> dict[str, Tensor]:
        parts = zip(self._names, w.split_with_sizes(self._sizes), self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}

    def _call(self, named: dict[str, Tensor], x: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(self.module, named, (x,))
        return out

    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None) -> Tensor:
        return self._call(self._named(w), x)

    def gradient(self, w: Tensor, x: Tensor, y: Tensor, buffers: Tensor | None = None) -> Tape:
        leaf = w.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(leaf, x, y)
            (gradient,) = torch.autograd.grad(loss, leaf)
        return Tape(loss.detach(), gradient, (x, y))

    def products(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        x, y = tape.record
        named = self._named(w)

        def gradient(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
            pulled: dict[str, Tensor] = torch.func.grad(lambda q: F.cross_entropy(self._call(q, x), y))(
                parameters
            )
            return pulled

        def product(direction: dict[str, Tensor]) -> dict[str, Tensor]:
            pushed: dict[str, Tensor] = torch.func.jvp(gradient, (named,), (direction,))[1]
            return pushed

        tangent = dict(zip(self._names, directions.blocks, strict=True))
        pushed = torch.func.vmap(product)(tangent)
        for block, name in zip(out.blocks, self._names, strict=True):
            block.copy_(pushed[name])


def _mlp(shape: Shape, classes: int) -> Sequential:
    return Sequential(
        Flatten(), Linear(math.prod(shape), 64, "hidden"), ReLU(), Linear(64, classes, "output")
    )


def _lenet(shape: Shape, classes: int) -> Sequential:
    """LeNet for 28 or 32 pixels, as the paper uses it; pooling before relu, which commute."""
    channels, side, _ = shape
    if shape[1:] not in ((28, 28), (32, 32)):
        raise InputError(f"lenet takes images of 28 or 32 pixels, not {side}", key="model")
    flat = 16 * ((side - 4) // 2 - 4) ** 2 // 4
    return Sequential(
        ConvPool2(Conv2d(channels, 6, 5, name="conv1")), ReLU(),
        ConvPool2(Conv2d(6, 16, 5, name="conv2")), ReLU(),
        Flatten(), Linear(flat, 120, "fc1"), ReLU(), Linear(120, 84, "fc2"), ReLU(),
        Linear(84, classes, "fc3"),
    )  # fmt: skip


def _block(inputs: int, outputs: int, stride: int, name: str) -> Residual:
    """Pre-activation block; where the width changes, shortcut and body share the first activation."""
    first = [BatchNorm2d(inputs, f"{name}.norm1"), ReLU()]
    convs = [
        Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False, name=f"{name}.conv1"),
        BatchNorm2d(outputs, f"{name}.norm2"),
        ReLU(),
        Conv2d(outputs, outputs, 3, padding=1, bias=False, name=f"{name}.conv2"),
    ]
    if inputs == outputs and stride == 1:
        return Residual(Sequential(*first, *convs))
    shortcut = Conv2d(inputs, outputs, 1, bias=False, name=f"{name}.shortcut")
    return Residual(Sequential(*convs), Sequential(shortcut), Sequential(*first), stride)


def _wide_resnet(depth: int, widen: int) -> Callable[[Shape, int], Sequential]:
    """Wide ResNet (Zagoruyko & Komodakis, BMVC 2016) of the given depth and widening factor."""

    def build(shape: Shape, classes: int) -> Sequential:
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        layers: list[Layer] = [Conv2d(shape[0], 16, 3, padding=1, bias=False, name="stem")]
        for group in range(3):
            for index in range((depth - 4) // 6):
                inputs = widths[group] if index == 0 else widths[group + 1]
                stride = 2 if group and index == 0 else 1
                layers.append(_block(inputs, widths[group + 1], stride, f"group{group + 1}.{index}"))
        layers += [
            BatchNorm2d(widths[3], "norm"),
            ReLU(),
            GlobalAvgPool(),
            Linear(widths[3], classes, "output"),
        ]
        return Sequential(*layers)

    return build


Builder = Callable[[Shape, int], Sequential]

MODELS: dict[str, Builder] = {
    "mlp": _mlp,
    "lenet": _lenet,
    "wrn-10-1": _wide_resnet(10, 1),
    "wrn-16-1": _wide_resnet(16, 1),
    "wrn-40-2": _wide_resnet(40, 2),
}
"""Built-in models by name: (input shape, classes) -> layers."""


def build_network(name: str, shape: Shape, classes: int) -> Network:
    """A network by name, or from a user's file: ``my_model.py:build``.

    ``build(shape, classes)`` returns a Sequential of this package's layers, or any nn.Module.
    Raises InputError for an unknown name, a file that does not load, a model that does not fit.
    """
    builder = _from_file(name) if ":" in name else MODELS.get(name)
    if builder is None:
        raise InputError(f"unknown model {name!r}", key="model", allowed=[*MODELS, "FILE.py:FUNCTION"])
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a module draws from the global generator: the same in every process
            built = builder(shape, classes)
        network = _network_of(built, shape, classes)
        _try(network, shape, classes)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name!r} does not fit inputs {shape}: {error}", key="model") from error
    return network


def _try(network: Network, shape: Shape, classes: int) -> None:
    """One small batch, so that what does not fit or is random shows before any training."""
    generator = torch.Generator().manual_seed(0)
    w, x = network.initial(generator), torch.randn(4, *shape, generator=generator)
    with torch.no_grad():
        logits, again = network.logits(w, x), network.logits(w, x)
    if logits.shape != (4, classes):
        raise ValueError(f"it gives {tuple(logits.shape[1:])} logits for {classes} classes")
    if not torch.equal(logits, again):
        raise InputError("the model is random, so its inner step has no hypergradient", key="model")
    network.gradient(w, x, torch.arange(4) % classes)


def _network_of(built: object, shape: Shape, classes: int) -> Network:
    if isinstance(built, Sequential):
        return LayeredNetwork(built, shape, classes)
    if isinstance(built, nn.Module):
        return ModuleNetwork(built)
    raise InputError(
        f"the function built a {type(built).__name__}", key="model", allowed="Sequential, nn.Module"
    )


def _from_file(name: str) -> Callable[[Shape, int], Any]:
    path, _, function = name.rpartition(":")
    if not Path(path).is_file():
        raise InputError(f"no file {path!r}", key="model", allowed=[*MODELS, "FILE.py:FUNCTION"])
    module = import_file(Path(path), key="model")
    builder: Callable[[Shape, int], Any] | None = getattr(module, function, None)
    if builder is None:
        raise InputError(f"{path!r} has no function {function!r}", key="model")
    return builder
