"""What every method spent until it stopped: time, steps, gradients, products, memory."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import CELL, numbers, settled

QUANTITIES = (
    "seconds", "inner_steps", "gradient_equivalents", "products", "equivalents_per_second", "training_share",
    "memory_bytes",
)  # fmt: skip
COLUMNS = ["problem", "method", "quantity", "median", "low", "high", "seeds"]


def per_run(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run: problem, method, seed, and the keys of ``QUANTITIES`` (NaN: not known).

    ``training_share`` is known of methods that use no gradients but training's: their inner steps at the
    pace of the leanest such run on the problem, over their clock. What is left of it went into validation
    and thinking. ``memory_bytes`` is the largest of the recorded peaks of the device, or, where none was
    recorded, of what the hypergradients held.
    """
    done = settled(runs)
    names = ("seconds", "inner_steps", "gradient_equivalents", "products")
    table = done[CELL].assign(**{name: numbers(done[name]) for name in names}).reset_index(drop=True)
    clock = table["seconds"].where(table["seconds"] > 0)
    table["equivalents_per_second"] = table["gradient_equivalents"] / clock
    searches = (done["family"] != "gradient").to_numpy()
    steps = table["inner_steps"].where(searches & (table["products"] == 0) & (table["inner_steps"] > 0))
    pace = (clock / steps).groupby(table["problem"]).transform("min")
    table["training_share"] = steps * pace / clock
    return table.merge(_memory(reports), how="left", on=CELL)


def _memory(reports: pd.DataFrame) -> pd.DataFrame:
    extra = reports["extra"].map(lambda e: e.get("hypergradient_bytes") if isinstance(e, dict) else None)
    peak = pd.Series(numbers(reports["peak_memory"]), index=reports.index)
    held = pd.Series(numbers(extra), index=reports.index)
    table = reports[CELL].assign(peak=peak, held=held).groupby(CELL, as_index=False).max()
    table["memory_bytes"] = table["peak"].where(table["peak"] > 0, table["held"])
    return table[[*CELL, "memory_bytes"]]


def spent(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Median over seeds and range of every quantity that is known: ``COLUMNS``, in recorded units."""
    table, rows = per_run(reports, runs), []
    for (problem, method), own in table.groupby(["problem", "method"], sort=False):
        for name in QUANTITIES:
            values = own[name].to_numpy(np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                row = (float(np.median(values)), float(values.min()), float(values.max()), len(values))
                rows.append((problem, method, name, *row))
    return pd.DataFrame(rows, columns=COLUMNS)
