"""Two methods at a time: wins, ties and losses of every pair over the problems.

On each problem two methods are compared seed by seed (same split, initialisation and batches) by the last
incumbent's test accuracy: Wilcoxon's signed-rank test, exact and two-sided (``intervals.signed_rank_p``),
p-values corrected by Holm's method over all pairs of all problems. A difference that is not significant is a
tie, and fewer than six common seeds are always one. A failed run has no accuracy and leaves its seed out.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from .curves import curves_of, last_incumbents
from .frames import Floats, complete
from .intervals import LEAST, LEVEL, signed_rank_interval, signed_rank_p
from .targets import chance


def holm(p: Floats) -> Floats:
    """Holm's step-down correction: adjusted p-values in the given order."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def paired_p(differences: Floats) -> float:
    """p-value of paired differences; 1 from fewer than six seeds, which decide nothing."""
    return signed_rank_p(differences) if len(differences) >= LEAST else 1.0


def duels(reports: pd.DataFrame, runs: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """One row a problem and pair: problem, method, other, difference, seeds, p, result.

    ``difference`` is the typical one (Hodges and Lehmann's) of method - other over their common seeds
    (accuracy, fractions), ``p`` is corrected, ``result`` is win, tie or loss of ``method``.
    """
    last = last_incumbents(curves_of(reports, complete(runs)), chance(runs))
    methods, rows = list(dict.fromkeys(last["method"])), []
    for problem, own in last.groupby("problem", sort=False):
        wide = own.pivot_table("value", "seed", "method")
        for one, other in combinations([m for m in methods if m in wide.columns], 2):
            both = wide[[one, other]].dropna().to_numpy(np.float64)
            if len(both):
                gap = both[:, 0] - both[:, 1]
                middle, _, _ = signed_rank_interval(gap)
                rows.append((problem, one, other, middle, len(gap), paired_p(gap)))
    table = pd.DataFrame(rows, columns=["problem", "method", "other", "difference", "seeds", "p"])
    table = table.assign(p=holm(table["p"].to_numpy(np.float64)))
    sign = np.where(table["p"] < level, np.sign(table["difference"].to_numpy(np.float64)), 0.0)
    return table.assign(result=np.select([sign > 0, sign < 0], ["win", "loss"], "tie"))


def matrix(table: pd.DataFrame) -> pd.DataFrame:
    """(wins, ties, losses) of the row's method against the column's, over problems; both orders."""
    back = table.rename(columns={"method": "other", "other": "method"})
    back = back.assign(result=back["result"].map({"win": "loss", "loss": "win", "tie": "tie"}))
    both = pd.concat([table, back])
    for result in ("win", "tie", "loss"):
        both[result] = (both["result"] == result).astype(int)
    return both.groupby(["method", "other"], sort=False, as_index=False)[["win", "tie", "loss"]].sum()
