"""What recorded hypergradients are worth: by what differences grew on the way, and how many are noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import CELL

KINDS = ("ok", "ill conditioned", "overflow")
COLUMNS = [*CELL, "report", "soundness", "growth", "rate", "norm", "signs", "cosine"]


def conditioned(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a report that says what its hypergradient is worth: ``COLUMNS``, NaN for what it does not say.

    ``growth`` is a factor, ``rate`` its logarithm a step; ``signs`` is a share.
    """
    rows = []
    for row in reports.to_dict("records"):
        extra = row["extra"]
        told = extra.get("conditioning") if isinstance(extra, dict) else None
        if isinstance(told, dict) and told.get("soundness") in KINDS:
            values = [_number(told.get(name)) for name in COLUMNS[5:]]
            rows.append([*(row[name] for name in CELL), row["report"], told["soundness"], *values])
    return pd.DataFrame(rows, columns=COLUMNS)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else np.nan


def noisy(reports: pd.DataFrame) -> pd.DataFrame:
    """A row for each problem and method: ``hypergradients`` counted, shares ``ill`` and ``lost``, in [0, 1].

    ``growth`` is the median. None for a method whose hypergradients say nothing of their worth.
    """
    table = conditioned(reports)
    grouped = table.groupby(["problem", "method"], sort=False)
    return grouped.agg(
        hypergradients=("report", "size"),
        ill=("soundness", lambda kinds: float((kinds == "ill conditioned").mean())),
        lost=("soundness", lambda kinds: float((kinds == "overflow").mean())),
        growth=("growth", "median"),
    ).reset_index()
