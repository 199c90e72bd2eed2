"""What a network is trained for, and what is told of it: losses with their derivatives, and their metrics.

A loss is a mean over the examples of a batch. Its gradient in the outputs and that gradient's tangents are
written out, so that layers with rules need no autograd.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hpobench_fds.metrics import ACCURACY, BITS, R_SQUARED, Metric


@dataclass(frozen=True)
class Pulled:
    """A loss (0-d), its gradient in the outputs, and what its tangents need."""

    loss: Tensor
    gradient: Tensor
    record: Any


class Loss(ABC):
    """A loss of outputs z [B, ...] and targets y [B, ...]."""

    metric: ClassVar[Metric]

    @abstractmethod
    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean over the batch, 0-d, by plain differentiable operations."""

    @abstractmethod
    def pull(self, z: Tensor, y: Tensor) -> Pulled:
        """The same with its gradient in z."""

    @abstractmethod
    def push(self, record: Any, dz: Tensor) -> Tensor:
        """Tangents [B, k, ...] of the gradient in z along dz [B, k, ...], which may be overwritten."""

    @property
    def plain(self) -> Loss:
        """The loss that weights are validated and tested by: without what only helps to train."""
        return self

    @abstractmethod
    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        """What a batch adds to an evaluation [n], float64, on the device."""

    @abstractmethod
    def told(self, sums: Tensor, examples: int) -> tuple[float, float]:
        """Mean loss and metric of so many examples by their sums. Reads from the device."""

    @abstractmethod
    def example(self, count: int, shape: tuple[int, ...], outputs: int) -> tuple[tuple[int, ...], Tensor]:
        """The shape of z for so many examples [*shape], and targets that fit, to try a network on."""

    @abstractmethod
    def asks_for(self, outputs: int) -> str:
        """What so many outputs are, in words."""

    @abstractmethod
    def guessing(self, outputs: int) -> tuple[float, float]:
        """Loss and metric of whoever knows no input: what a diverged training is worth."""


