"""Any ``torch.nn.Module`` as a function of one flat parameter vector, by torch.func."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase

from hpobench_fds.errors import InputError
from hpobench_fds.nn.draws import LaidOutAlike, counted, drawn
from hpobench_fds.nn.network import Network, Tape
from hpobench_fds.nn.recurrent import by_plain_products
from hpobench_fds.nn.tangents import Tangents

Named = Mapping[str, Tensor]


class ModuleNetwork(Network):
    """Any ``torch.nn.Module``; slower than layers with rules.

    Whatever torch draws in it at random, dropout or noise, is a function of a step's draw. One that draws is
    in evaluation mode without a draw; others are always in training mode.

    Batch and instance norm use the batch's statistics in evaluation too, since running statistics cannot be
    carried through torch.func. Attention is computed by plain products, and in Hessian-vector products
    recurrent layers as well, since torch's fused kernels have no derivative of their derivative. A single
    product is made by reverse over reverse, and so are several of what has no forward rule. Buffers, and
    tensors that are plain attributes, follow the weights' device and dtype. Weights of two dimensions and
    more start as Xavier normal, others as the module made them, the same for every seed.
    """

    forward_rules = True  # whether several products can be made at once, by forward over reverse
    reverse_twice = True  # whether they can be made one by one, by reverse over reverse: faster for one

    def __init__(self, module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, _NormBase):
                part.running_mean = part.running_var = part.num_batches_tracked = None
                part.track_running_stats = False
            _register_plain_tensors(part)
        self.module = module.train()
        self._recurrent = [part for part in module.modules() if isinstance(part, nn.RNNBase)]
        self._drops_between = any(part.dropout > 0 for part in self._recurrent)
        self._buffers = dict(module.named_buffers())
        self._placed: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self._names = [name for name, _ in module.named_parameters()]
        rows = {
            id(part.weight): part.padding_idx
            for part in module.modules()
            if isinstance(part, (nn.Embedding, nn.EmbeddingBag))
        }
        self._padding = [rows.get(id(p)) for p in module.parameters()]  # the row that stands for nothing
        self._start = [p.detach().clone() for p in module.parameters()]
        self.shapes = [tuple(p.shape) for p in self._start]
        self._sizes = [p.numel() for p in self._start]
        self.size = sum(self._sizes)

    def initial(self, generator: torch.Generator) -> Tensor:
        parts = []
        for p, row in zip(self._start, self._padding, strict=True):
            if p.dim() < 2:
                parts.append(p.flatten().float().cpu())
                continue
            receptive = math.prod(p.shape[2:])
            std = math.sqrt(2.0 / ((p.shape[0] + p.shape[1]) * receptive))
            drawn = torch.randn(p.numel(), generator=generator) * std
            if row is not None:  # has no gradient, and no derivative if it stays zero
                drawn.view(p.shape)[row] = 0.0
            parts.append(drawn)
        return torch.cat(parts)

    def _named(self, w: Tensor) -> dict[str, Tensor]:
        parts = zip(self._names, w.split_with_sizes(self._sizes), self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}

    def _constants(self, like: Tensor) -> dict[str, Tensor]:
        """Buffers on the weights' device, those that are no integers in their precision."""
        place = like.device, like.dtype
        if place not in self._placed:
            self._placed[place] = {name: _placed(b, *place) for name, b in self._buffers.items()}
        return self._placed[place]

    def _call(
        self, named: Named, constants: Named, x: Tensor, draw: int | None, twice: bool = False
    ) -> Tensor:
        """Outputs; ``twice``: to be differentiated twice.

        Away from the CPU recurrent layers always run by plain products: to use its kernels torch would move
        the weights. So do those with dropout in between, which the kernels would draw in their own way.
        """
        plainly = self._recurrent if twice or self._drops_between or x.device.type != "cpu" else ()
        if self.random and self.module.training != (draw is not None):
            self.module.train(draw is not None)
        alike = nullcontext() if draw is None else LaidOutAlike()  # type: ignore[no-untyped-call]
        with sdpa_kernel(SDPBackend.MATH), by_plain_products(plainly), drawn(draw, x.device), alike:
            out: Tensor = torch.func.functional_call(self.module, {**constants, **named}, (x,))
        return out

    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None, draw: int | None = None) -> Tensor:
        return self._call(self._named(w), self._constants(w), x, draw)

    def gradient(
        self,
        w: Tensor,
        x: Tensor,
        y: Tensor,
        buffers: Tensor | None = None,
        plain: bool = False,
        draw: int | None = None,
    ) -> Tape:
        leaf = w.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(leaf, x, y, plain, draw)
            (gradient,) = torch.autograd.grad(loss, leaf)
        return Tape(loss.detach(), gradient, (x, y, draw))

    def products(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        if self.reverse_twice and (directions.k == 1 or not self.forward_rules):
            self._reverse_over_reverse(w, tape, directions, out)
        else:
            self._forward_over_reverse(w, tape, directions, out)

    def _forward_over_reverse(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        x, y, draw = tape.record
        named, constants = self._named(w), self._constants(w)

        def gradient(parameters: Named) -> dict[str, Tensor]:
            pulled: dict[str, Tensor] = torch.func.grad(
                lambda q: self.objective(self._call(q, constants, x, draw, twice=True), y)
            )(parameters)
            return pulled

        def product(direction: Named) -> dict[str, Tensor]:
            pushed: dict[str, Tensor] = torch.func.jvp(gradient, (named,), (direction,))[1]
            return pushed

        tangent = dict(zip(self._names, directions.blocks, strict=True))
        pushed = torch.func.vmap(product, randomness="same")(tangent)
        for block, name in zip(out.blocks, self._names, strict=True):
            block.copy_(pushed[name])

    def _reverse_over_reverse(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        x, y, draw = tape.record
        leaf, constants = w.detach().requires_grad_(), self._constants(w)
        with torch.enable_grad():
            loss = self.objective(self._call(self._named(leaf), constants, x, draw, twice=True), y)
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
            for j in range(directions.k):
                (product,) = torch.autograd.grad(gradient, leaf, directions.vector(j), retain_graph=True)
                out.set_row(j, product)

    def try_draws(self, w: Tensor, x: Tensor) -> None:
        """Find out whether it is ``random``. Raises InputError if a draw does not decide all that is."""
        with torch.no_grad(), counted() as used:
            self.logits(w, x)
        self.random = used[0]
        with torch.no_grad():
            draw = 0 if self.random else None
            same = torch.equal(self.logits(w, x, draw=draw), self.logits(w, x, draw=draw))
            if not same:
                problem = "is random by other than torch's own generators, so a step cannot be made again"
                raise InputError(
                    f"the model {problem}", key="model", allowed="torch.rand, dropout and the like"
                )
            if self.random and not torch.equal(self.logits(w, x), self.logits(w, x)):
                problem = "the model is random in evaluation as well"
                raise InputError(problem, key="model", allowed="dropout(x, p, self.training)")

    def try_products(self, w: Tensor, tape: Tape) -> None:
        """Find the way to Hessian-vector products; where there is none, ``no_products`` says why."""
        two = self.tangents(w, 2)  # several at once are harder than one
        entered: list[str] = []
        reasons: list[str] = []

        def works(way: Callable[[Tensor, Tape, Tangents, Tangents], None]) -> bool:
            try:
                with warnings.catch_warnings(), _watched(self.module, entered):
                    # torch's own use of what it gave up, at the first forward derivative of a process
                    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
                    way(w, tape, two, two.like())
            except Exception as error:  # whatever torch's rules raise: methods without products can use it
                first_line = str(error).strip().partition("\n")[0]
                reasons.append(f"{type(error).__name__}: {first_line}")
                return False
            return True

        self.reverse_twice = works(self._reverse_over_reverse)
        self.forward_rules = works(self._forward_over_reverse)
        if self.reverse_twice or self.forward_rules:
            return
        where = f"{entered[0]}: " if entered else ""
        self.no_products = f"{where}{reasons[0]} (allowed: operations that torch differentiates twice)"


@contextmanager
def naming_layers(module: nn.Module) -> Iterator[None]:
    """What a module raises on its way forward begins with the layer that raised it."""
    entered: list[str] = []
    try:
        with _watched(module, entered):
            yield
    except Exception as error:
        if not entered:
            raise
        raise ValueError(f"{entered[0]}: {error}") from error


@contextmanager
def _watched(module: nn.Module, entered: list[str]) -> Iterator[None]:
    """Puts the innermost layer that raises on its way forward into ``entered``, first of all."""
    stack: list[str] = []
    hooks = []
    for name, part in module.named_modules():
        layer = _layer(name, part)
        hooks.append(part.register_forward_pre_hook(lambda *_, layer=layer: stack.append(layer)))
        hooks.append(part.register_forward_hook(lambda *_: stack.pop() and None))
    try:
        yield
    except Exception:
        entered += stack[-1:]
        raise
    finally:
        for hook in hooks:
            hook.remove()


def _layer(name: str, part: nn.Module) -> str:
    kind = type(part).__name__
    return f"the layer {name!r} ({kind})" if name else f"the layer {kind}"


def _register_plain_tensors(part: nn.Module) -> None:
    """A tensor that a module holds as a plain attribute becomes a buffer, which reaches the device."""
    for name, value in list(vars(part).items()):
        if isinstance(value, Tensor):
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)


def _placed(buffer: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    if buffer.is_complex():
        return buffer.to(device, dtype.to_complex())
    return buffer.to(device, dtype) if buffer.is_floating_point() else buffer.to(device)
