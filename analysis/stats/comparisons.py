"""Two methods at a time: paired tests, and wins, ties and losses of every pair over the problems.

On each problem two methods are compared seed by seed (same split, initialisation and batches) by the last
incumbent's test accuracy, a finished seed without one counting as 0: paired t-test, two-sided, p-values
corrected by Holm's method over all pairs of that problem. A difference that is not significant is a tie.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from .curves import curves_of, last_incumbents
from .frames import Floats, settled

LEVEL = 0.05


def holm(p: Floats) -> Floats:
    """Holm's step-down correction: adjusted p-values in the given order."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def paired_p(difference: Floats) -> float:
    """p-value of the two-sided paired t-test; 1 where nothing can be said or nothing differs."""
    n = len(difference)
    if n < 2 or not difference.any():
        return 1.0
    if np.ptp(difference) <= 1e-12 * np.abs(difference).max():
        # The same in every seed. Accuracies of few test examples are coarse, so that this says no more than
        # the signs do.
        return float(0.5 ** (n - 1))
    t = difference.mean() / (difference.std(ddof=1) / np.sqrt(n))
    return float(2 * stats.t.sf(abs(t), n - 1))


def duels(reports: pd.DataFrame, runs: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """One row a problem and pair: problem, method, other, difference, seeds, p, result.

    ``difference`` is the mean of method - other over their common seeds (accuracy, fractions), ``p`` is
    corrected, ``result`` is win, tie or loss of ``method``.
    """
    last = last_incumbents(curves_of(reports, settled(runs)))
    methods, pieces = list(dict.fromkeys(last["method"])), []
    for problem, own in last.groupby("problem", sort=False):
        wide = own.pivot_table("value", "seed", "method")
        rows = []
        for one, other in combinations([m for m in methods if m in wide.columns], 2):
            both = wide[[one, other]].dropna().to_numpy(np.float64)
            if len(both):
                gap = both[:, 0] - both[:, 1]
                rows.append((problem, one, other, float(gap.mean()), len(gap), paired_p(gap)))
        table = pd.DataFrame(rows, columns=["problem", "method", "other", "difference", "seeds", "p"])
        pieces.append(table.assign(p=holm(table["p"].to_numpy(np.float64))))
    table = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=["difference", "p"])
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
