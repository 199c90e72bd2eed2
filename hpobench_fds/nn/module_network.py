"""Any ``torch.nn.Module`` as a function of one flat parameter vector, by torch.func."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hpobench_fds.errors import InputError
from hpobench_fds.nn.network import Network, Tape
from hpobench_fds.nn.tangents import Tangents


class ModuleNetwork(Network):
    """Any ``torch.nn.Module`` without randomness; slower than layers with rules.

    Batch norm uses the batch's statistics in evaluation too, since running statistics cannot be
    carried through torch.func. Attention is computed by plain products, since torch's fused kernels have
    no derivative of their derivative. Weights of two dimensions and more start as Xavier normal, others as
    the module made them, the same for every seed. Raises InputError for a module with dropout.
    """

    def __init__(self, module: nn.Module) -> None:
        for name, part in module.named_modules():
            if _drops(part):
                layer = f"{name!r} ({type(part).__name__})" if name else type(part).__name__
                problem = f"the layer {layer} drops out at random, so an inner step has no hypergradient"
                raise InputError(problem, key="model", allowed="dropout = 0")
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
        with sdpa_kernel(SDPBackend.MATH):
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


def _drops(part: nn.Module) -> bool:
    """Whether a module has dropout: a layer of its own, or within attention or between recurrent layers."""
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return part.p > 0
    return isinstance(part, (nn.MultiheadAttention, nn.RNNBase)) and part.dropout > 0
