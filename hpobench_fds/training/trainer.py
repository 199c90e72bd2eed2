"""The one inner loop that every method trains through.

All randomness of a training is a function of (seed, trial): its initialisation, its split into
training and validation data, its batch order, augmentation and dropout. The i-th trial of any method is the
same draw, so methods of a problem are compared on the same data.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from hpobench_fds.data.splits import Split, make_split
from hpobench_fds.seeds import derive, generator
from hpobench_fds.training.allocator import keep_freed_memory
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.inner_step import InnerStep, Role
from hpobench_fds.training.own_rules import OwnRule
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import DIVERGED, Ended, Ending, Evaluation, Recipe, TrainState
from hpobench_fds.training.trial_data import TrialData

EVALUATION_BATCH = 1000
KEPT_DRAWS = 8
SEEN_ANEW = 50  # batches, at most an epoch: what schedulefree's README gives batch norm at new weights


@dataclass(frozen=True)
class Training:
    """How a call of ``train`` ended. ``diverged_at`` is the inner step whose loss was not finite."""

    ending: Ending
    state: TrainState
    train_loss: float  # of the last batch seen
    diverged_at: int | None = None


class Trainer:
    """Trains schedules on a problem and evaluates them on the trial's validation data.

    Costs are counted on ``clock``; training stops early when ``budget`` is exhausted. ``aside`` is entered
    while a trial's data is made; if it is not given, ``clock`` books that to its account "data".
    """

    def __init__(
        self,
        problem: Problem,
        seed: int,
        clock: Clock,
        budget: Budget | None = None,
        aside: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.problem, self.seed, self.clock = problem, seed, clock
        self.budget = budget or Budget(clock)
        self._aside = aside or (lambda: clock.aside("data"))
        self._moved = False
        self._cached: OrderedDict[int, TrialData] = OrderedDict()
        keep_freed_memory()

    def _draw(self, trial: int) -> int:
        return derive(self.seed, "trial", trial if self.problem.config.fresh else 0)

    def data(self, trial: int) -> TrialData:
        """Batches and validation data of a trial; those of the last few draws are kept, for those who resume.

        Making them is on nobody's time: a method that begins many trainings would pay for it again and again.
        """
        draw = self._draw(trial)
        if draw not in self._cached:
            with self._aside():
                self._cached[draw] = TrialData(self.problem, self._split(draw), draw, self._aside)
            if len(self._cached) > KEPT_DRAWS:
                self._cached.popitem(last=False)
        self._cached.move_to_end(draw)
        return self._cached[draw]

    def _split(self, draw: int) -> Split:
        p = self.problem
        if p.stream is not None:
            return Split(train=torch.arange(0), validation=torch.arange(len(p.y)))
        return make_split(len(p.y), p.config.validation_fraction, derive(draw, "split"))

    def start(self, trial: int) -> TrainState:
        """A fresh training of a trial, at step 0."""
        p, net = self.problem, self.problem.network
        w = net.initial(generator(self._draw(trial), "initialisation")).to(p.device, p.dtype)
        if self._moved:
            self._round_otherwise(w, trial)
        return TrainState(
            w=w,
            slots=torch.zeros(p.rule.slots, net.size, device=p.device, dtype=p.dtype),
            buffers=net.initial_buffers().to(p.device, p.dtype),
            step=0,
            trial=trial,
            trained=[],
        )

    def _round_otherwise(self, w: Tensor, trial: int) -> None:
        """Move each weight to one of its two neighbours in the precision."""
        ups = torch.randint(2, w.shape, generator=generator(self._draw(trial), "rounding")).to(w)
        w.mul_(1.0 + (2 * ups - 1) * torch.finfo(w.dtype).eps)

    @contextmanager
    def a_rounding_away(self) -> Iterator[None]:
        """Within it trainings start a rounding beside their start: what of them then changes is noise."""
        self._moved = True
        try:
            yield
        finally:
            self._moved = False

    def inner(
        self,
        state: TrainState,
        *,
        last: int | None = None,
        role: Role = "train",
        derived: bool = False,
        ahead: int = 0,
    ) -> InnerStep:
        """The inner steps of a training, on this trainer's data, clock and budget; see ``InnerStep``."""
        data = self.data(state.trial)
        return InnerStep(
            self.problem,
            data,
            state,
            self.clock,
            self.budget,
            last=last,
            role=role,
            derived=derived,
            ahead=ahead,
        )

    def train(
        self, state: TrainState, schedule: Recipe, until: int | None = None, horizon: int | None = None
    ) -> Training:
        """Train ``state`` in place up to inner step ``until`` (default: the horizon).

        ``horizon`` stretches the schedule over another number of steps than the problem's. A rule of its own
        in the schedule's place knows no horizon. It trains from step 0 alone.
        """
        horizon = horizon or self.problem.horizon
        until = horizon if until is None else until
        if not state.step <= until <= horizon:
            raise ValueError(f"cannot train from step {state.step} to {until} of {horizon}")
        inner = self.inner(state, last=until)
        if isinstance(schedule, OwnRule):
            ended = self._follow(schedule, inner, until) or Ended("ok")
        else:
            ended = inner.run(schedule, horizon, until) or Ended("ok")
        assert ended.ending != "overflow"  # nothing is carried along
        return Training(ended.ending, state, inner.last_loss, ended.diverged_at)

    def _follow(self, rule: OwnRule, inner: InnerStep, until: int) -> Ended | None:
        """Take the steps of a rule of its own, and go to where it is evaluated."""
        state, ended = inner.state, None
        if state.step:
            raise ValueError(f"{rule.rule} trains from step 0, not from {state.step}")
        state.trained, state.by = None, rule
        course = rule.begin(state.w)
        for index in range(until):
            course.take(state.w, inner.begin(index, ()).gradient)
            state.took(index, ())
            if (ended := inner.check()) is not None:
                break
        course.settle(state.w)
        if rule.elsewhere and self.problem.network.buffer_size:
            self._see_anew(state)
        return ended

    def _see_anew(self, state: TrainState) -> None:
        """Let batch norm's running statistics see the batches that would come next, at the present weights.

        Costs a forward pass a batch, a third of a gradient.
        """
        data, count = self.data(state.trial), min(SEEN_ANEW, self.problem.steps_per_epoch)
        for index in range(state.step, state.step + count):
            x, _ = data.batch(index)
            self.problem.network.see(state.w, x, state.buffers, data.draw(index))
        self.clock.count(gradients=count / 3)

    def evaluate(self, state: TrainState) -> Evaluation:
        """Loss and metric on the trial's validation data, batch norm by its running statistics."""
        data = self.data(state.trial)
        self.clock.count(gradients=len(data.y_validation) / self.problem.batch_size / 3)
        return evaluate_on(self.problem, state, data.x_validation, data.y_validation)


def evaluate_on(problem: Problem, state: TrainState, x: Tensor, y: Tensor) -> Evaluation:
    """Mean loss and metric of a state's weights over any examples x [N, ...], y [N, ...]."""
    loss, sums = problem.objective.plain, []
    with torch.no_grad():
        for xs, ys in zip(torch.split(x, EVALUATION_BATCH), torch.split(y, EVALUATION_BATCH), strict=True):
            sums.append(loss.sums(problem.network.logits(state.w, xs, state.buffers), ys))
        mean, metric = loss.told(torch.stack(sums).sum(0), len(y))
    if not (math.isfinite(mean) and math.isfinite(metric)):
        return DIVERGED
    return Evaluation(mean, metric)
