"""Batches and validation data of one trial: one draw of split, order, augmentation and dropout."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from hpobench_fds.data.augment import Augmenter
from hpobench_fds.data.splits import Around, BatchOrder, EpochCache, Split, sent
from hpobench_fds.data.stream import Examples, GaussianStream
from hpobench_fds.seeds import derive, generator
from hpobench_fds.training.problem import STREAM_EPOCH, Problem


class TrialData:
    """Batches and validation data of one trial; batches of a stream are drawn, not chosen.

    aside : entered while data is made: now, and whenever an epoch's order or augmentation is drawn.
    """

    def __init__(self, problem: Problem, split: Split, seed: int, aside: Around = nullcontext) -> None:
        self._x, self._y = problem.x, problem.y
        self._draws = derive(seed, "draws") if problem.network.random else None
        self._fresh: EpochCache[Examples] | None = None
        if problem.stream is not None:
            self._fresh = _fresh(problem, problem.stream, seed, aside)
        else:
            order = derive(seed, "order")
            self.order = BatchOrder(split.train, problem.batch_size, order, problem.device, aside)
        self._augment: Augmenter | None = None
        if problem.augmentation.active:
            self._augment = Augmenter(
                problem.augmentation,
                derive(seed, "augment"),
                problem.batch_size,
                self.order.steps_per_epoch,
                (problem.x.shape[1], problem.x.shape[2], problem.x.shape[3]),
                problem.device,
                black=problem.black,
                around=aside,
            )
        validation = split.validation.to(problem.device)
        self.x_validation = problem.x.index_select(0, validation) if len(validation) else problem.x[:0]
        self.y_validation = problem.y.index_select(0, validation)

    def draw(self, step: int) -> int | None:
        """What is random in inner step ``step`` of the model; None of a model without randomness."""
        return None if self._draws is None else derive(self._draws, step)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch of inner step ``step``: x [B, ...], y [B]. Random access, same every time."""
        if self._fresh is not None:
            return self._fresh.at(step)
        indices = self.order.batch(step)
        x = self._x.index_select(0, indices)
        if self._augment is not None:
            x = self._augment(x, step)
        return x, self._y.index_select(0, indices)

    def batch_into(self, step: int, x: Tensor, y: Tensor) -> None:
        """The same, written to tensors that stay where they are."""
        if self._fresh is not None:
            for kept, new in zip((x, y), self._fresh.at(step), strict=True):
                kept.copy_(new)
            return
        indices = self.order.batch(step)
        if self._augment is None:
            torch.index_select(self._x, 0, indices, out=x)
        else:
            x.copy_(self._augment(self._x.index_select(0, indices), step))
        torch.index_select(self._y, 0, indices, out=y)


def _fresh(problem: Problem, stream: GaussianStream, seed: int, aside: Around) -> EpochCache[Examples]:
    """A batch of fresh examples for each step, a function of (seed, step) alone."""
    size, device = problem.batch_size, problem.device

    def draw(epoch: int) -> list[Examples]:
        drawn = stream.sample(STREAM_EPOCH * size, generator(seed, "stream", epoch), problem.dtype)
        moved = (sent(one, device).view(STREAM_EPOCH, size, -1).unbind() for one in drawn)
        return list(zip(*moved, strict=True))

    return EpochCache(draw, STREAM_EPOCH, around=aside)
