"""What each method needs to each target of a problem: the median over its complete runs, and its interval.

A run that never gets there is censored at its budget: what it needs is known to be more. So the median lies
between two bounds; where they differ it is a lower bound. A failed run says nothing of what it would have
needed; it is counted. Intervals are from order statistics at 95 % each (``intervals``), below six seeds
there is
the range of the seeds alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .curves import Curve, by_problem, curves_of
from .frames import Floats, complete, failures, flag, settled
from .intervals import bounds_interval, quantile
from .speedup import times_of
from .targets import targets_of

COLUMNS = [
    "problem", "method", "target", "share", "headline", "against", "median", "bound", "low", "high", "least",
    "most", "n_reached", "n_seeds", "n_failed", "searches",
]  # fmt: skip


def target_times(
    reports: pd.DataFrame, runs: pd.DataFrame, against: str = "gradient_equivalents"
) -> pd.DataFrame:
    """A row a problem, method and target, ``COLUMNS``.

    Returns
    -------
    median, in the axis's unit, and bound: "" if it is a number, ">" if it is a lower one, since the median
    run never gets there, "?" without a complete run (median NaN); low and high, its 95 % interval (NaN below
    six seeds, high infinite without an upper end); least and most, the range of the seeds (most infinite
    where one never got there); n_reached of n_seeds complete runs; n_failed.

    Raises InputError for an axis that there is not.
    """
    goals, done, rows = targets_of(reports, runs), settled(runs), list[dict[str, Any]]()
    curves = by_problem(curves_of(reports, complete(runs), against=against))
    for problem, own in goals.groupby("problem", sort=False):
        here = done[done["problem"] == problem]
        lost, firsts = failures(here), here.drop_duplicates("method")
        searches = dict(zip(map(str, firsts["method"]), flag(firsts, "searches"), strict=True))
        at = own["target"].to_numpy(np.float64)
        for method, one in searches.items():
            found = _times(curves.get(str(problem), {}).get(method, []), at)
            common = {
                "problem": problem, "method": method, "against": against, "searches": one,
                "n_failed": lost.get(method, (0, 0))[0],
            }  # fmt: skip
            targets = zip(own["target"], own["share"], own["headline"], strict=True)
            rows += [
                {**common, "target": target, "share": share, "headline": first, **time}
                for (target, share, first), time in zip(targets, found, strict=True)
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _times(curves: list[Curve], targets: Floats) -> list[dict[str, Any]]:
    """What one method needs on one problem, a row a target."""
    if not curves:
        nothing = dict.fromkeys(("median", "low", "high", "least", "most"), np.nan)
        return [{**nothing, "bound": "?", "n_reached": 0, "n_seeds": 0} for _ in targets]
    times = times_of(curves, targets)
    low, high = bounds_interval(times.least.T, times.most.T)
    middle, upper = quantile(times.least.T, 0.5), quantile(times.most.T, 0.5)
    return [
        {
            "median": float(middle[i]), "bound": "" if upper[i] == middle[i] else ">", "low": float(low[i]),
            "high": float(high[i]), "least": float(times.least[i].min()), "most": float(times.most[i].max()),
            "n_reached": int(times.reached[i].sum()), "n_seeds": len(curves),
        }
        for i in range(len(targets))
    ]  # fmt: skip
