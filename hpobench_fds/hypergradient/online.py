"""Greedy modes: hyperparameters move during one training, by what the current validation loss says.

The tangent of the weights is carried with a discount mu: Z' = mu * A Z + B, with A the step's
derivative in (w, slots) and B that in the hyperparameters. mu = 0 is hypergradient descent (HD, Baydin
et al., ICLR 2018), mu = 1 real-time forward mode (RTHO, Franceschi et al., ICML 2017), between them
MARTHE (Donini et al., IJCAI 2020). ``neumann_terms`` looks through the fixed point of the update
instead (one-pass, Clarke et al., ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.data.splits import BatchOrder
from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.interface import no_products, no_windows
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.hypergradient.trajectory import Trajectory
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace
from hpobench_fds.seeds import derive
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.optimisers import Step, StepTangents
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.recorded import Played
from hpobench_fds.training.state import DIVERGED, Ended, Ending, Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer


@dataclass(frozen=True)
class OnlineResult:
    """One training whose hyperparameters moved on the way.

    values : [T, H] in force at each inner step, learned hyperparameters in order; T is the steps done.
    hypergradients : [U, H], one row for each move.
    """

    ending: Ending
    values: NDArray[np.float64]
    hypergradients: NDArray[np.float64]
    evaluation: Evaluation
    state: TrainState
    diverged_at: int | None = None
    products: int = 0
    overflow_at: int | None = None  # of the hypergradients, the first that is not finite: it moved nothing

    @classmethod
    def of(
        cls,
        trainer: Trainer,
        inner: InnerStep,
        ended: Ended,
        values: NDArray[np.float64],
        hypergradients: NDArray[np.float64],
    ) -> OnlineResult:
        """Of a training that has ended: validated, if it did not diverge."""
        state = inner.state
        evaluation = trainer.evaluate(state) if ended.ending == "ok" else DIVERGED
        if ended.ending == "ok" and evaluation == DIVERGED:  # the last steps lost it, after the last look
            ended = Ended("diverged", state.step)
        lost = np.flatnonzero(~np.isfinite(hypergradients).all(axis=1))
        assert ended.ending != "overflow"
        return cls(
            ended.ending, values, hypergradients, evaluation, state, ended.diverged_at, inner.products,
            int(lost[0]) if len(lost) else None,
        )  # fmt: skip

    def schedule(self, space: ScheduleSpace, horizon: int) -> Schedule:
        """The trajectory as a schedule of the space: its mean over each window of the whole training."""
        return space.over_windows(self.values, horizon)

    def summed(self, space: ScheduleSpace) -> NDArray[np.float64]:
        """The hypergradients of the moves, one a step, summed over each window of the space: [n]."""
        return space.summed(self.hypergradients)


def one_value_space(space: ScheduleSpace) -> ScheduleSpace:
    """The same ranges with one value for each learned hyperparameter: what moves during training.

    It starts from the first window's initial value.
    """
    return ScheduleSpace(
        {
            name: HyperparameterSpace.model_validate(s.model_dump() | {"windows": 1, "initial": s.starts[0]})
            if s.learn
            else s
            for name, s in space.spaces.items()
        }
    )


@dataclass(frozen=True)
class OnlineMode:
    """A training over the problem's horizon whose hyperparameters move after every ``every``-th inner step.

    discount : mu in [0, 1].
    validation_batch : validation examples for each move; None: the training batch size, or all there are.
    neumann_terms : terms of the inverse beyond the first (one-pass); needs discount 0.
    adaptive : mu begins at ``discount`` and is set anew at each move, by the rule of ``_Discount``.

    Raises ValueError for terms beside a discount.
    """

    discount: float = 0.0
    every: int = 1
    validation_batch: int | None = None
    neumann_terms: int = 0
    adaptive: bool = False

    def __post_init__(self) -> None:
        if self.neumann_terms and (self.discount or self.adaptive):
            raise ValueError("one-pass and a discounted tangent exclude each other")

    def uncovered(self, problem: Problem) -> str | None:
        """Why this mode cannot run on a problem, or None.

        It moves values, one-pass's series is SGD's, and with a discount or a series it needs products.
        """
        if self.neumann_terms and problem.rule.name != "sgd":
            return f"one-pass knows the update of sgd, not of {problem.rule.name}"
        greedy = not self.discount and not self.neumann_terms and not self.adaptive
        return no_windows(problem) or (None if greedy else no_products(problem))

    def __call__(self, trainer: Trainer, outer: Outer, trial: int) -> OnlineResult:
        """Train afresh as ``trial``; ``outer`` is over ``one_value_space``, its steps are those of one move.

        Raises InputError before training for a problem that is not covered.
        """
        if (reason := self.uncovered(trainer.problem)) is not None:
            raise InputError(reason)
        run = _Run(self, trainer, outer, trial)
        for index in range(trainer.problem.horizon):
            if (ended := run.step(index)) is not None:
                return run.finish(ended)
        return run.finish(Ended("ok"))


def validation_order(trainer: Trainer, inner: InnerStep, trial: int, batch: int | None) -> BatchOrder:
    """Which validation examples the moves of a trial see; ``batch`` None: as many as a training batch has."""
    held, p = len(inner.data.y_validation), trainer.problem
    size = min(batch or p.batch_size, held)
    return BatchOrder(torch.arange(held), size, derive(trainer.seed, "online", trial), p.device)


class _Run:
    """One such training."""

    def __init__(self, mode: OnlineMode, trainer: Trainer, outer: Outer, trial: int) -> None:
        p = trainer.problem
        self.mode, self.trainer, self.problem = mode, trainer, p
        self.inner = trainer.inner(trainer.start(trial), last=p.horizon, derived=True)
        self.trajectory = Trajectory(p, outer)
        learned = list(outer.space.learned)
        self.rows = [learned.index(name) if name in learned else None for name in p.rule.defaults]
        w, k = self.inner.state.w, len(learned)
        slots = [p.network.tangents(w, k) for _ in range(p.rule.slots)]
        self.tangents = StepTangents(p.network.tangents(w, k), slots, p.network.tangents(w, k))
        self.series = _Series(self.inner, mode.neumann_terms) if mode.neumann_terms else None
        self.discount = _Discount(mode.discount, w, p.rule.defaults) if mode.adaptive else None
        self._moved = self._move_along  # one object: steps are alike by it
        self._slope = Played(self._slope_on, p.device, p.graphs and self.series is None)
        self.order = validation_order(trainer, self.inner, trial, mode.validation_batch)

    def step(self, index: int) -> Ended | None:
        """One inner step; afterwards, if it is time to, one move of the hyperparameters."""
        inner, move = self.inner, (index + 1) % self.mode.every == 0
        hypers = self.trajectory.hypers(index)
        if self.series is None:
            inner.through(index, hypers, self._moved, self.problem.horizon - index)
            inner.state.took(index, hypers)
        else:
            step = inner.begin(index, hypers)
            self._push(step)
            if move:
                self.series.begin(step)
            inner.take(step)
        self.trajectory.keep()
        if move:
            self._move()
            if self.discount is not None:
                self.discount.adapt(self.trajectory.hypers(index))
        return inner.check()  # a hypergradient that is not finite moves nothing, and ends nothing

    def _move_along(self, step: Step) -> None:
        self._push(step)
        self.problem.rule.update_(step)

    def _push(self, step: Step) -> None:
        """Z' = mu * A Z + B. Without a discount no product is needed."""
        tangents, discount = self.tangents, self.mode.discount
        tangents.gradient.flat.zero_()
        for one in (tangents.w, *tangents.slots):
            one.flat.mul_(discount if self.discount is None else self.discount.value)
        if self.discount is not None:
            self.discount.see(step.gradient)
        if (discount or self.discount is not None) and step.index:
            self.inner.push_gradient(tangents.w, tangents.gradient)
        self.problem.rule.push(step, tangents, self.rows)

    def _move(self) -> None:
        indices = self.order.batch(self.trajectory.moves)
        slope = self._slope(indices)
        self.trainer.clock.count(gradients=len(indices) / self.problem.batch_size)
        self.trajectory.move(slope)

    def _slope_on(self, indices: Tensor) -> Tensor:
        """The hypergradient [n] on a validation batch."""
        p, data, state = self.problem, self.inner.data, self.inner.state
        x, y = data.x_validation.index_select(0, indices), data.y_validation.index_select(0, indices)
        direction = p.network.gradient(state.w, x, y, plain=True).gradient
        if self.discount is not None:
            self.discount.hold_against(direction)
        if self.series is not None:
            direction = self.series.apply(direction)
        return self.tangents.w.dot(direction).double()

    def finish(self, ended: Ended) -> OnlineResult:
        return OnlineResult.of(self.trainer, self.inner, ended, *self.trajectory.history())


