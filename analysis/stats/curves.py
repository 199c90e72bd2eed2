"""From reports to step curves of the incumbent, one a run.

The rules, for every figure and table:

* A curve is a right-continuous step function. It starts at 0 with "nothing reported" (NaN), jumps at
  each incumbent to that incumbent's value, and holds. Only incumbents move it, even where another
  report has the better test accuracy: validation chooses, test only reports.
* A failed run keeps the curve it had. No figure of curves drops it; times to targets have no place for it,
  and say so (``speedup``).
* Where it ends a curve is censored: what it would have reached later is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from hpobench_fds.errors import InputError

from .frames import CELL, Floats, numbers


@dataclass(frozen=True)
class Metric:
    """A measured quantity: how it is named, and which way is better."""

    label: str
    higher_is_better: bool


METRICS = {
    "test_metric": Metric("test accuracy", True),
    "val_metric": Metric("validation accuracy", True),
    "test_loss": Metric("test loss", False),
    "val_loss": Metric("validation loss", False),
    "regret": Metric("regret: excess expected loss", False),
}
AXES = {
    "seconds": "the method's clock (s)",
    "inner_steps": "inner steps (number)",
    "gradient_equivalents": "gradients (equivalents)",
}
_BUDGET = {
    "seconds": "budget_seconds", "inner_steps": "budget_steps",
    "gradient_equivalents": "budget_gradient_equivalents",
}  # fmt: skip


def metric_of(name: str) -> Metric:
    """The metric of that name. Raises InputError if there is none."""
    if name not in METRICS:
        raise InputError(f"unknown metric {name!r}", allowed=METRICS)
    return METRICS[name]


def check_axis(against: str) -> str:
    """The axis's name. Raises InputError if there is none of that name."""
    if against not in AXES:
        raise InputError(f"unknown axis {against!r}", key="against", allowed=AXES)
    return against


class Cell(NamedTuple):
    """One run."""

    problem: str
    method: str
    seed: int


@dataclass(frozen=True, eq=False)
class Curve:
    """What one run's incumbent came to, as a step function of time.

    Attributes
    ----------
    times : [n] when it jumps, ascending from 0; seconds, inner steps or gradient equivalents.
    values : [n] what it jumps to; NaN before the first report, and where the metric was not measured.
    end : where it is censored, in the unit of ``times``.
    """

    cell: Cell
    times: Floats
    values: Floats
    higher_is_better: bool
    end: float

    def at(self, grid: Floats) -> Floats:
        """Its values at the given times; NaN before the first report."""
        # side="right": at the very time of a report its value already holds.
        index = np.searchsorted(self.times, grid, side="right") - 1
        return np.where(index >= 0, self.values[np.maximum(index, 0)], np.nan)

    def times_to(self, targets: Floats) -> Floats:
        """When it is first at least as good as each target; infinite where it never is."""
        sign = 1.0 if self.higher_is_better else -1.0
        best = np.maximum.accumulate(np.where(np.isnan(self.values), -np.inf, sign * self.values))
        first = np.searchsorted(best, sign * targets, side="left")
        inside = np.minimum(first, len(best) - 1)
        # -inf stands for no value at all, which reaches nothing; a NaN target is not reached either.
        hit = (first < len(best)) & (best[inside] > -np.inf) & ~np.isnan(targets)
        return np.where(hit, self.times[inside], np.inf)

    @property
    def last(self) -> float:
        """Value of the last incumbent; NaN without one."""
        return float(self.values[-1])


def curves_of(
    reports: pd.DataFrame, runs: pd.DataFrame, metric: str = "test_metric", against: str = "seconds"
) -> list[Curve]:
    """The curve of every one of these runs, in their order.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS; reports of other runs do not count.
    metric : a key of ``METRICS``.
    against : a key of ``AXES``.

    Raises
    ------
    InputError : no such metric or axis, or one cell in several suites.
    """
    better = metric_of(metric).higher_is_better
    check_axis(against)
    for frame in (reports, runs):
        _one_suite(frame)
    runs = runs.drop_duplicates(CELL)
    if runs.empty:
        return []
    jumps = reports[reports["incumbent"].astype(bool)]
    if metric.startswith("test") and "covered" in jumps:  # points between the retrained ones (``retrained``)
        jumps = jumps[jumps["retrained"].astype(bool) | ~jumps["covered"].astype(bool)]
    owner = pd.MultiIndex.from_frame(runs[CELL]).get_indexer(pd.MultiIndex.from_frame(jumps[CELL]))
    order = np.lexsort((jumps["report"].to_numpy(np.int64), owner))
    cuts = np.searchsorted(owner[order], np.arange(len(runs) + 1))
    at, value = numbers(jumps[against])[order], numbers(jumps[metric])[order]
    cells, stops = runs[CELL].itertuples(index=False), ends(runs, against)
    return [
        Curve(
            Cell(str(cell[0]), str(cell[1]), int(cell[2])),
            np.concatenate([[0.0], at[i:j]]), np.concatenate([[np.nan], value[i:j]]), better, float(end),
        )
        for cell, i, j, end in zip(cells, cuts[:-1], cuts[1:], stops, strict=True)
    ]  # fmt: skip


def _one_suite(frame: pd.DataFrame) -> None:
    """Two suites may use one name for two problems; mixing them would mix their curves."""
    suites = frame[["suite", *CELL]].drop_duplicates()
    twice = suites[suites.duplicated(CELL)]
    if len(twice):
        cell = " / ".join(str(x) for x in twice.iloc[0][CELL])
        raise InputError(f"{cell} stands in several suites", allowed="one suite at a time")


def ends(runs: pd.DataFrame, against: str = "seconds") -> Floats:
    """Where each run's curve is censored, in the order of the runs.

    A run that came to its own end would have reached nothing more before its budget: the budget, or what it
    used if that is more. With no budget on this axis, what it used. One that failed or is unfinished is known
    only up to what it has used: a crash after a second says nothing of the rest of the budget.
    """
    used = numbers(runs[check_axis(against)])
    limit = numbers(runs[_BUDGET[against]]) if against in _BUDGET else np.full(len(runs), np.nan)
    limit = np.where(runs["status"] == "complete", limit, np.nan)
    return np.fmax(used, limit)


def by_problem(curves: Iterable[Curve]) -> dict[str, dict[str, list[Curve]]]:
    """Problem, method: curves with seeds ascending; both in the order of appearance."""
    found: dict[str, dict[str, list[Curve]]] = {}
    for curve in curves:
        found.setdefault(curve.cell.problem, {}).setdefault(curve.cell.method, []).append(curve)
    for methods in found.values():
        for own in methods.values():
            own.sort(key=lambda curve: curve.cell.seed)
    return found


def event_times(curves: Iterable[Curve]) -> Floats:
    """Every time at which one of the curves jumps: the grid on which steps are exact."""
    return np.unique(np.concatenate([curve.times for curve in curves]))


def last_values(curves: Sequence[Curve]) -> Floats:
    """[curves] value of each last incumbent; NaN where there was none."""
    return np.array([curve.last for curve in curves], np.float64)


def last_incumbents(curves: Iterable[Curve], nothing: Mapping[str, float]) -> pd.DataFrame:
    """problem, method, seed, value of each run's last incumbent.

    A run without one was handed in empty: it has the accuracy ``nothing`` of guessing on its problem.
    """
    rows = [
        (*curve.cell, nothing.get(curve.cell.problem, 0.0) if np.isnan(curve.last) else curve.last)
        for curve in curves
    ]
    return pd.DataFrame(rows, columns=[*CELL, "value"])
