"""Greedy modes: hyperparameters move during one training, by what the current validation loss says.

The tangent of the weights is carried with a discount mu: Z' = mu * A Z + B, with A the step's
derivative in (w, slots) and B that in the hyperparameters. mu = 0 is hypergradient descent (HD, Baydin
et al., ICLR 2018), mu = 1 real-time forward mode (RTHO, Franceschi et al., ICML 2017), between them
MARTHE (Donini et al., IJCAI 2020). ``neumann_terms`` looks through the fixed point of the update
instead (one-pass, Clarke et al., ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.data.dataset import BatchOrder
from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.nn.network import Tape
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace
from hpobench_fds.seeds import derive
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import (
    DIVERGED,
    Ending,
    Evaluation,
    Losses,
    Trainer,
    TrainState,
    first_not_finite,
)


def no_fixed_point(problem: Problem) -> str | None:
    """Why one-pass cannot look through a problem's update, or None: its series is that of SGD's update."""
    return (
        None
        if problem.rule.name == "sgd"
        else f"one-pass knows the update of sgd, not of {problem.rule.name}"
    )


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

    def schedule(self, space: ScheduleSpace) -> Schedule:
        """The trajectory as a schedule of the space: its mean over each window."""
        steps = np.arange(len(self.values))
        means: list[float] = []
        for column, windows in enumerate(s.windows for s in space.learned.values()):
            index = windows * steps // max(1, len(steps))
            sums = np.bincount(index, self.values[:, column], windows)
            counts = np.bincount(index, minlength=windows)
            # A window that no step fell into keeps the value before it.
            window_means = [float(self.values[0, column])] * windows
            for i in range(windows):
                window_means[i] = sums[i] / counts[i] if counts[i] else window_means[max(0, i - 1)]
            means.extend(window_means)
        return space.from_vector(space.clip(np.array(means)))

    def summed(self, space: ScheduleSpace) -> NDArray[np.float64]:
        """The hypergradients of the moves, one a step, summed over each window of the space: [n]."""
        steps = np.arange(len(self.hypergradients))
        sums = [
            np.bincount(s.windows * steps // max(1, len(steps)), self.hypergradients[:, h], s.windows)
            for h, s in enumerate(space.learned.values())
        ]
        return np.concatenate(sums)


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


def online(
    trainer: Trainer,
    outer: Outer,
    trial: int,
    *,
    discount: float = 0.0,
    every: int = 1,
    validation_batch: int | None = None,
    neumann_terms: int = 0,
) -> OnlineResult:
    """Train over the problem's horizon, moving hyperparameters after every ``every``-th inner step.

    Parameters
    ----------
    outer : an outer optimiser over ``one_value_space``; its step sizes are those of one move.
    discount : mu in [0, 1].
    validation_batch : validation examples for each move; None: the training batch size, or all there are.
    neumann_terms : terms of the inverse beyond the first (one-pass); needs discount 0.
    """
    if neumann_terms and discount:
        raise ValueError("one-pass and a discounted tangent exclude each other")
    if neumann_terms and (reason := no_fixed_point(trainer.problem)):
        raise InputError(reason, key="optimiser", allowed="sgd")
    run = _Online(trainer, outer, trial, discount, validation_batch, neumann_terms)
    horizon = trainer.problem.horizon
    for step in range(horizon):
        if run.step(step, move=(step + 1) % every == 0) or step + 1 == horizon:
            bad = run.check()
            if bad is not None:
                return run.finish("diverged", bad)
            if step + 1 < horizon and trainer.budget.exhausted:
                return run.finish("out of budget", None)
    return run.finish("ok", None)


class _Online:
    def __init__(
        self,
        trainer: Trainer,
        outer: Outer,
        trial: int,
        discount: float,
        validation_batch: int | None,
        neumann_terms: int,
    ) -> None:
        p = trainer.problem
        self.trainer, self.outer = trainer, outer
        self.discount, self.terms = discount, neumann_terms
        self.state, self.data = trainer.start(trial), trainer.data(trial)
        self.space = outer.space
        self.vector = self.space.to_vector(self.space.initial)
        self.rows = [self._row(name) for name in p.rule.defaults]
        w, k = self.state.w, len(self.space.learned)
        self.dw, self.dg = p.network.tangents(w, k), p.network.tangents(w, k)
        self.dslots = [p.network.tangents(w, k) for _ in range(p.rule.slots)]
        if neumann_terms:
            self.one, self.product = p.network.tangents(w, 1), p.network.tangents(w, 1)
        size = min(validation_batch or p.batch_size, len(self.data.y_validation))
        everything = torch.arange(len(self.data.y_validation))
        self.order = BatchOrder(everything, size, derive(trainer.seed, "online", trial), p.device)
        self.values: list[NDArray[np.float64]] = []
        self.hypergradients: list[NDArray[np.float64]] = []
        self.losses = Losses(p)
        self.products = self._counted = self._checked = 0

    def _row(self, name: str) -> int | None:
        learned = list(self.space.learned)
        return learned.index(name) if name in learned else None

    def step(self, step: int, *, move: bool) -> bool:
        """One inner step; afterwards, if asked, one move of the hyperparameters. Is it time to check?"""
        p, state = self.trainer.problem, self.state
        schedule = self.space.from_vector(self.vector)
        values = tuple(schedule.at(name, step, p.horizon) for name in p.rule.defaults)
        x, y = self.data.batch(step)
        tape = p.network.gradient(state.w, x, y, state.buffers)
        due = self.losses.add(tape.loss)
        self._push(tape, values, step)
        look = self._looker(tape, values) if move and self.terms else None
        p.rule.update_(state.w, state.slots, self.trainer.clip(tape.gradient), values, step)
        state.step = step + 1
        self.values.append(self.vector)
        if move:
            self._move(look)
        return due

    def _push(self, tape: Tape, values: Sequence[float], step: int) -> None:
        """Z' = mu * A Z + B. Without a discount no product is needed."""
        p, state = self.trainer.problem, self.state
        self.dg.flat.zero_()
        for tangents in (self.dw, *self.dslots):
            tangents.flat.mul_(self.discount)
        if self.discount and step:
            p.network.products(state.w, tape, self.dw, self.dg)
            self.products += self.dw.k
            limit = p.config.gradient_clip
            if limit is not None:
                self.dg.mul_vector((tape.gradient.abs() <= limit).to(p.dtype))
        gradient = self.trainer.clip(tape.gradient)
        p.rule.push(state.w, state.slots, gradient, values, step, self.dw, self.dslots, self.dg, self.rows)

    def _looker(self, tape: Tape, values: Sequence[float]) -> tuple[Tape, Tensor, float, float]:
        named = dict(zip(self.trainer.problem.rule.defaults, values, strict=True))
        return tape, self.state.w.clone(), named["lr"], named.get("weight_decay", 0.0)

    def _move(self, look: tuple[Tape, Tensor, float, float] | None) -> None:
        p = self.trainer.problem
        indices = self.order.batch(len(self.hypergradients))
        x = self.data.x_validation.index_select(0, indices)
        y = self.data.y_validation.index_select(0, indices)
        if look is None:
            direction = p.network.gradient(self.state.w, x, y).gradient
        else:
            direction = self._neumann(x, y, look)
        self.trainer.clock.count(gradients=len(y) / p.batch_size)
        hyper = self.dw.dot(direction).double().cpu().numpy()
        self.hypergradients.append(hyper)
        if np.all(np.isfinite(hyper)):  # otherwise the training is diverging, which check() will see
            self.vector = self.outer.step(self.vector, hyper)

    def _neumann(self, x: Tensor, y: Tensor, look: tuple[Tape, Tensor, float, float]) -> Tensor:
        """sum_j (I - lr (H + decay))^j applied to the validation gradient, H of the step's batch."""
        p = self.trainer.problem
        tape, w, lr, decay = look
        direction = p.network.gradient(self.state.w, x, y).gradient.clone()
        total = direction.clone()
        for _ in range(self.terms):
            self.one.set_row(0, direction)
            p.network.products(w, tape, self.one, self.product)
            self.products += 1
            direction = direction - lr * (self.product.vector(0) + decay * direction)
            total += direction
        return total

    def check(self) -> int | None:
        """Book the cost so far; the first step whose loss was not finite, if any."""
        p = self.trainer.problem
        products, self._counted = self.products - self._counted, self.products
        seen = self.losses.look()
        steps = len(seen)
        self.trainer.clock.count(
            steps=steps, gradients=steps + products * p.network.product_cost, products=products
        )
        if (bad := first_not_finite(seen)) is not None:
            return self.state.step - steps + bad
        fresh, self._checked = self.hypergradients[self._checked :], len(self.hypergradients)
        return None if np.all(np.isfinite(fresh)) else self.state.step

    def finish(self, ending: Ending, diverged_at: int | None) -> OnlineResult:
        evaluation = self.trainer.evaluate(self.state) if ending == "ok" else DIVERGED
        return OnlineResult(
            ending,
            np.array(self.values),
            np.array(self.hypergradients).reshape(-1, len(self.space.learned)),
            evaluation,
            self.state,
            diverged_at,
            self.products,
        )
