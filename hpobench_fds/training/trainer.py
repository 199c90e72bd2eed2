"""The one inner loop that every method trains through.

All randomness of a training is a function of (seed, trial): its initialisation, its split into
training and validation data, its batch order and augmentation. The i-th trial of any method is the
same draw, so methods of a problem are compared on the same data.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from hpobench_fds.data.augment import Augmenter
from hpobench_fds.data.dataset import BatchOrder, Split, make_split
from hpobench_fds.schedule import Schedule, window_index, window_start
from hpobench_fds.seeds import derive, generator
from hpobench_fds.training.allocator import keep_freed_memory
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem

EVALUATION_BATCH = 1000
KEPT_TRIALS = 8

Ending = Literal["ok", "diverged", "out of budget"]


@dataclass
class TrainState:
    """A training in progress: plain tensors and numbers.

    w : parameters [P]; slots : optimiser state [S, P]; buffers : batch-norm statistics [R];
    step : inner steps done; trial : the draw (initialisation, split, order) it belongs to.
    """

    w: Tensor
    slots: Tensor
    buffers: Tensor
    step: int
    trial: int

    def clone(self) -> TrainState:
        return replace(self, w=self.w.clone(), slots=self.slots.clone(), buffers=self.buffers.clone())


@dataclass(frozen=True)
class Training:
    """How a call of ``train`` ended. ``diverged_at`` is the inner step whose loss was not finite."""

    ending: Ending
    state: TrainState
    train_loss: float  # of the last batch seen
    diverged_at: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats) and accuracy; a diverged training has loss inf, accuracy 0."""

    loss: float
    accuracy: float


DIVERGED = Evaluation(math.inf, 0.0)


class TrialData:
    """Batches and validation data of one trial."""

    def __init__(self, problem: Problem, split: Split, seed: int) -> None:
        self._x, self._y = problem.x, problem.y
        self.order = BatchOrder(split.train, problem.batch_size, derive(seed, "order"), problem.device)
        self._augment = Augmenter(
            problem.augmentation,
            derive(seed, "augment"),
            problem.batch_size,
            self.order.steps_per_epoch,
            (problem.x.shape[1], problem.x.shape[2], problem.x.shape[3]),
            problem.device,
            black=problem.black,
        )
        validation = split.validation.to(problem.device)
        self.x_validation = problem.x.index_select(0, validation) if len(validation) else problem.x[:0]
        self.y_validation = problem.y.index_select(0, validation)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch of inner step ``step``: x [B, C, H, W], y [B]. Random access, same every time."""
        indices = self.order.batch(step)
        x = self._x.index_select(0, indices)
        if self._augment.augmentation.active:
            x = self._augment(x, step)
        return x, self._y.index_select(0, indices)


class Losses:
    """Losses of inner steps, left on the device and read every ``look_every``: the only host-device syncs."""

    def __init__(self, problem: Problem) -> None:
        self._kept = torch.zeros(problem.look_every, device=problem.device, dtype=problem.dtype)
        self._count = 0

    def add(self, loss: Tensor) -> bool:
        """Keep a step's loss []; whether it is time to look."""
        self._kept[self._count] = loss
        self._count += 1
        return self._count == len(self._kept)

    def look(self) -> list[float]:
        """The losses since the last look."""
        seen: list[float] = self._kept[: self._count].tolist()
        self._count = 0
        return seen


def first_not_finite(losses: Sequence[float]) -> int | None:
    """Index of the first loss that is infinite or no number."""
    return next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)


