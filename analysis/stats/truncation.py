"""How wrong a hypergradient is that sees only the last K steps, or the next one alone, as horizons grow.

From suites in which every method takes one hypergradient of the same training (``truncation.toml``): the
first report of reverse mode through the whole horizon is the truth, seed by seed, so that no noise enters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .agreement import trusted_first
from .frames import Floats, flag, has_hypergradient
from .schedules import groups

LEAST = 3  # numbers of steps, the whole horizon among them, that make a curve

METRICS = ("relative", "cosine", "signs")
COLUMNS = ["problem", "method", "kind", "horizon", "last", "share", "hyperparameter", "seed", *METRICS]


def errors(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a run and hyperparameter: how its first hypergradient compares with the exact one of its seed.

    Returns
    -------
    kind : "truncated", or "greedy". The exact one stands among the truncated ones, with no error.
    horizon : inner steps of the training. last : K, the steps that were differentiated through, which is how
        many products the record counts. share : K / horizon. Both NaN where kind is greedy.
    relative : |h - exact| / |exact| over the hyperparameter's windows, Euclidean.
    cosine : of the angle between the two; NaN where h is zero.
    signs : share of windows with the same sign; zero is no sign, and agrees with nothing.

    Hypergradients of exactly zero, or of another schedule, cannot be compared and are left out.
    """
    first = reports[(reports["report"] == 0) & has_hypergradient(reports)]
    rows = []
    for (problem, seed), own in first.groupby(["problem", "seed"], sort=True):
        exact = min(own[flag(own, "exact")].to_dict("records"), key=trusted_first, default=None)
        if exact is None:
            continue
        for row in [exact, *own[flag(own, "truncated", "greedy")].to_dict("records")]:
            if list(row["schedule"]) == list(exact["schedule"]):
                rows += [{"problem": problem, "seed": seed, **found} for found in _compared(row, exact)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(row: dict[Any, Any], exact: dict[Any, Any]) -> list[dict[str, Any]]:
    """One run against the exact one, hyperparameter by hyperparameter."""
    horizon = round(int(row["inner_steps"]) / float(row["fidelity"]))
    greedy = bool(row["greedy"])
    last = float(row["products"]) if row["truncated"] else np.nan if greedy else float(horizon)
    found = []
    for name, positions in groups(row["schedule_names"]).items():
        h, truth = (np.asarray(r["hypergradient"], np.float64)[positions] for r in (row, exact))
        if not np.any(truth):
            continue
        found.append({
            "method": row["method"], "kind": "greedy" if greedy else "truncated", "horizon": horizon,
            "last": last, "share": last / horizon, "hyperparameter": name, **compare(h, truth),
        })  # fmt: skip
    return found


def compare(h: Floats, truth: Floats) -> dict[str, float]:
    """Relative error, cosine and share of equal signs of one vector and a true one that is not zero."""
    size, length = float(np.linalg.norm(truth)), float(np.linalg.norm(h))
    return {
        "relative": float(np.linalg.norm(h - truth)) / size,
        "cosine": float(h @ truth) / (length * size) if length > 0 else np.nan,
        "signs": float(np.mean(h * truth > 0)),
    }


TABLE_COLUMNS = ["problem", "kind", "horizon", "last", "share", "hyperparameter", "metric", "low", "median",
                 "high", "seeds"]  # fmt: skip


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over seeds of each metric, by problem, kind and K; two labels of one K are one."""
    rows = []
    keys = ["problem", "kind", "horizon", "hyperparameter", "last", "share"]
    once = table.drop_duplicates([*keys, "seed"])
    for key, own in once.groupby(keys, sort=False, dropna=False):
        for metric in METRICS:
            values = own[metric].dropna().to_numpy(np.float64)
            if len(values):
                low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
                rows.append({**dict(zip(keys, key, strict=True)), "metric": metric, "low": low,
                             "median": median, "high": high, "seeds": len(values)})  # fmt: skip
    return pd.DataFrame(rows, columns=TABLE_COLUMNS).sort_values(["horizon", "last"], kind="stable")
