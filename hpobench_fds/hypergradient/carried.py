"""Tangents on their way through a training, whatever they are of: a window each, or a direction each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.hypergradient.conditioning import from_growth
from hpobench_fds.hypergradient.interface import Hypergradient, vector_bytes
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.schedule import Schedule, ScheduleSpace, window_index
from hpobench_fds.training.inner_step import InnerStep, constant_segments
from hpobench_fds.training.optimisers import Step, StepTangents
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Ended
from hpobench_fds.training.trainer import Trainer


@dataclass
class Rows:
    """Which row is which window's: rows in the order in which windows begin."""

    row: dict[tuple[str, int], int]
    begins: list[int]  # first step of each row's window
    ends: list[int]  # the step after its last one
    flat: list[int]  # index in the space's flat view of each row

    @classmethod
    def of(cls, space: ScheduleSpace, horizon: int) -> Rows:
        windows = [(name, i) for name, one in space.learned.items() for i in range(one.windows)]
        begin, end = space.starts(horizon), space.ends(horizon)
        order = sorted(range(len(windows)), key=lambda at: begin[at])
        row = {windows[at]: j for j, at in enumerate(order)}
        return cls(row, [begin[at] for at in order], [end[at] for at in order], order)

    def active(self, problem: Problem, step: int, horizon: int) -> list[int | None]:
        """For each hyperparameter of the rule, the row of its window at ``step``."""
        learned = problem.space.learned
        return [
            self.row[name, window_index(learned[name].windows, step, horizon)] if name in learned else None
            for name in problem.rule.defaults
        ]

    def begun(self, step: int) -> int:
        """Rows whose window has begun at ``step``."""
        return sum(begin <= step for begin in self.begins)


def bytes_of(problem: Problem, k: int) -> int:
    """Bytes of k tangents: of w, each slot, and the gradient."""
    return (2 + problem.rule.slots) * k * vector_bytes(problem)


class Carried:
    """Tangents that are carried along; ``rows`` says into which the windows in force go."""

    def __init__(
        self, inner: InnerStep, rows: Rows, tangents: StepTangents, product_clip: float | None = None
    ) -> None:
        self.inner, self.rows, self.tangents, self.product_clip = inner, rows, tangents, product_clip
        self.lost = False  # whether one of them overflowed

    def begin(self, step: int) -> None:
        """New windows are in force from ``step`` on."""

    def end(self, step: int) -> None:
        """So far they were."""

    @property
    def growth(self) -> tuple[float | None, int]:
        """By what differences grew, and over how many steps; None where nothing is known."""
        return None, 0

    def through(self, trainer: Trainer, schedule: Schedule, horizon: int) -> Hypergradient:
        """Train to the horizon; the derivatives of the validation loss along the tangents."""
        inner = self.inner
        if (ended := self._carry(schedule, horizon)) is not None:
            return Hypergradient.none(ended, inner.state, inner.products, self.bytes)
        loss, gradient = validation_gradient(trainer, inner.state)
        evaluation = trainer.evaluate(inner.state)
        if not (math.isfinite(loss) and math.isfinite(evaluation.loss)):
            lost = Ended("diverged", inner.state.step)
            return Hypergradient.none(lost, inner.state, inner.products, self.bytes)
        found = None if self.lost else self.contracted(gradient)
        worth = from_growth(*self.growth, found, inner.problem.dtype != torch.float64)
        return Hypergradient(
            "ok", found, loss, evaluation, inner.state, None, inner.products, self.bytes, worth
        )  # fmt: skip

    def _carry(self, schedule: Schedule, horizon: int) -> Ended | None:
        inner, problem = self.inner, self.inner.problem
        for begin, end in constant_segments(schedule, horizon, 0, horizon):
            self.begin(begin)
            push = self._along(self.rows.active(problem, begin, horizon))
            hypers = inner.values(schedule, begin, horizon)
            ended = inner.stretch(begin, end, hypers, push, self.tangents.w.flat)
            if ended is not None and ended.ending == "overflow":
                self.lost = True
                return inner.run(schedule, horizon, horizon)  # the training goes on without them
            if ended is not None:
                return ended
            self.end(end)
        return None

    def _along(self, active: list[int | None]) -> Callable[[Step], None]:
        """Moves the tangents by a step that is about to be taken, in the windows with these rows."""
        inner, tangents = self.inner, self.tangents

        def push(step: Step) -> None:
            if step.index:  # all tangents are zero before the first step
                inner.push_gradient(tangents.w, tangents.gradient)
                if self.product_clip is not None:
                    tangents.gradient.flat.clamp_(-self.product_clip, self.product_clip)
            inner.problem.rule.push(step, tangents, active)

        return push

    def contracted(self, gradient: Tensor) -> NDArray[np.float64] | None:
        """The tangents with the validation gradient [P]: [k]; None if one is not finite."""
        found: NDArray[np.float64] = self.tangents.w.dot(gradient).double().cpu().numpy()
        return found if np.all(np.isfinite(found)) else None

    @property
    def bytes(self) -> int:
        held = [self.tangents.w, self.tangents.gradient, *self.tangents.slots]
        return sum(t.flat.numel() * t.flat.element_size() for t in held)