# What cross-entropy and its gradient are made of, without autograd between them.
_nll, _nll_backward = torch.ops.aten.nll_loss_forward.default, torch.ops.aten.nll_loss_backward.default
_log_softmax_backward = torch.ops.aten._log_softmax_backward_data.default
_MEAN, _KEEP_ALL = 1, -100  # reduction; the label to leave out


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Mean cross-entropy (nats) of logits z [B, classes] and classes y [B].

    smoothing : share of the target that is spread over all classes in training (Szegedy et al., CVPR 2016,
        section 7). Weights are validated without.
    """

    metric: ClassVar[Metric] = ACCURACY
    smoothing: float = 0.0

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y, label_smoothing=self.smoothing)

    def pull(self, z: Tensor, y: Tensor) -> Pulled:
        log_p = torch.log_softmax(z, 1)
        loss, count = _nll(log_p, y, None, _MEAN, _KEEP_ALL)
        pulled = _nll_backward(loss.new_ones(()), log_p, y, None, _MEAN, _KEEP_ALL, count)
        gradient = _log_softmax_backward(pulled, log_p, 1, z.dtype)
        if self.smoothing:
            even = z.new_full((), 1.0 / (z.shape[1] * len(z)))
            gradient = gradient.mul_(1.0 - self.smoothing)
            gradient.add_(log_p.exp().div_(len(z)).sub_(even), alpha=self.smoothing)
            loss = (1.0 - self.smoothing) * loss - self.smoothing * log_p.mean()
        return Pulled(loss, gradient, log_p)

    def push(self, record: Any, dz: Tensor) -> Tensor:
        softmax = record.exp().unsqueeze(1)  # [B, 1, classes]
        dg = dz.mul_(softmax)
        return torch.addcmul(dg, softmax, dg.sum(2, keepdim=True), value=-1.0).div_(len(dz))

    @property
    def plain(self) -> Loss:
        return CrossEntropy() if self.smoothing else self

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(z, y, reduction="sum").double()
        return torch.stack([loss, (z.argmax(1) == y).sum().double()])

    def told(self, sums: Tensor, examples: int) -> tuple[float, float]:
        loss, right = sums.tolist()
        return loss / examples, int(right) / examples

    def example(self, count: int, shape: tuple[int, ...], outputs: int) -> tuple[tuple[int, ...], Tensor]:
        return (count, outputs), torch.arange(count) % outputs

    def asks_for(self, outputs: int) -> str:
        return f"{outputs} classes"

    def guessing(self, outputs: int) -> tuple[float, float]:
        return math.log(max(2, outputs)), 1.0 / outputs


@dataclass(frozen=True)
class SquaredError(Loss):
    """Mean squared error of outputs z [B, outputs] and targets y [B, outputs], over both.

    Targets have mean 0 and variance 1 over the training data, so that guessing their mean has a loss of 1.
    """

    metric: ClassVar[Metric] = R_SQUARED

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        return (z - y).square().mean()  # torch's own has no derivative of its derivative

    def pull(self, z: Tensor, y: Tensor) -> Pulled:
        apart, size = z - y, y.numel()
        flat = apart.reshape(-1)
        # A product with itself: a mean costs as much as a small step's matrix products together.
        return Pulled(torch.dot(flat, flat).div_(size), apart.mul_(2.0 / size), 2.0 / size)

    def push(self, record: Any, dz: Tensor) -> Tensor:
        return dz.mul_(record)

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        z, y = z.double(), y.double()
        # By target: squared error, sum, sum of squares.
        return torch.stack([(z - y).square().sum(0), y.sum(0), y.square().sum(0)]).flatten()

    def told(self, sums: Tensor, examples: int) -> tuple[float, float]:
        """R² is the mean over targets of 1 - error / variance, both over these examples."""
        error, total, squares = sums.reshape(3, -1)
        spread = squares - total.square() / examples
        share = torch.where(spread > 0, 1.0 - error / spread, torch.zeros_like(spread))
        loss, metric = torch.stack([error.mean() / examples, share.mean()]).tolist()
        return loss, metric

    def example(self, count: int, shape: tuple[int, ...], outputs: int) -> tuple[tuple[int, ...], Tensor]:
        return (count, outputs), torch.zeros(count, outputs)

    def asks_for(self, outputs: int) -> str:
        return f"{outputs} targets"

    def guessing(self, outputs: int) -> tuple[float, float]:
        return 1.0, 0.0


@dataclass(frozen=True)
class NextToken(Loss):
    """Mean cross-entropy (nats) of logits z [B, context, codes] and the tokens to follow, y [B, context]."""

    metric: ClassVar[Metric] = BITS

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z.flatten(0, 1), y.flatten())

    def pull(self, z: Tensor, y: Tensor) -> Pulled:
        flat = CrossEntropy().pull(z.flatten(0, 1), y.flatten())
        return Pulled(flat.loss, flat.gradient.view(z.shape), flat.record)

    def push(self, record: Any, dz: Tensor) -> Tensor:
        batch, k, context, codes = dz.shape
        rows = dz.transpose(1, 2).reshape(batch * context, k, codes)
        return CrossEntropy().push(record, rows).view(batch, context, k, codes).transpose(1, 2)

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        each = F.cross_entropy(z.flatten(0, 1), y.flatten(), reduction="sum").double()
        return each[None] / y.shape[1]

    def told(self, sums: Tensor, examples: int) -> tuple[float, float]:
        loss = float(sums) / examples
        return loss, loss / math.log(2.0)

    def example(self, count: int, shape: tuple[int, ...], outputs: int) -> tuple[tuple[int, ...], Tensor]:
        return (count, *shape, outputs), torch.zeros(count, *shape, dtype=torch.int64)

    def asks_for(self, outputs: int) -> str:
        return f"{outputs} tokens at each place"

    def guessing(self, outputs: int) -> tuple[float, float]:
        return math.log(max(2, outputs)), math.log2(max(2, outputs))


LOSSES = ("cross_entropy", "squared_error", "next_token")


def loss_of(name: str, smoothing: float = 0.0) -> Loss:
    """The loss of that name, of ``LOSSES``."""
    kinds: dict[str, Loss] = {
        "cross_entropy": CrossEntropy(smoothing), "squared_error": SquaredError(), "next_token": NextToken(),
    }  # fmt: skip
    return kinds[name]
