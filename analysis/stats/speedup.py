"""How many times longer every other method needs than the reference to reach the problem's targets.

Runs are compared seed by seed, since a seed is one split, initialisation and batches for all methods. With T
the time at which a run's incumbent first has the target test accuracy, a seed's ratio is T of the method over
T of the reference, and the speedup is the median of these ratios over the seeds that the two have in common.

A complete run that never gets there is censored at its budget: its T is known to be more. So each ratio lies
between two bounds, and so does their median. Where they agree it is a number; a method whose median run never
gets there has only the lower one, shown as ``> x``. A run that failed says nothing of the time it would have
needed: it has no ratio and bounds nothing, and is counted (``n_failed``).

Targets are the problem's (``targets``). Intervals are of the median ratio, from order statistics, and hold
together over all rivals of the problem (Bonferroni); p-values are those of sign tests, not yet corrected.
Below six common seeds there is no interval, and ``least`` and ``most`` have the seeds' range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpobench_fds.errors import InputError

from .curves import Curve, by_problem, curves_of
from .frames import Flags, Floats, complete, failures, settled
from .intervals import LEVEL, bounds_interval, quantile, sign_p
from .targets import headline, targets_of

COLUMNS = [
    "problem", "method", "reference", "target", "share", "speedup", "low", "high", "least", "most", "p",
    "censored", "bound", "rivals", "n_seeds", "n_reached", "n_failed", "n_reached_reference",
    "n_failed_reference",
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


def times_of(curves: Sequence[Curve], targets: Floats) -> Times:
    """Times to targets of one method on one problem, in the order of its curves."""
    most = np.stack([curve.times_to(targets) for curve in curves], axis=1)
    end = np.array([curve.end for curve in curves], np.float64)
    return Times(np.where(np.isfinite(most), most, end), most)


def ratio_bounds(other: Times, reference: Times) -> tuple[Floats, Floats]:
    """Bounds on the ratio of each seed's two times, (targets, seeds)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(np.isinf(reference.most), 0.0, other.least / reference.most)
        high = np.where(np.isinf(other.most), np.inf, other.most / reference.least)
    # 0 / 0, both there at once: neither is the faster.
    return np.nan_to_num(low, nan=1.0, posinf=np.inf), np.nan_to_num(high, nan=1.0, posinf=np.inf)


def _verdict(low: float, high: float) -> tuple[float, str]:
    """A number and whether it is exact (""), a lower bound (">"), an upper one ("<") or nothing ("?")."""
    if low == high and np.isfinite(low):
        return low, ""
    if np.isinf(high):
        return (low, ">") if low > 0 else (float("nan"), "?")
    return (high, "<") if low == 0 else (float("nan"), "?")


@dataclass(frozen=True)
class Pair:
    """One rival of the reference on one problem: curves of the seeds that both have, in the same order."""

    names: dict[str, str]
    other: list[Curve]
    reference: list[Curve]
    failed: tuple[int, int]  # runs of the other and of the reference
    rivals: int  # of the reference on the problem, over which intervals hold together


def _pairs(reports: pd.DataFrame, runs: pd.DataFrame, reference: str, against: str) -> Iterator[Pair]:
    """Every rival of the reference, wherever both have finished runs.

    Raises InputError unless the reference is among the methods of the finished runs.
    """
    done = settled(runs)
    present = sorted(done["method"].unique())
    if reference not in present:
        there = present or "none has finished"
        raise InputError(f"no finished run of {reference!r}", key="reference", allowed=there)
    curves = by_problem(curves_of(reports, complete(runs), "test_metric", against))
    for problem in dict.fromkeys(done["problem"]):
        here = done[done["problem"] == problem]
        methods, failed = list(dict.fromkeys(here["method"])), failures(here)
        own = {c.cell.seed: c for c in curves.get(problem, {}).get(reference, [])}
        for method in methods if reference in methods else []:
            if method != reference:
                its = [c for c in curves.get(problem, {}).get(method, []) if c.cell.seed in own]
                lost = (failed.get(method, (0, 0))[0], failed.get(reference, (0, 0))[0])
                names = {"problem": str(problem), "method": str(method), "reference": reference}
                yield Pair(names, its, [own[c.cell.seed] for c in its], lost, len(methods) - 1)


