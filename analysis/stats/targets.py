"""Accuracies that a run can be asked for: what a method itself ends at, and the best of a problem."""

from __future__ import annotations

import numpy as np

from .curves import Curve, last_values
from .frames import Floats, Integers


def own_target(final: Floats) -> Integers:
    """Which seed's final value is the best that at least half of the seeds have, along the first axis.

    The lower of the two middle ones where the seeds are even in number; a seed without a value is the worst.
    """
    worst_first = np.argsort(np.where(np.isnan(final), -np.inf, final), axis=0)
    middle: Integers = worst_first[(len(final) - 1) // 2]
    return middle


def own_accuracy(curves: list[Curve]) -> float:
    """What one method ends at on one problem: its own target; NaN where it has none."""
    final = last_values(curves)
    return float(final[int(own_target(final))])


def best_accuracy(methods: dict[str, list[Curve]], margin: float) -> float:
    """The best of the methods' own targets, less a margin; NaN where no method has one."""
    return float(np.fmax.reduce([own_accuracy(curves) for curves in methods.values()])) - margin
