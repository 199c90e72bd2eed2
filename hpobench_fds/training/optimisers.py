"""The rules of inner optimisers as differentiable maps, with their products with tangents and adjoints.

A rule maps (w, slots, gradient, hyperparameters) to (w', slots'). ``update`` states it once, in
plain torch operations; the tangent and adjoint products either follow from it by torch.func
(``ElementwiseRule``) or are written out and tested against it (``SGD``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from hpobench_fds.nn.tangents import Tangents


@dataclass(slots=True)
class Step:
    """One inner step, about to be taken.

    w, gradient : [P]. slots : optimiser state [S, P].
    hypers : [H] in the order of the rule's ``defaults``; a tensor where they are on the device and not to
        be read.
    index : which step it is, from 0.
    """

    w: Tensor
    slots: Tensor
    gradient: Tensor
    hypers: Sequence[float] | Tensor
    index: int


@dataclass(slots=True)
class StepTangents:
    """k tangents of a step's w, slots and gradient."""

    w: Tangents
    slots: list[Tangents]
    gradient: Tangents


class StepAdjoints(NamedTuple):
    """Adjoints of what went into a step.

    w [P], without the part through the gradient; slots [S, P]; gradient [P]; hypers [H].
    """

    w: Tensor
    slots: Tensor
    gradient: Tensor
    hypers: Tensor


class StepRule(ABC):
    """An inner optimiser's step.

    ``alike`` : whether steps with the same hyperparameters are the same map, whatever their index.
    """

    alike: ClassVar[bool] = True

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, float]]  # hyperparameters in order, with the value of one left out
    slots: ClassVar[int]  # state vectors of size P beside w

    @abstractmethod
    def update(self, step: Step) -> tuple[Tensor, Tensor]:
        """(w', slots'), differentiable in every tensor."""

    def update_(self, step: Step) -> None:
        """The same in place; the gradient may be overwritten."""
        if isinstance(step.hypers, Tensor):
            w, slots = self.update(step)
            step.w.copy_(w)
            step.slots.copy_(slots)
        else:
            self._take(step, step.hypers)

    @abstractmethod
    def _take(self, step: Step, hypers: Sequence[float]) -> None:
        """``update_`` with hyperparameters that are numbers."""

    @abstractmethod
    def push(self, step: Step, tangents: StepTangents, active: Sequence[int | None]) -> None:
        """Tangents through the step, in place on those of w and slots; the gradient's may be overwritten.

        ``active[h]`` is the row of the hyperparameter window in force (its own tangent is 1), or None.
        The step is not taken.
        """

    @abstractmethod
    def pull(self, step: Step, aw: Tensor, aslots: Tensor) -> StepAdjoints:
        """Adjoints back through the step, from d/dw' [P] and d/dslots' [S, P]."""


class ElementwiseRule(StepRule):
    """A rule whose every output component depends on the same component of its inputs alone.

    Its Jacobian is then a table of diagonals, read off ``update`` by one forward derivative for each
    input, or written out, which is many times faster and copies no number to a device; tangent and adjoint
    products are sums over that table.
    """

    def _diagonals(self, step: Step) -> Tensor:
        """d(w', slots')/d(w, slots, gradient, hyperparameters): [inputs, 1 + S, P]."""
        w, hypers = step.w, step.hypers
        numbers = hypers.to(w.dtype) if isinstance(hypers, Tensor) else map(w.new_tensor, hypers)
        values = [w, *step.slots, step.gradient, *numbers]

        def outputs(*inputs: Tensor) -> Tensor:
            s = 1 + self.slots
            moved = Step(
                inputs[0], torch.stack(inputs[1:s]), inputs[s], torch.stack(inputs[s + 1 :]), step.index
            )
            new_w, new_slots = self.update(moved)
            return torch.cat([new_w.unsqueeze(0), new_slots])

        rows = []
        for i in range(len(values)):
            directions = tuple(
                torch.ones_like(value) if i == j else torch.zeros_like(value)
                for j, value in enumerate(values)
            )
            rows.append(torch.func.jvp(outputs, tuple(values), directions)[1])
        return torch.stack(rows)

    def push(self, step: Step, tangents: StepTangents, active: Sequence[int | None]) -> None:
        table = self._diagonals(step)
        dw = tangents.w
        inputs = [dw, *tangents.slots, tangents.gradient]
        diagonals = [d.split_with_sizes(dw.sizes, -1) for d in table]  # [input][parameter]: [1 + S, n]
        for at in range(len(dw.sizes)):
            blocks = [one.blocks[at].view(dw.k, -1) for one in inputs]
            new = [
                sum(d[at][o] * b for d, b in zip(diagonals, blocks, strict=False))
                for o in range(1 + self.slots)
            ]
            for block, value in zip(blocks, new, strict=False):
                block.copy_(value)
        for h, row in enumerate(active):
            if row is not None:
                for one, diagonal in zip([dw, *tangents.slots], table[len(inputs) + h], strict=True):
                    one.add_to_row(row, diagonal)

    def pull(self, step: Step, aw: Tensor, aslots: Tensor) -> StepAdjoints:
        table = self._diagonals(step)
        pulled = (table * torch.cat([aw.unsqueeze(0), aslots])).sum(1)  # [inputs, P]
        s = 1 + self.slots
        return StepAdjoints(pulled[0], pulled[1:s], pulled[s], pulled[s + 1 :].sum(1))


