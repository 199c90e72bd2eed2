"""Intervals: of a median by bootstrap, of a mean by Student's t."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats

from .frames import Floats, Integers

ENOUGH = 6
"""Seeds from which a 95 % bootstrap interval of a median can hold its level (``median_interval``)."""


def quantile(values: Floats, q: float) -> Floats:
    """Quantile over the first axis, linear between order statistics, of values that may be infinite.

    Between a finite and an infinite neighbour the result is infinite (numpy's would be NaN).
    """
    ordered = np.sort(values, axis=0)
    position = (len(ordered) - 1) * q
    below, above = ordered[int(np.floor(position))], ordered[int(np.ceil(position))]
    part = position - np.floor(position)
    if part == 0:
        return np.asarray(below, np.float64)
    with np.errstate(invalid="ignore"):
        between = below + part * (above - below)
    infinite = np.where(np.isinf(below), below, above)
    result: Floats = np.where(np.isinf(below) | np.isinf(above), infinite, between)
    return result


def median_interval(values: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Percentile bootstrap interval of the median over the first axis (Efron, 1979).

    Exact: the distribution of a resample's median over all n^n resamples is known in closed form (Maritz
    and Jarrett, 1978), so that nothing is drawn. Values may be infinite. With n seeds the interval can be
    no wider than their range, which holds the true median with probability 1 - 2^(1 - n) only: below six
    seeds that is less than 95 %. A single value has no interval: NaN.
    """
    n = len(values)
    if n < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    lower, upper, weight = _median_law(n)
    ordered = np.sort(values, axis=0)
    below, above = ordered[lower], ordered[upper]
    with np.errstate(invalid="ignore"):
        middles = np.where(np.isinf(below), below, np.where(np.isinf(above), above, (below + above) / 2))
    ranks = np.argsort(middles, axis=0, kind="stable")
    share = np.cumsum(weight[ranks], axis=0)
    edges = []
    for q in ((1 - level) / 2, (1 + level) / 2):
        first = np.argmax(share >= q - 1e-9, axis=0)[None]
        at = np.take_along_axis(ranks, first, axis=0)
        edges.append(np.take_along_axis(middles, at, axis=0)[0])
    return edges[0], edges[1]


@cache
def _median_law(n: int) -> tuple[Integers, Integers, Floats]:
    """(i, j, probability) that a resample's two middle values are the i-th and j-th of n, from 0.

    One middle value where n is odd: then i = j.
    """
    m = (n + 1) // 2
    up_to: Floats = stats.binom.sf(m - 1, n, np.arange(n + 1) / n)  # at least m draws among the i smallest
    lower = np.diff(up_to)
    if n % 2:
        each = np.arange(n)
        return each, each, lower
    share = np.arange(n + 1) / n
    # Exactly m draws reach up to i, their largest is i; the other m are at least j, their least is j.
    left = np.diff(share**m)
    right = np.diff(share**m)[::-1]
    both = np.triu(stats.binom.pmf(m, n, 0.5) * 2.0**n * np.outer(left, right), k=1)
    both[np.diag_indices(n)] = lower - both.sum(axis=1)
    i, j = np.nonzero(both > 0)
    return i, j, both[i, j]


def mean_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Mean and half width of its t interval; no value has no mean, a single one no width: NaN."""
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < 2:
        return mean, float("nan")
    return mean, float(stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
