"""The implicit mode: differentiate the optimum instead of the way to it (Lorraine et al., AISTATS 2020).

At a stationary point of the training loss plus decay / 2 * |w|^2, dw/d(decay) = - (H + decay)^-1 w. It
covers weight decay alone: learning rate and momentum do not move the optimum.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.schedule import Schedule, window_index
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import DIVERGED, Ending, Trainer, TrainState


def uncovered(problem: Problem) -> str | None:
    """Why the implicit mode has no hypergradient for a problem, or None."""
    others = [name for name in problem.space.learned if name != "weight_decay"]
    if others:
        return f"the implicit mode covers weight_decay only, and the space learns {', '.join(others)}"
    if problem.rule.name not in ("sgd", "nesterov"):
        return f"the implicit mode covers sgd and nesterov, not {problem.rule.name}"
    return None


def implicit(
    trainer: Trainer,
    schedule: Schedule,
    trial: int,
    *,
    horizon: int | None = None,
    terms: int = 20,
    scale: float | None = None,
) -> Hypergradient:
    """Train ``schedule`` afresh as ``trial``; differentiate as if it had arrived.

    The inverse is a Neumann series: (H + d)^-1 g = a * sum_j (I - a (H + d))^j g over ``terms`` Hessian-
    vector products on batches that follow the horizon, with a = ``scale`` (default: the last learning
    rate). The whole derivative is booked to the decay's last window, the one in force at the end.

    Raises
    ------
    InputError : the space learns anything but weight decay.
    """
    p = trainer.problem
    reason = uncovered(p)
    if reason is not None:
        raise InputError(reason, key="space", allowed="weight_decay")
    horizon = horizon or p.horizon
    state = trainer.start(trial)
    training = trainer.train(state, schedule, horizon, horizon)
    if training.ending != "ok":
        return _failed(training.ending, state, training.diverged_at)
    loss, direction = validation_gradient(trainer, state)
    evaluation = trainer.evaluate(state)
    decay = schedule.at("weight_decay", horizon - 1, horizon)
    a = scale if scale is not None else schedule.at("lr", horizon - 1, horizon)
    data, one = trainer.data(trial), p.network.tangents(state.w, 1)
    product = one.like()
    total = torch.zeros_like(direction)
    for term in range(terms):
        total += direction
        tape = p.network.gradient(state.w, *data.batch(horizon + term))
        one.set_row(0, direction)
        p.network.products(state.w, tape, one, product)
        direction = direction - a * (product.vector(0) + decay * direction)
    total += direction
    trainer.clock.count(gradients=terms * (1 + p.network.product_cost), products=terms)
    gradient = np.zeros(p.space.size)
    windows = p.space.learned["weight_decay"].windows
    gradient[window_index(windows, horizon - 1, horizon)] = -a * float(torch.dot(total, state.w))
    if not (np.all(np.isfinite(gradient)) and math.isfinite(loss) and math.isfinite(evaluation.loss)):
        return _failed("diverged", state, horizon)
    size = 4 * state.w.numel() * state.w.element_size()
    return Hypergradient("ok", gradient, loss, evaluation, state, None, terms, size)


def _failed(ending: Ending, state: TrainState, step: int | None) -> Hypergradient:
    return Hypergradient(ending, None, math.inf, DIVERGED, state, step)
