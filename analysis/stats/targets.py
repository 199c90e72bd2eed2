"""Accuracies that every method of a problem is asked for. They belong to the problem, not to a method.

A suite may name them (``targets``: fractions in [0, 1]). Else they are ``SHARES`` of the way from where
searching starts to the best that any method came to:

* the start is the test accuracy of the initial schedule: the first report's, median over the runs whose first
  report has that schedule. Where it is not known, or no better than guessing (its training diverged), it is
  chance: one over the number of classes;
* the end is the highest of the methods' median last values, over their complete runs.

One of them, the ``HEADLINE``, is chosen beforehand for sentences and tables: 95 % of the way, or, of targets
that a suite names, the highest. Figures have them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpobench_fds.metrics import ACCURACY, BITS, R_SQUARED

from .curves import Curve, by_problem, curves_of, last_values
from .frames import CELL, Floats, complete, numbers

SHARES = (0.5, 0.8, 0.9, 0.95, 0.99)
HEADLINE = 0.95
COLUMNS = ["problem", "target", "share", "start", "top", "headline"]


def chance(runs: pd.DataFrame) -> dict[str, float]:
    """What guessing comes to, by problem: an accuracy of one over the number of classes, an R² of 0, the bits
    of a token (negated, as all here); 0 where the number is not known.
    """
    found = dict.fromkeys(map(str, runs["problem"]), 0.0)
    if "classes" not in runs:
        return found
    metrics = runs["metric"] if "metric" in runs else pd.Series(ACCURACY.name, index=runs.index)
    for problem, count, metric in zip(runs["problem"], numbers(runs["classes"]), metrics, strict=True):
        if count >= 2 and metric != R_SQUARED.name:
            found[str(problem)] = -math.log2(count) if metric == BITS.name else 1 / count
    return found


def targets_of(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The targets of every problem on which some run reported.

    Returns
    -------
    ``COLUMNS``, a row a target: problem, target (test accuracy, a fraction), share (of the way from start to
    top; NaN of one that the suite names), start and top (NaN likewise), headline (one a problem is).
    """
    runs = complete(runs)
    guess, rows = chance(runs), []
    for problem, methods in by_problem(curves_of(reports, runs)).items():
        named = _named(runs[runs["problem"] == problem])
        if named:
            rows += [(problem, t, np.nan, np.nan, np.nan, t == max(named)) for t in named]
            continue
        start, top = _way(reports[reports["problem"] == problem], runs, methods, guess[problem])
        if np.isnan(top):
            continue
        # Where nothing was better than the start there is one target, reached at once.
        shares = SHARES if top > start else (HEADLINE,)
        rows += [(problem, start + s * (top - start), s, start, top, s == HEADLINE) for s in shares]
    return pd.DataFrame(rows, columns=COLUMNS)


def ways(reports: pd.DataFrame, runs: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """(start, top) of every problem on which some complete run reported, its targets named or not.

    What a share of the way is a share of: ``(value - start) / (top - start)``.
    """
    runs = complete(runs)
    guess = chance(runs)
    found = {
        problem: _way(reports[reports["problem"] == problem], runs, methods, guess[problem])
        for problem, methods in by_problem(curves_of(reports, runs)).items()
    }
    return {problem: way for problem, way in found.items() if np.isfinite(way).all()}


def _way(
    reports: pd.DataFrame, runs: pd.DataFrame, methods: Mapping[str, list[Curve]], guess: float
) -> tuple[float, float]:
    """Start and top of one problem; a top that is NaN where no method has a median."""
    middles = [_low_median(last_values(curves)) for curves in methods.values()]
    top = float(np.fmax.reduce(middles)) if middles else float("nan")
    if np.isnan(top):
        return float("nan"), top
    own = runs[runs["problem"].isin(reports["problem"])]
    start = _start(reports, own)
    start = guess if np.isnan(start) else max(start, guess)
    return min(start, top), top


def headline(targets: pd.DataFrame, problem: str) -> dict[str, Any] | None:
    """The row of one problem's headline target; None where the problem has none."""
    own = targets[(targets["problem"] == problem) & targets["headline"].astype(bool)]
    return None if own.empty else {str(k): v for k, v in own.iloc[0].to_dict().items()}


def _low_median(values: Floats) -> float:
    """The lower of the middle two values, so that half of the seeds have it; without one a seed is worst."""
    ordered = np.sort(np.where(np.isnan(values), -np.inf, values))
    middle = float(ordered[(len(ordered) - 1) // 2])
    return middle if np.isfinite(middle) else float("nan")


def _named(runs: pd.DataFrame) -> list[float]:
    """Targets that the suite names for these runs' problem, ascending."""
    if "targets" not in runs or runs.empty:
        return []
    found = runs["targets"].iloc[0]
    return sorted(float(t) for t in found) if isinstance(found, Iterable) else []


def _start(reports: pd.DataFrame, runs: pd.DataFrame) -> float:
    """Median test accuracy of the initial schedule over the runs that began with it; NaN if none did."""
    if "initial" not in runs:
        return float("nan")
    initial = {tuple(key): v for *key, v in runs[[*CELL, "initial"]].itertuples(index=False)}
    first = reports[reports["report"] == 0]
    values = [
        row["test_metric"]
        for row in first.to_dict("records")
        if _same(row["schedule"], initial.get(tuple(row[name] for name in CELL)))
        and float(row["fidelity"]) == 1.0
    ]
    known = numbers(pd.Series(values, dtype=object))
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else float("nan")


def _same(schedule: Any, initial: Any) -> bool:
    if not isinstance(initial, (list, tuple, np.ndarray)) or len(initial) != len(schedule):
        return False
    return bool(np.allclose(np.asarray(schedule, np.float64), np.asarray(initial, np.float64)))
