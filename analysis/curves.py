"""From reports to numbers: step curves of the incumbent, their bands over seeds, times to a target.

The rules, for every figure and table:

* A curve is a right-continuous step function. It starts at 0 with "nothing reported" (NaN), jumps at
  each incumbent to that incumbent's value, and holds. Only incumbents move it, even where another
  report has the better test accuracy: validation chooses, test only reports.
* A seed that has not reported yet counts as the worst possible value, not as absent. Were it left out,
  a method would look the better the fewer of its seeds got anywhere (survivor bias).
* A failed run keeps the curve it had and holds it to its budget. It is never dropped.
* A run still under way, or interrupted, says nothing about its method yet: ``settled`` leaves it out.
* A run that was skipped, since its method cannot run on that problem, is no run: left out as well.

Accuracies are fractions in [0, 1], losses nats, times seconds of the method's fair clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hpobench_fds.errors import InputError

Floats = npt.NDArray[np.float64]

CELL = ["problem", "method", "seed"]
"""What names one run; ``anytime`` yields one curve for each."""


@dataclass(frozen=True)
class Metric:
    """A measured quantity: how it is named, which way is better, what counts as the worst."""

    label: str
    higher_is_better: bool

    @property
    def worst(self) -> float:
        return 0.0 if self.higher_is_better else float("inf")

    def reached(self, values: Floats, target: float) -> npt.NDArray[np.bool_]:
        """Where values are at least as good as the target; NaN never is."""
        return values >= target if self.higher_is_better else values <= target


METRICS = {
    "test_accuracy": Metric("test accuracy", True),
    "val_accuracy": Metric("validation accuracy", True),
    "test_loss": Metric("test loss (nats)", False),
    "val_loss": Metric("validation loss (nats)", False),
}
AXES = {
    "seconds": "wall-clock of the method (s)",
    "inner_steps": "inner steps",
    "gradient_equivalents": "gradient evaluations or their equivalent",
}
_BUDGET = {"seconds": "budget_seconds", "inner_steps": "budget_steps"}


def metric_of(name: str) -> Metric:
    """The metric of that name."""
    if name not in METRICS:
        raise InputError(f"unknown metric {name!r}", allowed=METRICS)
    return METRICS[name]


def check_axis(against: str) -> str:
    """The axis's name, if there is one of that name."""
    if against not in AXES:
        raise InputError(f"unknown axis {against!r}", key="against", allowed=AXES)
    return against


def numbers(column: pd.Series[Any]) -> Floats:
    """A column as floats; what was not recorded becomes NaN."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def split(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(problem, method, their rows), in the order of appearance."""
    for (problem, method), rows in frame.groupby(["problem", "method"], sort=False):
        yield str(problem), str(method), rows


