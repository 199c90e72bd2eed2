"""Test accuracy at the end of equal budgets, against the number of hyperparameters.

From suites whose problems differ in nothing but that number, and say so by their names, which are the same
but for a number at the end: ``windows-1``, ``windows-3`` and so on (``dimension.toml``).
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .frames import complete, numbers
from .intervals import median_spread
from .targets import chance

LEAST = 3  # numbers of hyperparameters that make a curve
MEASURES = ("incumbent_test_metric", "final_test_metric")
COLUMNS = [
    "series", "problem", "hyperparameters", "method", "family", "measure", "median", "low", "high", "seeds",
]  # fmt: skip


def accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """Median over seeds with its interval or range, by number of hyperparameters, method and measure.

    The 95 % interval of the median from six seeds on, else the range of the seeds. A run that ended with
    nothing in hand counts as guessing, a failed one has none; a method without complete runs on a problem
    has no row there. ``series`` is what the problems' names have in common, and
    ``family`` the method's ("gradient", "black box", "baseline"). Accuracies are fractions.
    """
    done = complete(runs)
    done = done.assign(
        series=done["problem"].map(_series), hyperparameters=done["schedule_names"].map(np.size)
    )
    sizes = done.groupby("series")["hyperparameters"].transform("nunique")
    problems = done.groupby("series")["problem"].transform("nunique")
    own = done[(done["series"] != "") & (sizes >= LEAST) & (problems == sizes)]
    rows, guess = [], chance(done)
    keys = ["series", "problem", "hyperparameters", "method", "family"]
    for key, cells in own.groupby(keys, sort=False):
        for measure in MEASURES:
            values = numbers(cells[measure])
            values = np.where(np.isnan(values), guess[str(key[1])], values)
            low, high = (float(edge) for edge in median_spread(values))
            rows.append((*key, measure, float(np.median(values)), low, high, len(values)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _series(problem: str) -> str:
    """``windows`` of ``windows-81``; nothing of a name without a number at its end."""
    match = re.fullmatch(r"(.*?)[-_]?\d+", problem)
    return match[1] if match else ""


def overtaken(table: pd.DataFrame, measure: str = "incumbent_test_metric") -> pd.DataFrame:
    """Where each gradient-based method's median is above that of every black-box method.

    Returns
    -------
    series, method, ``above``: the numbers of hyperparameters at which it is, ascending; ``of``: all at which
    both kinds were run.
    """
    own, place = table[table["measure"] == measure], ["series", "hyperparameters"]
    best = own[own["family"] == "black box"].groupby(place, as_index=False)["median"].max()
    both = own[own["family"] == "gradient"].merge(best, on=place, suffixes=("", "_best"))
    both = both.sort_values("hyperparameters", kind="stable")
    rows = []
    for key, mine in both.groupby(["series", "method"], sort=False):
        above = mine.loc[mine["median"] > mine["median_best"], "hyperparameters"]
        rows.append((*key, above.tolist(), mine["hyperparameters"].tolist()))
    return pd.DataFrame(rows, columns=["series", "method", "above", "of"])
