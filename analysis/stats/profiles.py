"""Performance profile (Dolan and More, 2002): how often a method is within a factor of the fastest.

An instance is a problem with a seed. The time that counts is the one to the problem's target: the highest
own final accuracy of any method (see ``targets``), less a margin. A run that does not get there has an
infinite time and stays in the count, as does an instance that no method solves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .curves import by_problem, curves_of
from .frames import CELL, settled
from .targets import best_accuracy

MARGIN = 0.01


def times(reports: pd.DataFrame, runs: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Time of every run to its problem's target: problem, method, seed, target, seconds (or infinite)."""
    curves, rows = curves_of(reports, settled(runs)), []
    goal = {problem: best_accuracy(methods, margin) for problem, methods in by_problem(curves).items()}
    for curve in curves:
        target = goal[curve.cell.problem]
        time, reached = curve.time_to(target)
        rows.append((*curve.cell, target, time if reached else np.inf))
    return pd.DataFrame(rows, columns=[*CELL, "target", "seconds"])


def profile(table: pd.DataFrame) -> pd.DataFrame:
    """Share of instances on which a method needs at most ``factor`` times the fastest method's time.

    Returns
    -------
    method, factor, share, instances; a row where a share changes, beginning at factor 1. An instance that
    a method did not run counts as one that it does not solve.
    """
    wide = table.pivot_table("seconds", ["problem", "seed"], "method", sort=False)
    seconds = wide.fillna(np.inf).to_numpy(np.float64)
    best = seconds.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(np.isfinite(seconds), np.where(seconds == best, 1.0, seconds / best), np.inf)
    rows = []
    for method, own in zip(wide.columns, ratios.T, strict=True):
        for factor in np.unique(np.append(own[np.isfinite(own)], 1.0)):
            rows.append((method, factor, float((own <= factor).mean()), len(own)))
    return pd.DataFrame(rows, columns=["method", "factor", "share", "instances"])
