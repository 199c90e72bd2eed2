"""Median and band over seeds of the incumbent's value, while the clock runs.

A seed that has not reported yet counts as the worst possible value, not as absent. Were it left out, a
method would look the better the fewer of its seeds got anywhere (survivor bias).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from .curves import Curve, by_problem, check_axis, curves_of, event_times
from .frames import Floats, numbers, settled
from .intervals import median_spread, quantile

COLUMNS = ["problem", "method", "at", "median", "low", "high", "seeds", "reported", "held"]

Spread = Literal["interval", "quartiles"]


def band(curves: Sequence[Curve], grid: Floats, spread: Spread = "interval") -> pd.DataFrame:
    """Median and band over the seeds of one method on one problem.

    The band is the 95 % interval of the median from six seeds on and below that the range of the seeds
    (``median_spread``; NaN with a single seed), or what lies between the quartiles of the seeds.

    A seed without a report counts as worse than any value. The median is NaN where it would fall on
    such a seed (or between one and a number), that is until more than half of all seeds, failed ones
    included, have reported. A band's edge that falls there is the worst there is (accuracy 0, infinite
    loss).

    Returns
    -------
    Columns at, median, low, high (``low`` < ``high`` in value, whichever is better), seeds, reported.
    """
    higher = curves[0].higher_is_better
    every = np.stack([curve.at(grid) for curve in curves])
    reported = np.isfinite(every)
    filled = np.where(reported, every, -np.inf if higher else np.inf)
    median = quantile(filled, 0.5)
    defined = np.isfinite(median)
    if spread == "interval":
        edges = list(median_spread(filled))
    else:
        edges = [quantile(filled, q) for q in (0.25, 0.75)]
    edges = [np.where(np.isinf(edge), 0.0 if higher else np.inf, edge) for edge in edges]
    return pd.DataFrame(
        {
            "at": grid,
            "median": np.where(defined, median, np.nan),
            "low": np.where(defined, edges[0], np.nan),
            "high": np.where(defined, edges[1], np.nan),
            "seeds": len(every),
            "reported": reported.sum(axis=0),
        }
    )


def bands(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str = "test_metric",
    against: str = "seconds",
    spread: Spread = "interval",
) -> pd.DataFrame:
    """Median and band of every method on every problem, at each time at which one of its seeds jumps.

    Returns
    -------
    problem, method, then ``band``'s columns, and ``held``: whether all seeds had stopped by then, so that
    the value only holds. The last row of each curve lies at the largest budget of its problem.
    """
    runs = settled(runs)
    used = runs[["problem", "method"]].assign(used=numbers(runs[check_axis(against)]))
    stops = used.groupby(["problem", "method"])["used"].max()
    pieces = []
    for problem, methods in by_problem(curves_of(reports, runs, metric, against)).items():
        budget = float(np.fmax.reduce([curve.end for own in methods.values() for curve in own]))
        for method, own in methods.items():
            events = event_times(own)
            stop = max(float(stops.loc[(problem, method)]), float(events[-1]))
            table = band(own, np.union1d(events, [stop, budget]), spread)
            pieces.append(table.assign(problem=problem, method=method, held=table["at"] > stop)[COLUMNS])
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=COLUMNS)


HEADROOM = 10.0  # times the last loss of the method in the middle: those that diverged must not hide the rest


def largest_shown(table: pd.DataFrame, metric: str) -> float:
    """Up to which value one problem's medians are worth showing; accuracies have an end of their own."""
    if metric.endswith("metric"):
        return float("inf")
    return HEADROOM * float(table.groupby("method")["median"].last().median())
