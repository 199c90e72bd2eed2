"""How far exact ways to one hypergradient agree: forward mode and reverse mode, in the run's own precision.

From any suite that runs several exact methods on one problem. Methods that step by the hypergradient's sign
go the same way until a sign differs, so that whole runs can be compared, outer step by outer step.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from .frames import CELL, Floats, flag, has_hypergradient
from .schedules import groups

METRICS = ("relative", "signs")
COLUMNS = ["problem", "seed", "report", "one", "other", "steps", "hyperparameter", "windows", *METRICS]
TABLE_COLUMNS = ["problem", "report", "hyperparameter", "metric", "low", "median", "high", "pairs"]


def trusted_first(row: dict[Any, Any]) -> tuple[int, str]:
    """Sorts exact methods' reports: fewest products first, since each adds its rounding; then by name.

    Reverse mode takes one product a step for all hyperparameters, forward mode one for each of them.
    """
    return int(row["products"]), str(row["method"])


def differences(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of runs, outer step and hyperparameter, wherever both had the same schedule and horizon.

    Returns
    -------
    one, other : the two methods, the one to be trusted more last. steps : inner steps of that outer step.
    windows : of the hyperparameter.
    relative : |a - b| / |b| over them, Euclidean, b being the other's; 0 if they are equal.
    signs : share of windows with the same sign, zero being a sign of its own.
    """
    steps = reports.groupby(CELL)["inner_steps"].diff().fillna(reports["inner_steps"])
    own = reports.assign(steps=steps.astype(int))
    own = own[flag(own, "exact") & has_hypergradient(own)]
    same = ["problem", "seed", "report", "steps", "training"]
    own = own.assign(training=own["schedule"].map(tuple))
    own = own[own.duplicated(same, keep=False)]
    rows: list[dict[str, Any]] = []
    for key, cells in own.groupby(same, sort=True):
        there = sorted(cells.to_dict("records"), key=trusted_first, reverse=True)
        where = dict(zip(same[:-1], key[:-1], strict=True))
        for one, other in combinations(there, 2):
            rows += [{**where, **found} for found in _compared(one, other)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(one: dict[Any, Any], other: dict[Any, Any]) -> list[dict[str, Any]]:
    found = []
    for name, positions in groups(one["schedule_names"]).items():
        mine, its = (np.asarray(row["hypergradient"], np.float64)[positions] for row in (one, other))
        found.append({
            "one": one["method"], "other": other["method"], "hyperparameter": name, "windows": len(mine),
            **compare(mine, its),
        })  # fmt: skip
    return found


def compare(a: Floats, b: Floats) -> dict[str, float]:
    """Relative difference and share of equal signs of two vectors."""
    apart, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    return {
        "relative": 0.0 if apart == 0 else apart / size if size > 0 else np.inf,
        "signs": float(np.mean(np.sign(a) == np.sign(b))),
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Median and range over pairs and seeds of each metric, by problem, outer step and hyperparameter."""
    rows = []
    for key, own in table.groupby(["problem", "hyperparameter", "report"], sort=False):
        for metric in METRICS:
            values = own[metric].to_numpy(np.float64)
            row = (float(values.min()), float(np.median(values)), float(values.max()), len(values))
            rows.append((key[0], key[2], key[1], metric, *row))
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)
