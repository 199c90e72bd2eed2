"""What every loop does in an inner step, in one place: plain training, forward, reverse and online modes.

::

    inner = InnerStep(problem, data, state, clock, budget, last=horizon)
    for index, hypers in ...:
        step = inner.begin(index, hypers)      # batch, gradient, loss, clipping
        ...                                    # what a mode does with the step before it is taken
        inner.take(step)                       # update
        if (ended := inner.check()) is not None:
            return ended                       # diverged, or out of budget
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from hpobench_fds.nn.network import Tape
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import Schedule, window_index, window_start
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.optimisers import Step
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.recorded import FIRST, WORTH, record_kernels
from hpobench_fds.training.state import Ended, TrainState
from hpobench_fds.training.trial_data import TrialData

Role = Literal["train", "replay"]
Hypers = Sequence[float] | Tensor
Work = Callable[[Step], None]


@dataclass(slots=True)
class _Alike:
    """Steps with the same work and hyperparameters: how many were launched, and what plays the others."""

    hypers: Hypers
    launched: int = 0
    play: Callable[[int, Hypers], None] | None = None


@dataclass(slots=True)
class KeptStep:
    """A step as it was before it was taken, with what the derivatives of its gradient need."""

    step: Step
    tape: Tape
    mask: Tensor | None


class InnerStep:
    """The inner steps of one training, one after the other.

    Nothing of a step is read from the device but at looks, at most every ``look_every`` of the problem:
    losses are kept there until then. What steps cost is counted at looks as well.

    Parameters
    ----------
    state : the training, moved in place.
    last : the step count at which the loop ends, where it looks once more; None: wherever it is left.
    role : "train", or "replay" of steps that were taken before: their losses are known to be finite, batch
        norm's statistics have seen them, they cost gradients but no inner steps, and time alone can end them.
    derived : whether derivatives of the gradient are wanted, for which clipping leaves its mask.
    ahead : how many steps are alike, at least, where they are taken a few at a time.
    """

    def __init__(
        self,
        problem: Problem,
        data: TrialData,
        state: TrainState,
        clock: Clock,
        budget: Budget,
        *,
        last: int | None = None,
        role: Role = "train",
        derived: bool = False,
        ahead: int = 0,
    ) -> None:
        self.problem, self.data, self.state = problem, data, state
        self.last, self.last_loss, self.products = last, math.nan, 0
        self._clock, self._budget, self._replay = clock, budget, role == "replay"
        self._limit, self._derived = problem.config.gradient_clip, derived
        self._buffers = None if self._replay else state.buffers
        # One place more than losses, for a verdict that is read together with them.
        self._kept = torch.zeros(problem.look_every + 1, device=problem.device, dtype=problem.dtype)
        self._places = self._kept.unbind()
        self._unseen = self._counted = 0
        self._mask: Tensor | None = None
        self._tape: Tape | None = None
        self._update: Work = problem.rule.update_
        self._alike: dict[Work, _Alike] = {}
        self._ahead = ahead

    # ---- one step

    def begin(self, index: int, hypers: Hypers) -> Step:
        """Batch, gradient and clipping of a step; hyperparameters [H] in the rule's order."""
        step = self._differentiated(*self.data.batch(index), index, hypers)
        self._keep_loss()
        return step

    def _differentiated(self, x: Tensor, y: Tensor, index: int, hypers: Hypers) -> Step:
        state = self.state
        network, draw = self.problem.network, self.data.draw(index)
        self._tape = tape = network.gradient(state.w, x, y, self._buffers, draw=draw)
        return Step(state.w, state.slots, self._clipped(tape.gradient), hypers, index)

    def _keep_loss(self) -> None:
        if not self._replay:
            self._places[self._unseen].copy_(self.tape.loss)
        self._unseen += 1

    def _clipped(self, gradient: Tensor) -> Tensor:
        """The problem's elementwise clipping, in place; where it clamps, the derivative is zero."""
        limit = self._limit
        if limit is None:
            return gradient
        if self._derived:
            self._mask = (gradient.abs() <= limit).to(gradient.dtype)
        return gradient.clamp_(-limit, limit)

    def take(self, step: Step) -> None:
        """Move the state on by the step."""
        self.problem.rule.update_(step)
        self.state.took(step.index, step.hypers)

    def kept(self, step: Step, into: Tensor) -> KeptStep:
        """The step that was begun last, to be differentiated after others: a copy of what taking it changes.

        into : [1 + S + 1, P], for the weights, the slots and the gradient.
        """
        into[0].copy_(step.w)
        into[1:-1].copy_(step.slots)
        into[-1].copy_(step.gradient)
        before = Step(into[0], into[1:-1], into[-1], step.hypers, step.index)
        return KeptStep(before, self.tape, self._mask)

    def recall(self, kept: KeptStep) -> Step:
        """A kept step as if it had just been begun; costs no gradient."""
        self.state.w, self.state.slots, self.state.step = kept.step.w, kept.step.slots, kept.step.index
        self._tape, self._mask = kept.tape, kept.mask
        return kept.step

    def run(self, schedule: Schedule, horizon: int, until: int) -> Ended | None:
        """Take all steps up to ``until`` of a schedule that is stretched over ``horizon``."""
        for begin, end in constant_segments(schedule, horizon, self.state.step, until):
            if (ended := self.stretch(begin, end, self.values(schedule, begin, horizon))) is not None:
                return ended
        return None

    def stretch(
        self,
        begin: int,
        end: int,
        hypers: tuple[float, ...],
        derive: Work | None = None,
        watched: Tensor | None = None,
    ) -> Ended | None:
        """Take the steps from ``begin`` to before ``end``, which have the same hyperparameters.

        ``derive`` gets each before it is taken, to work on the device alone; ``watched`` is looked at too.
        """
        work = self._update if derive is None else _both(derive, self._update)
        for index in range(begin, end):
            self.through(index, hypers, work, end - index)
            self.state.took(index, hypers)
            if (ended := self.check(watched)) is not None:
                return ended
        return None

    def through(self, index: int, hypers: Hypers, work: Work, ahead: int = 0) -> None:
        """Batch, gradient and clipping of a step, and ``work`` on it: launched, or played from a recording.

        work : works on the device alone, on what stays where it is; the same object for steps that are alike.
        ahead : how many of those are left, this one included: a recording must be worth it.
        """
        if not self.problem.graphs:
            work(self.begin(index, hypers))
            return
        alike = self._alike_of(work, hypers)
        if alike.play is None and alike.launched >= FIRST and max(ahead, self._ahead) >= WORTH:
            alike.play = self._recorded(index, hypers, work)
        if alike.play is not None:
            alike.play(index, hypers)
        else:
            alike.launched += 1
            work(self.begin(index, hypers))

    def _alike_of(self, work: Work, hypers: Hypers) -> _Alike:
        """Steps like this one; of the two kinds that a replay has in turn, the last ones are kept."""
        found = self._alike.get(work)
        if found is None or not (isinstance(hypers, Tensor) or hypers == found.hypers):
            self._alike.pop(work, None)
            if len(self._alike) > 1:
                del self._alike[next(iter(self._alike))]
            found = self._alike[work] = _Alike(hypers)
        return found

    def _recorded(self, index: int, hypers: Hypers, work: Work) -> Callable[[int, Hypers], None] | None:
        """A step whose kernels are played; None if they cannot be recorded, then or later."""
        x, y = (values.clone() for values in self.data.batch(index))
        held = hypers.clone() if isinstance(hypers, Tensor) else hypers
        before = self.products
        play = record_kernels(lambda: work(self._differentiated(x, y, index, held)), self.problem.device)
        products, self.products, tape = self.products - before, before, self._tape
        if play is None:
            self.problem.graphs = False
            return None

        def played(at: int, hypers: Hypers) -> None:
            self.data.batch_into(at, x, y)
            if isinstance(held, Tensor):
                held.copy_(torch.as_tensor(hypers))
            play()
            self._tape = tape  # whose loss has been written anew
            self.products += products
            self._keep_loss()

        return played

    def values(self, schedule: Schedule, index: int, horizon: int) -> tuple[float, ...]:
        """The schedule's values in force at a step, in the rule's order."""
        return tuple(schedule.at(name, index, horizon) for name in self.problem.rule.defaults)

    # ---- derivatives of its gradient

    def push_gradient(self, tangents: Tangents, out: Tangents) -> None:
        """Tangents of the step's gradient along k tangents of w."""
        self.problem.network.products(self.state.w, self.tape, tangents, out)
        self.products += tangents.k
        if self._mask is not None:
            out.mul_vector(self._mask)

    def pull_gradient(self, adjoint: Tensor, vector: Tangents, product: Tangents) -> Tensor:
        """The part of d/dw [P] that comes through the step's gradient; two tangents of room are given."""
        vector.set_row(0, adjoint if self._mask is None else adjoint * self._mask)
        self.problem.network.products(self.state.w, self.tape, vector, product)
        self.products += 1
        return product.vector(0)

    @property
    def tape(self) -> Tape:
        """The tape of the step that was begun last."""
        assert self._tape is not None
        return self._tape

    # ---- looks

    def check(self, watched: Tensor | None = None) -> Ended | None:
        """Look if it is time to; why the loop has to stop, if it has to."""
        return self.look(watched) if self.due else None

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self._unseen >= self.problem.look_every or self.state.step == self.last

    def look(self, watched: Tensor | None = None) -> Ended | None:
        """Read losses and whether all of ``watched`` is finite; count; see what is left of the budget."""
        seen, finite = self._read(watched)
        steps = self._unseen
        self.count()
        if seen:
            self.last_loss = seen[-1]
            bad = next((i for i, loss in enumerate(seen) if not math.isfinite(loss)), None)
            if bad is not None:
                return Ended("diverged", self.state.step - steps + bad)
        if not finite:
            return Ended("overflow", self.state.step)
        return Ended("out of budget") if self.state.step != self.last and self._spent else None

    def _read(self, watched: Tensor | None) -> tuple[list[float], bool]:
        """Losses since the last look, and the verdict on what is watched: one read, or none."""
        losses = 0 if self._replay else self._unseen
        if watched is not None:
            ends = torch.stack(torch.aminmax(watched))  # lets NaN through; far faster than asking each
            self._kept[losses] = torch.isfinite(ends).all()
            *seen, finite = self._kept[: losses + 1].tolist()
            return seen, bool(finite)
        return self._kept[:losses].tolist() if losses else [], True

    @property
    def _spent(self) -> bool:
        return self._budget.out_of_time if self._replay else self._budget.exhausted

    def count(self) -> None:
        """Book steps, gradients and products since the last time."""
        products, self._counted = self.products - self._counted, self.products
        steps, self._unseen = self._unseen, 0
        self._clock.count(
            steps=0 if self._replay else steps,
            gradients=steps + products * self.problem.network.product_cost,
            products=products,
        )


def _both(first: Work, then: Work) -> Work:
    def work(step: Step) -> None:
        first(step)
        then(step)

    return work


def constant_segments(schedule: Schedule, horizon: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut [begin, end) where some hyperparameter changes window."""
    cuts: set[int] = set()
    for windows in schedule.pieces(horizon):  # of 10^4 windows only those met: a replay is a step or two
        met = range(window_index(windows, begin, horizon) + 1, window_index(windows, end - 1, horizon) + 1)
        cuts.update(window_start(windows, index, horizon) for index in met)
    edges = [begin, *sorted(cuts), end]
    yield from ((a, b) for a, b in pairwise(edges) if a < b)
