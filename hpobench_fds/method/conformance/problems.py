"""The tiny problems that methods are tried on, and how much they may spend on them."""

from __future__ import annotations

import functools
from typing import Any

from hpobench_fds.training.problem import LOOK_EVERY, Problem, ProblemConfig, load_problem

TRAININGS = 12  # whole trainings that a plain run may spend
LONG = 3 * LOOK_EVERY  # inner steps of a training that a budget may cut short
LIMIT = 2 * LONG + LOOK_EVERY + 10  # a budget that ends in the middle of one

LEARNED = ("lr and momentum", "weight_decay")


@functools.cache
def tiny_problem(kind: str = "plain", learned: str = LEARNED[0]) -> Problem:
    """The kit's problems: linear regression on a stream, whose steps are the quickest there are.

    kind : plain: 20 steps; lr on a log scale. wide: the paper's ranges, with zero and negative values.
    long: a training that the budget cuts short.
    learned : lr and momentum, or weight_decay alone for a method that skips the former.
    """
    wide = kind == "wide"
    space: dict[str, dict[str, Any]] = {
        "lr": {"windows": 2, "low": 0.01, "high": 0.5, "initial": 0.05, "scale": "log"},
        "momentum": {"low": 0.0, "high": 0.9, "initial": 0.5},
        "weight_decay": {"low": 0.0, "high": 1e-2, "initial": 5e-4, "learn": False},
    }
    if learned == "weight_decay":
        space["lr"] = {"initial": 0.05, "learn": False}
        space["momentum"] = {"initial": 0.5, "learn": False}
        low = -4e-3 if wide else 0.0
        space["weight_decay"] = {"windows": 2, "low": low, "high": 4e-3, "initial": 0.0}
    elif wide:
        space["lr"] = {"windows": 2, "low": -1.0, "high": 1.0, "initial": 0.0}
        space["momentum"] = {"low": -1.5, "high": 1.5, "initial": 0.0}
    config = ProblemConfig.model_validate(
        {
            "dataset": "gaussian_stream",
            "model": "linear",
            "loss": "squared_error",
            "batch_size": 8,
            "horizon": LONG if kind == "long" else 20,
            "space": space,
        }
    )
    return load_problem(config, name=f"conformance-{kind}")[0]