def _rows(pair: Pair, targets: Floats, shares: Floats) -> pd.DataFrame:
    """Rows of the table, one a target."""
    table = pd.DataFrame({"target": targets, "share": shares}).assign(
        **pair.names, rivals=pair.rivals, n_seeds=len(pair.other), n_failed=pair.failed[0],
        n_failed_reference=pair.failed[1],
    )  # fmt: skip
    if not pair.other:  # no common seed that came through
        nothing = dict.fromkeys(("speedup", "low", "high", "least", "most"), np.nan)
        return table.assign(
            **nothing, p=1.0, bound="?", censored=True, n_reached=0, n_reached_reference=0
        )  # fmt: skip
    its, mine = times_of(pair.other, targets), times_of(pair.reference, targets)
    low, high = ratio_bounds(its, mine)
    middles = zip(quantile(low.T, 0.5), quantile(high.T, 0.5), strict=True)
    verdicts = [_verdict(float(least), float(most)) for least, most in middles]
    ends = bounds_interval(low.T, high.T, 1 - LEVEL / pair.rivals)
    # Signs of ratios about 1; a ratio known from above or below alone has the sign that its bound allows.
    p = [sign_p(a - 1, b - 1) for a, b in zip(low, high, strict=True)]
    return table.assign(
        speedup=[value for value, _ in verdicts], low=ends[0], high=ends[1], least=low.min(axis=1),
        most=high.max(axis=1), p=p, bound=[word for _, word in verdicts],
        censored=[word != "" for _, word in verdicts], n_reached=its.reached.sum(axis=1),
        n_reached_reference=mine.reached.sum(axis=1),
    )  # fmt: skip


def _table(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(pieces, ignore_index=True)[COLUMNS] if pieces else pd.DataFrame(columns=COLUMNS)


def speedup_table(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str = "fds",
    target: float | None = None,
    against: str = "seconds",
) -> pd.DataFrame:
    """Speedup of the reference over every other method, on every problem that has the reference.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS. Unfinished runs are left out.
    reference : the method that is compared with the others.
    target : test accuracy in [0, 1]; by default the problem's headline target.
    against : seconds, inner_steps or gradient_equivalents.

    Returns
    -------
    problem, method, reference, target, share (``targets``'); speedup (more than 1: the reference is faster),
    low and high, its simultaneous 95 % interval (NaN with too few seeds, high infinite where it has no upper
    end), least and most, the range of the seeds' bounds; p, of the sign test; censored, whether speedup
    is only a bound, and bound, which: ">" a lower one (the method never gets there), "<" an upper one (the
    reference does not), "?" none (neither does, or there is no common seed: speedup is NaN); rivals, over
    how many the interval holds; seeds in common, how many of them got there, and runs that failed.

    Raises
    ------
    InputError
        The reference has no finished run on any problem, or the target is no fraction.
    """
    if target is not None and not 0 < target <= 1:
        raise InputError(f"target accuracy {target!r}", key="target", allowed="a fraction above 0, at most 1")
    goals, pieces = targets_of(reports, runs), []
    for pair in _pairs(reports, runs, reference, against):
        row = headline(goals, pair.names["problem"]) or {"target": np.nan, "share": np.nan}
        asked = (row["target"], row["share"]) if target is None else (target, np.nan)
        pieces.append(_rows(pair, np.array([asked[0]], np.float64), np.array([asked[1]], np.float64)))
    return _table(pieces)


def speedup_curve(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", count: int = 40
) -> pd.DataFrame:
    """``speedup_table`` at ``count`` test accuracies a problem, evenly spaced.

    They run from a twentieth of the way between the targets' start and top to the top: the best median that
    any method came to. Of targets that a suite names, from the lowest to the highest.

    Raises InputError if the reference has no finished run on any problem.
    """
    goals, pieces = targets_of(reports, runs), []
    for pair in _pairs(reports, runs, reference, "seconds"):
        own = goals[goals["problem"] == pair.names["problem"]]
        if len(own):
            start, top = float(own["start"].iloc[0]), float(own["top"].iloc[0])
            first, last = start + 0.05 * (top - start), top
            if np.isnan(start):
                first, last = float(own["target"].min()), float(own["target"].max())
            at = np.unique(np.linspace(first, last, count))
            pieces.append(_rows(pair, at, np.full(len(at), np.nan)))
    return _table(pieces)