def constant_segments(schedule: Schedule, horizon: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut [begin, end) where some hyperparameter changes window."""
    cuts: set[int] = set()
    for _, values in schedule.values:  # of 10^4 windows only those met: a replay is a step or two
        windows = len(values)
        met = range(window_index(windows, begin, horizon) + 1, window_index(windows, end - 1, horizon) + 1)
        cuts.update(window_start(windows, index, horizon) for index in met)
    edges = [begin, *sorted(cuts), end]
    yield from ((a, b) for a, b in pairwise(edges) if a < b)


class Trainer:
    """Trains schedules on a problem and evaluates them on the trial's validation data.

    Costs are counted on ``clock``; training stops early when ``budget`` is exhausted.
    """

    def __init__(self, problem: Problem, seed: int, clock: Clock, budget: Budget | None = None) -> None:
        self.problem, self.seed, self.clock = problem, seed, clock
        self.budget = budget or Budget(clock)
        self._cached: OrderedDict[int, TrialData] = OrderedDict()
        keep_freed_memory()

    def _draw(self, trial: int) -> int:
        return derive(self.seed, "trial", trial if self.problem.config.fresh else 0)

    def data(self, trial: int) -> TrialData:
        """Batches and validation data of a trial; the last few trials are kept, for those who resume."""
        if trial not in self._cached:
            draw = self._draw(trial)
            self._cached[trial] = TrialData(self.problem, self._split(draw), draw)
            if len(self._cached) > KEPT_TRIALS:
                self._cached.popitem(last=False)
        self._cached.move_to_end(trial)
        return self._cached[trial]

    def _split(self, draw: int) -> Split:
        p = self.problem
        return make_split(len(p.y), p.config.validation_fraction, derive(draw, "split"))

    def start(self, trial: int) -> TrainState:
        """A fresh training of a trial, at step 0."""
        p, net = self.problem, self.problem.network
        w = net.initial(generator(self._draw(trial), "initialisation")).to(p.device, p.dtype)
        return TrainState(
            w=w,
            slots=torch.zeros(p.rule.slots, net.size, device=p.device, dtype=p.dtype),
            buffers=net.initial_buffers().to(p.device, p.dtype),
            step=0,
            trial=trial,
        )

    def train(
        self,
        state: TrainState,
        schedule: Schedule,
        until: int | None = None,
        horizon: int | None = None,
        *,
        replay: bool = False,
    ) -> Training:
        """Train ``state`` in place up to inner step ``until`` (default: the horizon).

        ``horizon`` stretches the schedule over another number of steps than the problem's. A ``replay``
        of steps done before costs gradients but no inner steps.
        """
        p, data = self.problem, self.data(state.trial)
        horizon = horizon or p.horizon
        until = horizon if until is None else until
        if not state.step <= until <= horizon:
            raise ValueError(f"cannot train from step {state.step} to {until} of {horizon}")
        losses, last = Losses(p), math.nan
        for begin, end in constant_segments(schedule, horizon, state.step, until):
            values = tuple(schedule.at(name, begin, horizon) for name in p.rule.defaults)
            for step in range(begin, end):
                x, y = data.batch(step)
                tape = p.network.gradient(state.w, x, y, state.buffers)
                gradient = self.clip(tape.gradient)
                due = losses.add(tape.loss)
                p.rule.update_(state.w, state.slots, gradient, values, step)
                state.step = step + 1
                if due or state.step == until:
                    seen = losses.look()
                    last = seen[-1]
                    self.clock.count(steps=0 if replay else len(seen), gradients=len(seen))
                    if (bad := first_not_finite(seen)) is not None:
                        return Training("diverged", state, last, state.step - len(seen) + bad)
                    spent = self.budget.out_of_time if replay else self.budget.exhausted
                    if state.step < until and spent:
                        return Training("out of budget", state, last)
        return Training("ok", state, last)

    def clip(self, gradient: Tensor) -> Tensor:
        """The problem's elementwise gradient clipping, in place; off unless the config asks for it."""
        limit = self.problem.config.gradient_clip
        return gradient if limit is None else gradient.clamp_(-limit, limit)

    def evaluate(self, state: TrainState) -> Evaluation:
        """Loss and accuracy on the trial's validation data, batch norm by its running statistics."""
        data = self.data(state.trial)
        self.clock.count(gradients=len(data.y_validation) / self.problem.batch_size / 3)
        return evaluate_on(self.problem, state, data.x_validation, data.y_validation)


def evaluate_on(problem: Problem, state: TrainState, x: Tensor, y: Tensor) -> Evaluation:
    """Mean cross-entropy and accuracy of a state's weights over any examples x [N, ...], y [N]."""
    loss = torch.zeros((), device=x.device, dtype=torch.float64)
    right = torch.zeros((), device=x.device, dtype=torch.int64)
    with torch.no_grad():
        for xs, ys in zip(torch.split(x, EVALUATION_BATCH), torch.split(y, EVALUATION_BATCH), strict=True):
            logits = problem.network.logits(state.w, xs, state.buffers)
            loss += torch.nn.functional.cross_entropy(logits, ys, reduction="sum").double()
            right += (logits.argmax(1) == ys).sum()
    mean = float(loss) / len(y)
    if not math.isfinite(mean):
        return DIVERGED
    return Evaluation(mean, int(right) / len(y))
