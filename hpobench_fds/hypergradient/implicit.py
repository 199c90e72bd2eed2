"""The implicit mode: differentiate the optimum instead of the way to it (Lorraine et al., AISTATS 2020).

At a stationary point of the training loss plus decay / 2 * |w|^2, dw/d(decay) = - (H + decay)^-1 w. It
covers weight decay alone: learning rate and momentum do not move the optimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.conditioning import from_growth
from hpobench_fds.hypergradient.interface import Hypergradient, Mode, vector_bytes
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.schedule import Schedule, window_index
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Ended, TrainState
from hpobench_fds.training.trainer import Trainer

VECTORS = 4  # held: the direction, the sum, a product and its room


@dataclass(frozen=True)
class ImplicitMode(Mode):
    """Differentiate as if the training had arrived at an optimum.

    The inverse is a Neumann series: (H + d)^-1 g = a * sum_j (I - a (H + d))^j g over ``terms`` Hessian-
    vector products on batches that follow the horizon, with a = ``scale`` (default: the last learning
    rate). The whole derivative is booked to the decay's last window, the one in force at the end.

    A call raises InputError before training if the space learns anything but weight decay.
    """

    exact: ClassVar[bool] = False
    terms: int = 20
    scale: float | None = None

    def uncovered(self, problem: Problem) -> str | None:
        others = [name for name in problem.space.learned if name != "weight_decay"]
        if others:
            return f"the implicit mode covers weight_decay only, and the space learns {', '.join(others)}"
        if problem.rule.name not in ("sgd", "nesterov"):
            return f"the implicit mode covers sgd and nesterov, not {problem.rule.name}"
        return super().uncovered(problem)

    def held(self, problem: Problem, horizon: int) -> int:
        return VECTORS * vector_bytes(problem)

    def cost(self, problem: Problem, horizon: int) -> float:
        return horizon + self.terms * (1 + problem.network.product_cost)

    def __call__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None = None
    ) -> Hypergradient:
        p = trainer.problem
        if (reason := self.uncovered(p)) is not None:
            raise InputError(reason, key="space", allowed="weight_decay")
        horizon = horizon or p.horizon
        state = trainer.start(trial)
        training = trainer.train(state, schedule, horizon, horizon)
        if training.ending != "ok":
            return Hypergradient.none(Ended(training.ending, training.diverged_at), state)
        loss, direction = validation_gradient(trainer, state)
        evaluation = trainer.evaluate(state)
        decay = schedule.at("weight_decay", horizon - 1, horizon)
        a = self.scale if self.scale is not None else schedule.at("lr", horizon - 1, horizon)
        total = self._series(trainer, state, direction, horizon, a, decay)
        gradient = np.zeros(p.space.size)
        windows = p.space.learned["weight_decay"].windows
        gradient[window_index(windows, horizon - 1, horizon)] = -a * float(torch.dot(total, state.w))
        if not (math.isfinite(loss) and math.isfinite(evaluation.loss)):
            return Hypergradient.none(Ended("diverged", horizon), state)
        held, found = self.held(p, horizon), gradient if np.all(np.isfinite(gradient)) else None
        worth = from_growth(None, 0, found)
        return Hypergradient("ok", found, loss, evaluation, state, None, self.terms, held, worth)

    def _series(
        self, trainer: Trainer, state: TrainState, direction: Tensor, horizon: int, a: float, decay: float
    ) -> Tensor:
        """sum_j (I - a (H + decay))^j applied to ``direction`` [P]."""
        p, data = trainer.problem, trainer.data(state.trial)
        one, total = p.network.tangents(state.w, 1), torch.zeros_like(direction)
        product = one.like()
        for term in range(self.terms):
            total += direction
            draw = data.draw(horizon + term)
            tape = p.network.gradient(state.w, *data.batch(horizon + term), draw=draw)
            one.set_row(0, direction)
            p.network.products(state.w, tape, one, product)
            direction = direction - a * (product.vector(0) + decay * direction)
        total += direction
        trainer.clock.count(gradients=self.terms * (1 + p.network.product_cost), products=self.terms)
        return total