def settled(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the runs that came to an end, complete or failed; works on reports and on runs."""
    rows = frame[frame["status"].isin(["complete", "failed"])]
    return rows[~_skipped(rows)] if "stopped" in rows else rows


def skipped(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of the runs whose method cannot run on their problem; ``reason`` says why."""
    return runs[_skipped(runs)]


def _skipped(runs: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return (runs["stopped"] == "skipped").to_numpy(dtype=bool, na_value=False)


def anytime(
    reports: pd.DataFrame,
    metric: str = "test_accuracy",
    against: str = "seconds",
    runs: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Step curve of the incumbent of every run.

    Parameters
    ----------
    reports : frame with REPORT_COLUMNS.
    metric : test_accuracy, val_accuracy, test_loss or val_loss.
    against : seconds, inner_steps or gradient_equivalents.
    runs : frame with RUN_COLUMNS. Give it, or a run that failed before its first report is not seen.

    Returns
    -------
    Columns problem, method, seed, at, value, in the order of the runs (without them, of the reports).
    Each run's first row is (0, NaN); an incumbent whose metric was not measured is NaN as well.
    """
    metric_of(metric)
    check_axis(against)
    for frame in [reports] if runs is None else [reports, runs]:
        _one_suite(frame)
    cells = pd.concat([frame[CELL] for frame in (runs, reports) if frame is not None]).drop_duplicates()
    start = cells.assign(report=-1, at=0.0, value=np.nan)
    rows = reports[reports["incumbent"].astype(bool)]
    jumps = rows[[*CELL, "report"]].assign(at=numbers(rows[against]), value=numbers(rows[metric]))
    curves = pd.concat([start, jumps] if len(jumps) else [start], ignore_index=True)
    curves["cell"] = pd.MultiIndex.from_frame(cells).get_indexer(pd.MultiIndex.from_frame(curves[CELL]))
    curves = curves.sort_values(["cell", "report"], kind="stable", ignore_index=True)
    return curves.drop(columns=["cell", "report"])


def _one_suite(frame: pd.DataFrame) -> None:
    """Two suites may use one name for two problems; mixing them would mix their curves."""
    suites = frame[["suite", *CELL]].drop_duplicates()
    twice = suites[suites.duplicated(CELL)]
    if len(twice):
        cell = " / ".join(str(x) for x in twice.iloc[0][CELL])
        raise InputError(f"{cell} stands in several suites", allowed="one suite at a time")


def ends(runs: pd.DataFrame, against: str = "seconds") -> pd.Series[float]:
    """Where each run's curve is censored, indexed by (problem, method, seed).

    A run that came to an end, by failing or otherwise, would have reached nothing more before its
    budget: the budget, or what it used if that is more. With no budget on this axis, what it used.
    An unfinished run is known only up to what it has used.
    """
    used = numbers(runs[check_axis(against)])
    limit = numbers(runs[_BUDGET[against]]) if against in _BUDGET else np.full(len(runs), np.nan)
    limit = np.where(runs["status"].isin(["complete", "failed"]), limit, np.nan)
    index = pd.MultiIndex.from_frame(runs[CELL])
    return pd.Series(np.fmax(used, limit), index=index, name="end").sort_index()


def on_grid(curve: pd.DataFrame, grid: Floats) -> Floats:
    """One run's curve at the given times; NaN before its first report."""
    return _held(curve["at"].to_numpy(np.float64), curve["value"].to_numpy(np.float64), grid)


def _held(at: Floats, value: Floats, grid: Floats) -> Floats:
    # side="right": at the very time of a report its value already holds.
    index = np.searchsorted(at, grid, side="right") - 1
    return np.where(index >= 0, value[np.maximum(index, 0)], np.nan)


def by_seed(curves: pd.DataFrame) -> list[tuple[Floats, Floats]]:
    """(times, values) of each run of one method on one problem, seeds ascending."""
    seed = curves["seed"].to_numpy()
    order = np.argsort(seed, kind="stable")
    at, value = (curves[name].to_numpy(np.float64)[order] for name in ("at", "value"))
    cuts = np.flatnonzero(np.diff(seed[order])) + 1
    return list(zip(np.split(at, cuts), np.split(value, cuts), strict=True))


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
def _median_law(n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
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


def event_times(curves: pd.DataFrame) -> Floats:
    """Every time at which one of the curves jumps: the grid on which steps are exact."""
    return np.unique(curves["at"].to_numpy(np.float64))


Spread = Literal["interval", "quartiles"]


def band(
    curves: pd.DataFrame, grid: Floats, metric: str = "test_accuracy", spread: Spread = "interval"
) -> pd.DataFrame:
    """Median and band over the seeds of one method on one problem.

    The band is the 95 % bootstrap interval of the median (``median_interval``; NaN with a single seed), or
    what lies between the quartiles of the seeds.

    A seed without a report counts as worse than any value. The median is NaN where it would fall on
    such a seed (or between one and a number), that is until more than half of all seeds, failed ones
    included, have reported. A band's edge that falls there is the metric's worst (accuracy 0, infinite
    loss).

    Returns
    -------
    Columns at, median, low, high (``low`` < ``high`` in value, whichever is better), seeds, reported.
    """
    kind = metric_of(metric)
    every = np.stack([_held(at, value, grid) for at, value in by_seed(curves)])
    reported = np.isfinite(every)
    filled = np.where(reported, every, -np.inf if kind.higher_is_better else np.inf)
    median = quantile(filled, 0.5)
    defined = np.isfinite(median)
    if spread == "interval":
        edges = list(median_interval(filled))
    else:
        edges = [quantile(filled, q) for q in (0.25, 0.75)]
    edges = [np.where(np.isinf(edge), kind.worst, edge) for edge in edges]
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


def time_to_target(
    curve: pd.DataFrame, target: float, end: float, metric: str = "test_accuracy"
) -> tuple[float, bool]:
    """When one run's incumbent is first at least as good as the target.

    Returns
    -------
    (time, True), or (end, False) where it never is: its true time is more than ``end``.
    """
    (time,) = times_to_targets(curve, np.array([target], np.float64), metric)
    return (float(time), True) if np.isfinite(time) else (float(end), False)


def times_to_targets(curve: pd.DataFrame, targets: Floats, metric: str = "test_accuracy") -> Floats:
    """When one run's incumbent is first at least as good as each target; infinite where it never is."""
    at, value = curve["at"].to_numpy(np.float64), curve["value"].to_numpy(np.float64)
    return first_times(at, value, targets, metric)


def first_times(at: Floats, value: Floats, targets: Floats, metric: str) -> Floats:
    """``times_to_targets`` of a curve that is given as arrays."""
    sign = 1.0 if metric_of(metric).higher_is_better else -1.0
    best = np.maximum.accumulate(np.where(np.isnan(value), -np.inf, sign * value))
    first = np.searchsorted(best, sign * targets, side="left")
    # -inf stands for no value at all, which reaches nothing; a NaN target is not reached either.
    hit = (first < len(at)) & (best[np.minimum(first, len(at) - 1)] > -np.inf) & ~np.isnan(targets)
    return np.where(hit, at[np.minimum(first, len(at) - 1)], np.inf)


def last_values(curves: pd.DataFrame) -> pd.Series[float]:
    """Value of each run's last incumbent, indexed by (problem, method, seed); NaN if it had none."""
    return curves.groupby(CELL)["value"].agg(lambda values: values.iloc[-1])
