"""Which report is the incumbent: the one rule of the runner, which flags them, and of ``verify``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class Scores(NamedTuple):
    """A validation loss, and an accuracy in [0, 1]."""

    loss: float
    accuracy: float


def is_in_time(spent: Mapping[str, float], limits: Mapping[str, float | None]) -> bool:
    """Whether a report came within the budget (None: no limit). One that did not is nobody's incumbent."""
    return all(limit is None or spent[name] <= limit for name, limit in limits.items())


def is_better(new: Scores, best: Scores | None, objective: str) -> bool:
    """Whether ``new`` replaces the best so far, by ``objective``: val_loss or val_accuracy.

    Ties keep the earlier; what is not finite is never better, not even than nothing.
    """
    if not all(map(math.isfinite, new)):
        return False
    if best is None:
        return True
    return new.accuracy > best.accuracy if objective == "val_accuracy" else new.loss < best.loss
