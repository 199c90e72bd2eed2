"""How many times longer every other method needs than the reference to reach an accuracy.

With T the time at which a run's incumbent first has the target test accuracy, the speedup of the
reference over a method is median(T of the method) / median(T of the reference), medians over seeds.
A run that never gets there is censored at its budget: its T is known to be more. So each median lies
between the median with T at least the budget and the median with T infinite, and the ratio between two
bounds as well. Where they agree it is a number; a method whose median run never gets there has only the
lower one, shown as ``> x``. Runs are never dropped for failing.

The default target is the reference's own final accuracy (``targets.own_target``). One target may be a lucky
choice; ``speedup_curve`` has the speedup at many.

Intervals: 95 %, percentile bootstrap over seeds (Efron, 1979), the two methods resampled together where
they share their seeds. A default target is computed anew in each resample, as it is an estimate too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpobench_fds.errors import InputError

from .curves import Curve, by_problem, curves_of, last_values, seeds_of
from .frames import Flags, Floats, Integers, settled
from .intervals import quantile
from .targets import own_target

COLUMNS = [
    "problem", "method", "reference", "target", "speedup", "low", "high", "censored", "bound",
    "n_seeds", "n_reached", "n_seeds_reference", "n_reached_reference",
]  # fmt: skip


@dataclass(frozen=True)
class Times:
    """Times of the seeds of one method to each of several targets, (targets, seeds)."""

    least: Floats  # the time, or where the run is censored
    most: Floats  # the time, or infinity

    @property
    def reached(self) -> Flags:
        hits: Flags = np.isfinite(self.most)
        return hits

    @property
    def seeds(self) -> int:
        return len(self.least[0])

    def row(self, target: int) -> Times:
        """The times to one of the targets."""
        return Times(self.least[[target]], self.most[[target]])


def times_of(curves: Sequence[Curve], targets: Floats) -> Times:
    """Times to targets of one method on one problem, in the order of its curves."""
    most = np.stack([curve.times_to(targets) for curve in curves], axis=1)
    end = np.array([curve.end for curve in curves], np.float64)
    return Times(np.where(np.isfinite(most), most, end), most)


def ratio_bounds(other: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Bounds on the ratio of median times over the first axis, from (least, most) times of each."""
    (other_least, other_most), (least, most) = [
        (quantile(low, 0.5), quantile(high, 0.5)) for low, high in (other, reference)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(np.isinf(most), 0.0, other_least / most)
        high = np.where(np.isinf(other_most), np.inf, other_most / least)
    # 0 / 0, both there at once: neither is the faster.
    return np.nan_to_num(low, nan=1.0, posinf=np.inf), np.nan_to_num(high, nan=1.0, posinf=np.inf)


def _resamples(seeds: tuple[list[int], list[int]], count: int, rng_seed: int) -> tuple[Integers, Integers]:
    """Indices into the seeds of the other method and of the reference, (seeds, resamples)."""
    rng = np.random.default_rng(rng_seed)
    first = rng.integers(len(seeds[0]), size=(len(seeds[0]), count))
    if seeds[0] == seeds[1]:
        return first, first  # same split, initialisation and batches: their luck is shared
    return first, rng.integers(len(seeds[1]), size=(len(seeds[1]), count))


def _verdict(low: float, high: float) -> tuple[float, str]:
    """A number and whether it is exact (""), a lower bound (">"), an upper one ("<") or nothing ("?")."""
    if low == high and np.isfinite(low):
        return low, ""
    if np.isinf(high):
        return (low, ">") if low > 0 else (float("nan"), "?")
    return (high, "<") if low == 0 else (float("nan"), "?")


def _at_own_target(
    other: Sequence[Curve], reference: Sequence[Curve], margin: float, resamples: int, level: float
) -> pd.DataFrame:
    """One row of the table, without its names, at the reference's own target."""
    final = last_values(reference)
    targets = final - margin
    mine, its = times_of(reference, targets), times_of(other, targets)
    low, high = np.full(1, np.nan), np.full(1, np.nan)
    if min(mine.seeds, its.seeds) > 1:
        theirs, ours = _resamples((seeds_of(other), seeds_of(reference)), resamples, rng_seed=0)
        # Each resample of the reference has a target of its own.
        row = np.take_along_axis(ours, own_target(final[ours])[None], axis=0)[0]
        low, high = _percentiles(
            (its.least[row, theirs], its.most[row, theirs]), (mine.least[row, ours], mine.most[row, ours]),
            level,
        )  # fmt: skip
    chosen = int(own_target(final))
    return _rows(targets[[chosen]], mine.row(chosen), its.row(chosen), low, high)


def _at(
    other: Sequence[Curve], reference: Sequence[Curve], targets: Floats, resamples: int, level: float
) -> pd.DataFrame:
    """Rows of the table, one a given target, without their names."""
    mine, its = times_of(reference, targets), times_of(other, targets)
    low, high = np.full(len(targets), np.nan), np.full(len(targets), np.nan)
    if min(mine.seeds, its.seeds) > 1:
        theirs, ours = _resamples((seeds_of(other), seeds_of(reference)), resamples, rng_seed=0)
        drawn = [
            tuple(np.moveaxis(side[:, which], 1, 0) for side in (times.least, times.most))
            for times, which in ((its, theirs), (mine, ours))
        ]  # (seeds, targets, resamples)
        low, high = _percentiles((drawn[0][0], drawn[0][1]), (drawn[1][0], drawn[1][1]), level)
    return _rows(targets, mine, its, low, high)


def _percentiles(
    other: tuple[Floats, Floats], reference: tuple[Floats, Floats], level: float
) -> tuple[Floats, Floats]:
    """Percentile interval over the last axis of the resampled ratio's bounds."""
    lows, highs = (np.moveaxis(np.atleast_2d(side), -1, 0) for side in ratio_bounds(other, reference))
    return quantile(lows, (1 - level) / 2), quantile(highs, (1 + level) / 2)


def _rows(targets: Floats, mine: Times, its: Times, low: Floats, high: Floats) -> pd.DataFrame:
    """The columns from the target on, from the times of the reference and of the other method."""
    bounds = ratio_bounds((its.least.T, its.most.T), (mine.least.T, mine.most.T))
    verdicts = [_verdict(float(least), float(most)) for least, most in zip(*bounds, strict=True)]
    bound = [word for _, word in verdicts]
    return pd.DataFrame({
        "target": targets, "speedup": [value for value, _ in verdicts], "low": low, "high": high,
        "censored": [word != "" for word in bound], "bound": bound, "n_seeds": its.seeds,
        "n_reached": its.reached.sum(axis=1), "n_seeds_reference": mine.seeds,
        "n_reached_reference": mine.reached.sum(axis=1),
    })  # fmt: skip


Pair = tuple[dict[str, str], list[Curve], list[Curve]]


def _pairs(reports: pd.DataFrame, runs: pd.DataFrame, reference: str, against: str) -> Iterator[Pair]:
    """Names of a row, the other method's curves and the reference's, wherever both have finished runs.

    Raises InputError unless the reference is among the methods of the finished runs.
    """
    runs = settled(runs)
    present = sorted(runs["method"].unique())
    if reference not in present:
        there = present or "none has finished"
        raise InputError(f"no finished run of {reference!r}", key="reference", allowed=there)
    for problem, methods in by_problem(curves_of(reports, runs, "test_accuracy", against)).items():
        for method, other in methods.items():
            if method != reference and reference in methods:
                names = {"problem": problem, "method": method, "reference": reference}
                yield names, other, methods[reference]


def _table(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(pieces, ignore_index=True)[COLUMNS] if pieces else pd.DataFrame(columns=COLUMNS)


def speedup_table(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str = "fds",
    target: float | None = None,
    against: str = "seconds",
    margin: float = 0.0,
    resamples: int = 4000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Speedup of the reference over every other method, on every problem that has the reference.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS. Unfinished runs are left out.
    reference : the method that is compared with the others.
    target : test accuracy in [0, 1]; by default the reference's own final one, problem by problem.
    against : seconds, inner_steps or gradient_equivalents.
    margin : how far below its own final accuracy the default target lies. With 0, a method that ends just
        as good gets there in half of its seeds by luck alone.
    resamples : of the bootstrap.
    level : of the interval.

    Returns
    -------
    problem, method, reference, target; speedup (more than 1: the reference is faster) with low and high,
    its interval (NaN with a single seed, high infinite where it has no upper end); censored, whether
    speedup is only a bound, and bound, which: ">" a lower one (the method never gets there), "<" an upper
    one (the reference does not), "?" none (neither does: speedup is NaN); seeds, and seeds that reached.

    Raises
    ------
    InputError
        The reference has no finished run on any problem, or the target is no fraction.
    """
    if target is not None and not 0 < target <= 1:
        raise InputError(f"target accuracy {target!r}", key="target", allowed="a fraction above 0, at most 1")
    pieces = []
    for names, other, own in _pairs(reports, runs, reference, against):
        if target is None:
            row = _at_own_target(other, own, margin, resamples, level)
        else:
            row = _at(other, own, np.array([target], np.float64), resamples, level)
        pieces.append(row.assign(**names))
    return _table(pieces)


def _lowest(curves: Sequence[Curve]) -> float:
    """The lowest value that an incumbent has."""
    every: Floats = np.concatenate([curve.values for curve in curves])  # noqa: PD011 -- no frame
    return float(np.nanmin(every))


def speedup_curve(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", count: int = 40, resamples: int = 500
) -> pd.DataFrame:
    """``speedup_table`` at ``count`` test accuracies a problem, evenly spaced.

    They run from the lowest that an incumbent of the reference has to its own target. Problems on which
    the reference has none, or no other method ran, are absent.

    Raises InputError if the reference has no finished run on any problem.
    """
    pieces = []
    for names, other, own in _pairs(reports, runs, reference, "seconds"):
        final = last_values(own)
        top = final[int(own_target(final))]
        if not np.isnan(top):
            lowest = _lowest(own)
            targets = np.unique(np.linspace(lowest, top, count))
            pieces.append(_at(other, own, targets, resamples, 0.95).assign(**names))
    return _table(pieces)
