"""What hypergradients hold and cost, as the engine's benchmarks recorded it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..stats.engine_tables import load_engine
from .studies import markdown

MODES = {"forward": "forward", "checkpointed": "reverse, checkpointed", "full": "reverse, full"}


def numbers(folder: Path) -> dict[str, Any]:
    """Of ``tables.json``, which benchmarks/engine writes.

    Returns
    -------
    ``vectors`` of parameters held by mode at the shortest and the longest of ``horizons``; trainings' worth
    of a checkpointed reverse hypergradient, ``least`` and ``most`` over models and hyperparameters; by model
    what a further hyperparameter costs in forward mode, ``tangent``, between the fewest and the most, and
    from how many on reverse mode is cheaper, ``crossing``; ``every``: a rate for each step; ``jax``: a table
    of ours beside it, and the ``least`` and ``most`` of our time over its.
    """
    tables, where = load_engine(folder)
    memory, cost = tables["horizon"], tables["hyperparameters"]
    horizons = [int(memory["horizon"].min()), int(memory["horizon"].max())]
    vectors = {
        short: [_vectors(memory, mode, horizon) for horizon in horizons] for short, mode in MODES.items()
    }
    reverse = cost[cost["mode"] == MODES["checkpointed"]]["trainings"]
    rest = json.loads((folder / "tables.json").read_bytes())["tables"]
    (every,) = rest["A learning rate for every step"]
    return {
        "where": where, "horizons": horizons, "vectors": vectors,
        "least": float(reverse.min()), "most": float(reverse.max()),
        "of": {str(model): _lines(own) for model, own in cost.groupby("model", sort=False)},
        "every": {"hyperparameters": every["hyperparameters"], "trainings": every["trainings"]},
        "jax": _beside_jax(rest["Beside JAX"]),
    }  # fmt: skip


def _vectors(memory: pd.DataFrame, mode: str, horizon: int) -> float:
    own = memory[(memory["mode"] == mode) & (memory["horizon"] == horizon)]
    return float(own["parameter_vectors"].iloc[0])


def _lines(cost: pd.DataFrame) -> dict[str, float]:
    """Forward mode's line against the level of reverse mode, of one model."""
    forward = cost[cost["mode"] == MODES["forward"]].sort_values("hyperparameters")
    count, trainings = (forward[name].to_numpy(float) for name in ("hyperparameters", "trainings"))
    slope = float((trainings[-1] - trainings[0]) / (count[-1] - count[0]))
    level = float(cost.loc[cost["mode"] == MODES["checkpointed"], "trainings"].median())
    above = np.flatnonzero(trainings > level)
    if not len(above) or above[0] == 0:
        crossing = count[0] if len(above) else np.inf
    else:
        crossing = np.interp(
            level, trainings[above[0] - 1 : above[0] + 1], count[above[0] - 1 : above[0] + 1]
        )
    return {"tangent": slope, "crossing": float(crossing), "level": level}


def _beside_jax(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Ours beside jitted JAX: a row a model, mode and number of threads."""
    lines = [
        [
            f"{row['model']}, {row['mode']}", str(row["threads"]), f"{row['ours_ms']:.0f}",
            f"{row['jax_ms']:.0f}", f"{row['ratio']:.2f}", f"{row['jax_first_call_s']:.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    headings = ["", "threads", "ours (ms)", "JAX (ms)", "ratio", "JAX's first call (s)"]
    ratios = [float(row["ratio"]) for row in rows]
    return {
        "table": markdown(headings, lines), "least": min(ratios), "most": max(ratios),
        "slower": sum(ratio > 1 for ratio in ratios), "rows": len(ratios),
    }  # fmt: skip
