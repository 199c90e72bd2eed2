"""Which examples are for what: subsets, splits, the order of batches. Functions of seeds alone.

Every random draw is made on the CPU from a named stream, so that devices and methods agree.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.seeds import generator

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into the training set: train [n_train] and validation [n_val], int64, ascending, on the CPU."""

    train: Tensor
    validation: Tensor


def make_split(n: int, validation_fraction: float, seed: int, *, where: object = None) -> Split:
    """Draw round(n * validation_fraction) of n examples for validation; a function of its arguments alone.

    Raises
    ------
    InputError : the fraction leaves either part empty.
    """
    # A negative, infinite or NaN fraction fails this comparison too.
    size = math.floor(n * validation_fraction + 0.5) if 0 < validation_fraction < 1 else 0
    if not 1 <= size < n:
        raise InputError(
            f"{validation_fraction} of {n} examples leaves training or validation empty",
            where=where,
            key="validation_fraction",
            allowed="between 0 and 1, with at least one example each",
        )
    order = torch.randperm(n, generator=generator(seed, "split"))
    return Split(train=order[size:].sort().values, validation=order[:size].sort().values)


def strata(y: Tensor) -> Tensor:
    """What examples [N] are drawn in proportion to: their class; of other targets nothing."""
    return y if y.dim() == 1 and not y.is_floating_point() else torch.zeros(len(y), dtype=torch.int64)


def stratified_subset(labels: Tensor, limit: int, stream: str) -> Tensor:
    """Ascending indices [min(limit, N)] of a fixed subset with the classes of ``labels`` [N] in proportion.

    The r-th member of a class of n, in a fixed random order, stands at (r + 1/2) / n; the first ``limit``
    by that place are taken. So a smaller subset lies within a larger one.
    """
    shuffle = torch.randperm(len(labels), generator=generator(0, "subset", stream))
    by_class = shuffle[torch.argsort(labels.cpu()[shuffle], stable=True)]
    member_of = labels.cpu()[by_class]
    counts = torch.bincount(member_of)
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[member_of]
    place = (rank.double() + 0.5) / counts[member_of]
    return by_class[torch.argsort(place, stable=True)[:limit]].sort().values


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values [..] of the CPU on the device; to a GPU from pinned memory, so that no loop waits for them."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


class EpochCache(Generic[T]):
    """A value for each step, drawn an epoch at a time by a pure function of the epoch.

    Access is random, since reverse mode replays steps backwards; the ``keep`` epochs last used are kept.

    around : entered while an epoch is drawn, e.g. to stop a clock.
    """

    def __init__(
        self,
        draw: Callable[[int], Sequence[T]],
        steps_per_epoch: int,
        keep: int = 8,
        around: Around = nullcontext,
    ) -> None:
        self._draw, self._around = draw, around
        self._steps = steps_per_epoch
        self._keep = keep
        self._epochs: OrderedDict[int, Sequence[T]] = OrderedDict()
        self._epoch: int | None = None
        self._values: Sequence[T] = ()

    def at(self, step: int) -> T:
        """The value of that step; raises IndexError if it is negative."""
        epoch, slot = divmod(step, self._steps)
        if epoch != self._epoch:
            self._values = self._recall(epoch)
            self._epoch = epoch
        return self._values[slot]

    def _recall(self, epoch: int) -> Sequence[T]:
        if epoch < 0:
            raise IndexError("steps count from 0")
        if epoch not in self._epochs:
            with self._around():
                self._epochs[epoch] = self._draw(epoch)
            if len(self._epochs) > self._keep:
                self._epochs.popitem(last=False)
        self._epochs.move_to_end(epoch)
        return self._epochs[epoch]


class BatchOrder:
    """Which examples make up the batch of an inner step.

    Each epoch goes through ``indices`` in a fresh permutation, a function of (seed, epoch) alone; the last,
    partial batch is dropped.

    Parameters
    ----------
    indices : [n] int64, the examples to draw from.
    device : where batches are wanted. The order is the same on every device.
    around : entered while an epoch is drawn.

    Raises
    ------
    InputError : the batch size is below 1 or above n.
    """

    def __init__(
        self,
        indices: Tensor,
        batch_size: int,
        seed: int,
        device: str | torch.device,
        around: Around = nullcontext,
    ) -> None:
        if not 1 <= batch_size <= len(indices):
            raise InputError(
                f"{batch_size}", key="batch_size", allowed=f"1 to {len(indices)}, the examples there are"
            )
        self.batch_size = batch_size
        self.steps_per_epoch = len(indices) // batch_size
        self._indices = indices.to("cpu", torch.int64)
        self._seed = seed
        self._device = torch.device(device)
        self._batches: EpochCache[Tensor] = EpochCache(self._draw, self.steps_per_epoch, around=around)

    def batch(self, step: int) -> Tensor:
        """[batch_size] int64 on the device, for step 0, 1, ... in any order; not to be written to."""
        return self._batches.at(step)

    def _draw(self, epoch: int) -> tuple[Tensor, ...]:
        order = torch.randperm(len(self._indices), generator=generator(self._seed, "order", epoch))
        used = self._indices[order[: self.steps_per_epoch * self.batch_size]]
        return sent(used, self._device).view(self.steps_per_epoch, self.batch_size).unbind()
