"""Intervals that hold their level whatever the law: order statistics and signed ranks.

Nothing here supposes a normal law, since accuracies are bounded and times are skewed. Where there are too few
seeds for a level there is no interval (NaN), and what can be shown is the seeds' own range.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats

from .frames import Floats

LEAST = 6
"""Seeds from which a 95 % interval of a median exists: n values hold it with probability 1 - 2^(1 - n)."""

LEVEL = 0.05
"""Of every test and interval of the analysis: the share of studies that may err."""

_SLACK = 1e-12  # of probabilities that are sums of exact binary fractions


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


# ---- of a median ----------------------------------------------------------------------------------------


@cache
def order_rank(n: int, level: float = 1 - LEVEL) -> int:
    """The largest k so that the k-th smallest to the k-th largest of n values hold the median at ``level``.

    Their coverage is 1 - 2 P(B < k), B binomial of n fair coins, for any continuous law, and no less for
    laws with ties. 0 where even the whole range does not reach the level.
    """
    k = 0
    while 2 * (k + 1) <= n + 1 and 2 * stats.binom.cdf(k, n, 0.5) <= 1 - level + _SLACK:
        k += 1
    return k


def median_interval(values: Floats, level: float = 1 - LEVEL) -> tuple[Floats, Floats]:
    """Distribution-free interval of the median over the first axis, from two order statistics.

    Values may be infinite. NaN where there are too few of them for the level: below six for 95 %.
    """
    return bounds_interval(values, values, level)


def bounds_interval(least: Floats, most: Floats, level: float = 1 - LEVEL) -> tuple[Floats, Floats]:
    """``median_interval`` of values that are known to lie between two bounds each, such as censored times."""
    k = order_rank(len(least), level)
    if k == 0:
        nothing = np.full(np.shape(least)[1:], np.nan)
        return nothing, nothing
    return np.sort(least, axis=0)[k - 1], np.sort(most, axis=0)[-k]


def median_spread(values: Floats, level: float = 1 - LEVEL) -> tuple[Floats, Floats]:
    """What is drawn beside a median: its interval, and where there is none the range of the values.

    ``len(values) >= LEAST`` says which, at 95 %. A single value has neither: NaN.
    """
    if order_rank(len(values), level) > 0:
        return median_interval(values, level)
    if len(values) < 2:
        nothing = np.full(np.shape(values)[1:], np.nan)
        return nothing, nothing
    return np.min(values, axis=0), np.max(values, axis=0)


# ---- of paired differences ------------------------------------------------------------------------------


@cache
def _signed_rank_law(n: int) -> Floats:
    """[n (n + 1) / 2 + 1] P(T <= t) of Wilcoxon's signed-rank sum of n differences without ties."""
    law = np.ones(1)
    for rank in range(1, n + 1):
        shifted = np.concatenate([np.zeros(rank), law])
        law = (np.concatenate([law, np.zeros(rank)]) + shifted) / 2
    below: Floats = np.cumsum(law)
    return below


def _walsh(differences: Floats) -> Floats:
    """Means of all pairs, each value with itself included, ascending."""
    i, j = np.triu_indices(len(differences))
    return np.sort((differences[i] + differences[j]) / 2)


def signed_rank_p(differences: Floats) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test that differences are symmetric about 0; exact.

    Zeros and ties count against a difference, so that the test never errs more often than it says: it is
    the one that ``signed_rank_interval`` inverts. 1 where there are no differences.
    """
    n = len(differences)
    if n == 0:
        return 1.0
    means = _walsh(differences)
    # A mean of two opposite differences is 0 but for rounding, and says nothing.
    tiny = 1e-12 * float(np.abs(differences).max())
    against = len(means) - max(int((means > tiny).sum()), int((means < -tiny).sum()))
    return float(min(1.0, 2 * _signed_rank_law(n)[against]))


def signed_rank_interval(differences: Floats, level: float = 1 - LEVEL) -> tuple[float, float, float]:
    """Hodges and Lehmann's median of paired differences, with the interval that inverts ``signed_rank_p``.

    The interval's ends are Walsh averages. NaN where there are too few differences for the level (below six
    for 95 %); the estimate is NaN without any.
    """
    n = len(differences)
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    means = _walsh(differences)
    k = int(np.searchsorted(2 * _signed_rank_law(n), 1 - level + _SLACK, side="right"))
    middle = float(np.median(means))
    if k == 0:
        return middle, float("nan"), float("nan")
    return middle, float(means[k - 1]), float(means[-k])


def sign_p(low: Floats, high: Floats) -> float:
    """Two-sided p-value of the sign test that values between these bounds have median 0; exact.

    A value whose bounds do not exclude 0 (a tie, or censored on both sides) counts for neither side, and
    stays in the number of values.
    """
    n = len(low)
    most = max(int((low > 0).sum()), int((high < 0).sum()))
    return float(min(1.0, 2 * stats.binom.sf(most - 1, n, 0.5))) if n else 1.0


def seeds_needed(comparisons: int, level: float = LEVEL) -> int:
    """Seeds from which the clearest of so many corrected comparisons can be told: 2 c 2^-n <= level."""
    least = int(np.ceil(np.log2(2 * max(comparisons, 1) / level) - _SLACK))
    return max(LEAST, least)
