"""Time to beat the floor: what each method that searches gains over the best of those that search nothing.

The floor of a problem is one of the methods that search nothing (the trait ``searches``), such as one
training at a library's defaults: that with the highest median last value, a failed or empty-handed run
being the worst there is. The level is that median, and is taken as it was found. A run beats the floor when
its incumbent's test metric is first above the level; one that never is, is censored at its budget: its time
is known to be more. A run that failed says nothing of the time that it would have needed.

Times have intervals of their median from order statistics, which hold together over the problem's methods
that search (Bonferroni). That a method beats the floor is claimed by a signed-rank test of its last values
against the floor's, seed by seed, with Holm's correction over all problems and methods, from ``LEAST``
common seeds on. Which method is the floor was the data's choice, and to its advantage: so nothing is
claimed to be worse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .comparisons import holm, paired_p
from .curves import Curve, by_problem, curves_of, last_values
from .frames import Floats, complete, failures, flag, settled
from .intervals import LEAST, LEVEL, bounds_interval, median_spread, quantile
from .speedup import times_of
from .targets import chance

COLUMNS = [
    "problem", "floor", "floors", "level", "level_low", "level_high", "floor_seeds", "floor_seconds",
    "method", "n_seeds", "n_above", "n_failed", "seconds", "bound", "low", "high", "least", "most",
    "rivals", "n_common", "p", "compared", "outcome",
]  # fmt: skip


def floor_table(reports: pd.DataFrame, runs: pd.DataFrame, against: str = "seconds") -> pd.DataFrame:
    """A row a problem and method that searches; none of a problem without a floor.

    Parameters
    ----------
    against : what time is, a key of ``curves.AXES``; the columns speak of seconds whatever it is.

    Returns
    -------
    floor, of ``floors`` methods that search nothing; level, its median last test metric (higher is better),
    with its interval or, below six seeds, range, and over how many seeds; floor_seconds, the median of its
    time. seconds, the median time to beat the level, and bound: "" if it is a number, ">" if it is a lower
    one, since the median run never does, "?" without a complete run; low and high, its simultaneous 95 %
    interval (NaN with too few seeds, high infinite without an upper end); least and most, the range of the
    seeds' times; n_above of n_seeds complete runs beat it, n_failed failed. compared, over how many tests p
    is corrected; outcome: "above", "undecided", or "few" of fewer than six common seeds, by p, which is
    corrected.

    Raises InputError for an axis that there is not.
    """
    done, rows, guess = settled(runs), list[dict[str, Any]](), chance(runs)
    curves = by_problem(curves_of(reports, complete(runs), against=against))
    for problem in dict.fromkeys(done["problem"]):
        own = curves.get(str(problem), {})
        rows += _rows(str(problem), done[done["problem"] == problem], own, guess[str(problem)])
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["p"] = holm(table["p"].to_numpy(np.float64))
    table["compared"] = len(table)
    few, told = table["n_common"] < LEAST, table["p"] < LEVEL
    table["outcome"] = np.select([few, told & table["outcome"].eq("above")], ["few", "above"], "undecided")
    return table


def _rows(
    problem: str, done: pd.DataFrame, curves: dict[str, list[Curve]], guess: float
) -> list[dict[str, Any]]:
    methods = done.drop_duplicates("method")
    searches = dict(zip(map(str, methods["method"]), flag(methods, "searches"), strict=True))
    floors = [method for method, one in searches.items() if not one]
    lost = failures(done)
    medians = {m: _median(curves.get(m, []), lost.get(m, (0, 0))[0]) for m in floors}
    floor = max(medians, key=lambda m: medians[m], default="")
    if not floor or not np.isfinite(medians[floor]):
        return []
    own = last_values(curves[floor])
    level, (low, high) = medians[floor], median_spread(own[np.isfinite(own)])
    common = {
        "problem": problem, "floor": floor, "floors": len(floors), "level": level,
        "level_low": float(low), "level_high": float(high), "floor_seeds": len(own),
        "floor_seconds": float(np.median([curve.times[-1] for curve in curves[floor]])),
        "rivals": sum(searches.values()),
    }  # fmt: skip
    seeds = _lasts(curves[floor], guess)
    return [
        {**common, "method": m, "n_failed": lost.get(m, (0, 0))[0], **_times(curves.get(m, []), common),
         **_gained(_lasts(curves.get(m, []), guess), seeds)}
        for m, one in searches.items() if one
    ]  # fmt: skip


def _median(curves: list[Curve], failed: int) -> float:
    values = np.append(last_values(curves), np.full(failed, -np.inf))
    return float(quantile(np.where(np.isnan(values), -np.inf, values), 0.5)) if len(values) else -np.inf


def _times(curves: list[Curve], common: dict[str, Any]) -> dict[str, Any]:
    """When the runs of one method were first above the level."""
    if not curves:
        nothing = dict.fromkeys(("seconds", "low", "high", "least", "most"), np.nan)
        return {**nothing, "bound": "?", "n_seeds": 0, "n_above": 0}
    above = np.array([np.nextafter(common["level"], np.inf)], np.float64)
    times = times_of(curves, above)
    least, most = times.least[0], times.most[0]
    median, upper = float(quantile(least, 0.5)), float(quantile(most, 0.5))
    low, high = bounds_interval(least, most, 1 - LEVEL / common["rivals"])
    return {
        "seconds": median, "bound": "" if upper == median else ">", "low": float(low), "high": float(high),
        "least": float(least.min()), "most": float(most.max()), "n_seeds": len(curves),
        "n_above": int(times.reached.sum()),
    }  # fmt: skip


def _lasts(curves: list[Curve], guess: float) -> dict[int, float]:
    """Last values by seed; a run that ended with nothing in hand has that of guessing."""
    return {c.cell.seed: c.last if np.isfinite(c.last) else guess for c in curves}


def _gained(own: dict[int, float], floor: dict[int, float]) -> dict[str, Any]:
    """The test of last values against the floor's, on the seeds that both have."""
    gains: Floats = np.array([own[seed] - floor[seed] for seed in own if seed in floor], np.float64)
    few = len(gains) < LEAST
    outcome = "above" if len(gains) and np.median(gains) > 0 else "undecided"
    return {"n_common": len(gains), "p": 1.0 if few else paired_p(gains), "outcome": outcome}