def _table(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Diagonals [inputs, 1 + S, P] from those of each input."""
    return torch.stack([torch.stack(tuple(row)) for row in rows])


class SGD(ElementwiseRule):
    """v' = momentum * v + (g + weight_decay * w); w' = w - lr * v' (torch.optim.SGD's rule).

    Its products are written out for hyperparameters that are numbers, which is many times faster.
    """

    name = "sgd"
    defaults: ClassVar[Mapping[str, float]] = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
    slots = 1

    def update(self, step: Step) -> tuple[Tensor, Tensor]:
        lr, momentum, decay = step.hypers
        v = momentum * step.slots[0] + (step.gradient + decay * step.w)
        return step.w - lr * v, v.unsqueeze(0)

    def _take(self, step: Step, hypers: Sequence[float]) -> None:
        lr, momentum, decay = hypers
        w, v, gradient = step.w, step.slots[0], step.gradient
        if decay:
            gradient.add_(w, alpha=decay)
        v.mul_(momentum).add_(gradient)
        w.add_(v, alpha=-lr)

    def push(self, step: Step, tangents: StepTangents, active: Sequence[int | None]) -> None:
        if isinstance(step.hypers, Tensor):
            self._push_by_tensors(step, step.hypers.to(step.w.dtype), tangents, active)
            return
        lr, momentum, decay = step.hypers
        row_lr, row_momentum, row_decay = active
        w, v = step.w, step.slots[0]
        dw, dv, dgradient = tangents.w, tangents.slots[0], tangents.gradient
        if decay:
            dgradient.flat.add_(dw.flat, alpha=decay)
        torch.add(dgradient.flat, dv.flat, alpha=momentum, out=dv.flat)
        if row_momentum is not None:
            dv.add_to_row(row_momentum, v)
        if row_decay is not None:
            dv.add_to_row(row_decay, w)
        dw.flat.add_(dv.flat, alpha=-lr)
        if row_lr is not None:  # - v', made from what is known before the step
            dw.add_to_row(row_lr, v, -momentum)
            dw.add_to_row(row_lr, step.gradient, -1.0)
            if decay:
                dw.add_to_row(row_lr, w, -decay)

    def _push_by_tensors(
        self, step: Step, hypers: Tensor, tangents: StepTangents, active: Sequence[int | None]
    ) -> None:
        """``push`` where nothing is to be read: with the hyperparameters as they lie on the device."""
        lr, momentum, decay = hypers
        row_lr, row_momentum, row_decay = active
        w, v = step.w, step.slots[0]
        dw, dv = tangents.w, tangents.slots[0]
        dv.flat.mul_(momentum).add_(tangents.gradient.flat).addcmul_(dw.flat, decay)
        if row_momentum is not None:
            dv.add_to_row(row_momentum, v)
        if row_decay is not None:
            dv.add_to_row(row_decay, w)
        dw.flat.addcmul_(dv.flat, lr, value=-1.0)
        if row_lr is not None:
            dw.add_to_row(row_lr, torch.addcmul(step.gradient, v, momentum).addcmul_(w, decay), -1.0)

    def pull(self, step: Step, aw: Tensor, aslots: Tensor) -> StepAdjoints:
        if isinstance(step.hypers, Tensor):
            return super().pull(step, aw, aslots)
        lr, momentum, decay = step.hypers
        w, v = step.w, step.slots[0]
        av = torch.add(aslots[0], aw, alpha=-lr)  # everything that reaches v'
        d_lr = -(momentum * torch.dot(aw, v) + torch.dot(aw, step.gradient) + decay * torch.dot(aw, w))
        hyper = torch.stack([d_lr, torch.dot(av, v), torch.dot(av, w)])
        return StepAdjoints(torch.add(aw, av, alpha=decay), (momentum * av).unsqueeze(0), av, hyper)


class Nesterov(ElementwiseRule):
    """SGD with Nesterov's momentum, torch.optim.SGD's form: w' = w - lr * (g + decay * w + momentum * v')."""

    name = "nesterov"
    defaults: ClassVar[Mapping[str, float]] = SGD.defaults
    slots = 1

    def update(self, step: Step) -> tuple[Tensor, Tensor]:
        lr, momentum, decay = step.hypers
        g = step.gradient + decay * step.w
        v = momentum * step.slots[0] + g
        return step.w - lr * (g + momentum * v), v.unsqueeze(0)

    def _take(self, step: Step, hypers: Sequence[float]) -> None:
        lr, momentum, decay = hypers
        g = step.gradient.add_(step.w, alpha=decay)
        v = step.slots[0].mul_(momentum).add_(g)
        step.w.add_(g.add_(v, alpha=momentum), alpha=-lr)

    def _diagonals(self, step: Step) -> Tensor:
        lr, momentum, decay = step.hypers
        w, old = step.w, step.slots[0]
        g = step.gradient + decay * w
        v, ones = momentum * old + g, torch.ones_like(w)
        return _table([
            (ones * (1 - lr * (1 + momentum) * decay), ones * decay),
            (ones * (-lr * momentum**2), ones * momentum),
            (ones * (-lr * (1 + momentum)), ones),
            (-(g + momentum * v), torch.zeros_like(w)),
            (-lr * (v + momentum * old), old),
            (-lr * (1 + momentum) * w, w),
        ])  # fmt: skip


class Adam(ElementwiseRule):
    """Adam (Kingma & Ba, ICLR 2015) as torch.optim.Adam states it, weight decay added to the gradient.

    Its products are written out as SGD's are.
    """

    name = "adam"
    defaults: ClassVar[Mapping[str, float]] = {
        "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0,
    }  # fmt: skip
    slots = 2
    alike = False  # its corrections of the bias fade
    decoupled = False

    def update(self, step: Step) -> tuple[Tensor, Tensor]:
        lr, beta1, beta2, eps, decay = step.hypers
        w, slots, gradient = step.w, step.slots, step.gradient
        if self.decoupled:
            w = w * (1 - lr * decay)
        else:
            gradient = gradient + decay * w
        m = beta1 * slots[0] + (1 - beta1) * gradient
        v = beta2 * slots[1] + (1 - beta2) * gradient * gradient
        # Where no gradient ever came, sqrt has no derivative; it is taken as 0.
        seen = v > 0
        root = torch.where(seen, torch.where(seen, v, 1.0).sqrt(), 0.0)
        corrected = root / (1 - beta2 ** (step.index + 1)) ** 0.5 + eps
        return w - lr / (1 - beta1 ** (step.index + 1)) * m / corrected, torch.stack([m, v])

    def _take(self, step: Step, hypers: Sequence[float]) -> None:
        lr, beta1, beta2, eps, decay = hypers
        w, gradient = step.w, step.gradient
        if self.decoupled:
            w.mul_(1 - lr * decay)
        else:
            gradient.add_(w, alpha=decay)
        m, v = step.slots
        m.mul_(beta1).add_(gradient, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        corrected = v.sqrt().div_((1 - beta2 ** (step.index + 1)) ** 0.5).add_(eps)
        w.addcdiv_(m, corrected, value=-lr / (1 - beta1 ** (step.index + 1)))

    def _diagonals(self, step: Step) -> Tensor:
        lr, beta1, beta2, _, decay = step.hypers
        w, known = step.w, _AdamStep.of(step, self.decoupled)
        g, from_m, from_v = known.gradient, step.slots[0] - known.gradient, step.slots[1] - known.gradient**2
        none = torch.zeros_like(w)
        m_by_g, v_by_g = none + (1 - beta1), 2 * (1 - beta2) * g
        by_g = known.by_m * m_by_g + known.by_v * v_by_g
        coupled = 0.0 if self.decoupled else decay
        kept = -lr * decay if self.decoupled else coupled * by_g
        return _table([
            (1 + kept + none, coupled * m_by_g, coupled * v_by_g),
            (beta1 * known.by_m, none + beta1, none),
            (beta2 * known.by_v, none, none + beta2),
            (by_g, m_by_g, v_by_g),
            (known.by_lr - (decay * w if self.decoupled else none), none, none),
            (known.by_m * from_m + known.by_beta1, from_m, none),
            (known.by_v * from_v + known.by_beta2, none, from_v),
            (known.by_eps, none, none),
            (-lr * w, none, none) if self.decoupled else (by_g * w, m_by_g * w, v_by_g * w),
        ])  # fmt: skip

    def push(self, step: Step, tangents: StepTangents, active: Sequence[int | None]) -> None:
        if isinstance(step.hypers, Tensor):
            super().push(step, tangents, active)
            return
        lr, beta1, beta2, _, decay = step.hypers
        row_lr, row_beta1, row_beta2, row_eps, row_decay = active
        w, known = step.w, _AdamStep.of(step, self.decoupled)
        dw, (dm, dv), dgradient = tangents.w, tangents.slots, tangents.gradient
        if decay and not self.decoupled:
            dgradient.flat.add_(dw.flat, alpha=decay)
        if row_decay is not None and not self.decoupled:
            dgradient.add_to_row(row_decay, w)
        dm.flat.mul_(beta1).add_(dgradient.flat, alpha=1 - beta1)
        dv.flat.mul_(beta2)
        dv.add_times(dgradient, known.gradient * (2 * (1 - beta2)))
        if row_beta1 is not None:
            dm.add_to_row(row_beta1, step.slots[0] - known.gradient)
        if row_beta2 is not None:
            dv.add_to_row(row_beta2, step.slots[1] - known.gradient.square())
        if self.decoupled:
            dw.flat.mul_(1 - lr * decay)
        dw.add_times(dm, known.by_m)
        dw.add_times(dv, known.by_v)
        for row, vector in (
            (row_beta1, known.by_beta1),
            (row_beta2, known.by_beta2),
            (row_eps, known.by_eps),
        ):
            if row is not None:
                dw.add_to_row(row, vector)
        if row_lr is not None:
            dw.add_to_row(row_lr, known.by_lr)
        if self.decoupled:
            for row, scale in ((row_lr, -decay), (row_decay, -lr)):
                if row is not None:
                    dw.add_to_row(row, w, scale)

    def pull(self, step: Step, aw: Tensor, aslots: Tensor) -> StepAdjoints:
        if isinstance(step.hypers, Tensor):
            return super().pull(step, aw, aslots)
        lr, beta1, beta2, _, decay = step.hypers
        w, known = step.w, _AdamStep.of(step, self.decoupled)
        am = torch.addcmul(aslots[0], aw, known.by_m)  # everything that reaches m'
        av = torch.addcmul(aslots[1], aw, known.by_v)
        agradient = ((1 - beta1) * am).addcmul_(known.gradient, av, value=2 * (1 - beta2))
        d_lr, d_eps = torch.dot(aw, known.by_lr), torch.dot(aw, known.by_eps)
        d_beta1 = torch.dot(am, step.slots[0] - known.gradient) + torch.dot(aw, known.by_beta1)
        d_beta2 = torch.dot(av, step.slots[1] - known.gradient.square()) + torch.dot(aw, known.by_beta2)
        if self.decoupled:
            along = torch.dot(aw, w)
            d_lr, d_decay, through = d_lr - decay * along, -lr * along, (1 - lr * decay) * aw
        else:
            d_decay, through = torch.dot(agradient, w), torch.add(aw, agradient, alpha=decay)
        hyper = torch.stack([d_lr, d_beta1, d_beta2, d_eps, d_decay])
        return StepAdjoints(through, torch.stack([beta1 * am, beta2 * av]), agradient, hyper)


@dataclass(slots=True)
class _AdamStep:
    """Derivatives of w' = w - lr / (1 - beta1^t) * m' / (sqrt(v') / sqrt(1 - beta2^t) + eps): [P] each.

    gradient : with the decay that belongs to it. by_m, by_v : dw'/dm' and dw'/dv', the latter 0 where no
    gradient ever came. by_lr, by_beta1, by_beta2, by_eps : what does not come through m' and v'.
    """

    gradient: Tensor
    by_m: Tensor
    by_v: Tensor
    by_lr: Tensor
    by_beta1: Tensor
    by_beta2: Tensor
    by_eps: Tensor

    @classmethod
    def of(cls, step: Step, decoupled: bool) -> _AdamStep:
        lr, beta1, beta2, eps, decay = step.hypers
        t = step.index + 1
        first, second = 1 - beta1**t, 1 - beta2**t
        gradient = step.gradient if decoupled else step.gradient + decay * step.w
        m = beta1 * step.slots[0] + (1 - beta1) * gradient
        v = beta2 * step.slots[1] + (1 - beta2) * gradient * gradient
        root = v.sqrt()
        below = root / second**0.5 + eps
        moved = m / below / first
        by_eps = lr * moved / below
        half = torch.where(v > 0, 0.5 / root, 0.0) / second**0.5
        return cls(
            gradient=gradient,
            by_m=-lr / first / below,
            by_v=by_eps * half,
            by_lr=-moved,
            by_beta1=moved * (-lr * t * beta1 ** (t - 1) / first),
            by_beta2=by_eps * root * (0.5 * t * beta2 ** (t - 1) / second**1.5),
            by_eps=by_eps,
        )


class AdamW(Adam):
    """AdamW (Loshchilov & Hutter, ICLR 2019): weights decay by lr * weight_decay, apart from the gradient."""

    name = "adamw"
    defaults: ClassVar[Mapping[str, float]] = {**Adam.defaults, "weight_decay": 1e-2}
    decoupled = True


RULES: dict[str, StepRule] = {rule.name: rule for rule in (SGD(), Nesterov(), Adam(), AdamW())}
"""Inner optimisers by name."""
