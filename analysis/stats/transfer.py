"""What answers are worth when they are trained again: at home, over longer horizons, on other data."""

from __future__ import annotations

import pandas as pd


def by_method(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a method and target: over seeds, of each seed's mean over draws.

    ``median``, ``low``, ``high`` (the seeds' ends) and ``spread`` (the median over seeds of the standard
    deviation over draws that did not diverge) are in points of test accuracy, ``diverged`` a share of all
    retrainings.
    """
    points = rows.assign(accuracy=100.0 * rows["test_metric"])
    keys = ["target", "method"]
    seeds = points.groupby([*keys, "seed"], sort=False)["accuracy"].mean().groupby(keys, sort=False)
    sound = points[~points["diverged"]].groupby([*keys, "seed"], sort=False)["accuracy"].std()
    table = seeds.agg(median="median", low="min", high="max", seeds="size")
    table["spread"] = sound.groupby(keys, sort=False).median()
    table["diverged"] = points.groupby(keys, sort=False)["diverged"].mean()
    return table.reset_index()
