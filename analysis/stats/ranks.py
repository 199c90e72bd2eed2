"""Mean ranks of the methods over problems, with the critical difference of Nemenyi's test.

A method's score on a problem is the median test accuracy of its last incumbents over its complete runs; one
with a failed run on a problem has no score there, and is left out and named. Ranks, Friedman's test and the
critical difference follow Demsar (2006), "Statistical comparisons of classifiers over multiple data sets":
two methods differ at level alpha if their mean ranks differ by more than q_alpha sqrt(k (k + 1) / (6 N)), k
methods, N problems.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from hpobench_fds.errors import InputError

from .curves import curves_of, last_incumbents
from .frames import complete, settled
from .targets import chance

LEVEL = 0.05


def scores(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Median last incumbent test accuracy: a row a problem, a column a method, NaN where it has no score."""
    last = last_incumbents(curves_of(reports, complete(runs)), chance(runs))
    order = [list(dict.fromkeys(settled(runs)[key])) for key in ("problem", "method")]
    wide = last.pivot_table("value", "problem", "method", aggfunc="median")
    wide = wide.reindex(index=order[0], columns=order[1])
    failed = settled(runs)[["problem", "method", "status"]]
    for row in failed[failed["status"] == "failed"].itertuples(index=False):
        wide.loc[row.problem, row.method] = np.nan
    return wide


def mean_ranks(table: pd.DataFrame) -> pd.Series[float]:
    """Mean rank of each column over the rows of ``scores``, 1 the best, ties shared; best first."""
    if table.isna().any(axis=None):
        raise InputError("ranks need every method on every problem")
    return table.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def critical_difference(methods: int, problems: int, level: float = LEVEL) -> float:
    """Nemenyi's critical difference of two mean ranks."""
    q = stats.studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * problems)))


def friedman(table: pd.DataFrame) -> float:
    """p-value of Friedman's test that all methods are alike; NaN below three methods or two problems."""
    if table.shape[1] < 3 or len(table) < 2:
        return float("nan")
    values = table.to_numpy(np.float64)
    if (values == values[:, :1]).all():  # ties everywhere: 0 / 0 of its statistic
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


def alike(ranks: pd.Series[float], difference: float) -> list[tuple[int, int]]:
    """Largest runs (first, last position) of sorted ranks that lie within the critical difference."""
    values = ranks.to_numpy(np.float64)
    found: list[tuple[int, int]] = []
    for first, value in enumerate(values):
        last = int(np.searchsorted(values, value + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