class _Discount:
    """MARTHE's mu as its authors' code (adatune, ``MuSGD``) adapts it after every move::

        z = clip(lr / (g . b), 0, 1);  c = sign(mu) c + mu;  mu = z^(1 / (c + 1))

    with lr as moved, g the validation gradient at the new weights and b the gradient of the step that led
    there: the memory c of past mu grows while they point the same way, mu with it, and both are 0 again
    once they do not. Where lr and g . b are both 0, z is 0. All of it stays on the device.
    """

    def __init__(self, first: float, w: Tensor, names: Mapping[str, float]) -> None:
        self.value, self._memory = w.new_tensor(first), w.new_tensor(0.0)
        self._gradient, self._overlap = torch.zeros_like(w), w.new_tensor(0.0)
        self._lr = list(names).index("lr")

    def see(self, gradient: Tensor) -> None:
        """The gradient [P] of a step that is about to be taken."""
        self._gradient.copy_(gradient)

    def hold_against(self, direction: Tensor) -> None:
        """The validation gradient [P] after it."""
        self._overlap.copy_(torch.dot(direction, self._gradient))

    def adapt(self, hypers: Sequence[float] | Tensor) -> None:
        """Set mu anew, by the hyperparameters [H] that the next step will have."""
        share = (hypers[self._lr] / self._overlap).nan_to_num(0.0).clamp(0.0, 1.0)
        self._memory.copy_(self._memory * self.value.sign() + self.value)
        self.value.copy_(share ** (1.0 / (self._memory + 1.0)))


class _Series:
    """sum_j (I - lr (H + decay))^j, H and the hyperparameters those of the step that was just taken."""

    def __init__(self, inner: InnerStep, terms: int) -> None:
        self.inner, self.terms = inner, terms
        network, w = inner.problem.network, inner.state.w
        self.one, self.product = network.tangents(w, 1), network.tangents(w, 1)

    def begin(self, step: Step) -> None:
        """Keep what the step is taken from, before it is."""
        self.tape, self.w = self.inner.tape, step.w.clone()
        named = dict(zip(self.inner.problem.rule.defaults, step.hypers, strict=True))
        self.lr, self.decay = named["lr"], named.get("weight_decay", 0.0)

    def apply(self, direction: Tensor) -> Tensor:
        """The sum applied to a validation gradient [P]."""
        direction = direction.clone()
        total = direction.clone()
        for _ in range(self.terms):
            self.one.set_row(0, direction)
            self.inner.problem.network.products(self.w, self.tape, self.one, self.product)
            self.inner.products += 1
            direction = direction - self.lr * (self.product.vector(0) + self.decay * direction)
            total += direction
        return total
