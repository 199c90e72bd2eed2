"""How wrong truncated and greedy hypergradients are, as horizons grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..stats.frames import flag, has_hypergradient
from ..stats.schedules import groups
from ..stats.truncation import errors, summary
from .studies import Study, markdown

RATE = "lr"


def numbers(folder: Path) -> dict[str, Any]:
    """Median relative errors of the learning rate's hypergradient; how its true length falls."""
    study = Study.of(folder)
    table = summary(errors(study.reports))
    own = table[(table["hyperparameter"] == RATE) & (table["metric"] == "relative")]
    horizons = sorted(int(h) for h in own["horizon"].unique())
    greedy = own[own["kind"] == "greedy"].set_index("horizon")["median"]
    rows = []
    for horizon in horizons:
        cut = own[(own["kind"] == "truncated") & (own["horizon"] == horizon)].sort_values("last")
        texts = (f"K = {row.last:.0f}: {row.median:.2f}" for row in cut.itertuples() if row.share < 1)
        rows.append([f"T = {horizon}", ", ".join(texts), f"{greedy[horizon]:.0f}"])
    lengths = true_lengths(study)
    return {
        "seeds": study.seeds, "commit": study.commit, "horizons": horizons,
        "table": markdown(["", "truncated to the last K steps", "greedy"], rows),
        "greedy": {h: float(greedy[h]) for h in horizons},
        "shrinks": lengths[horizons[0]] / lengths[horizons[-1]], "length": lengths,
        "grows": float(greedy[horizons[-1]] / greedy[horizons[0]]),
    }  # fmt: skip


def true_lengths(study: Study) -> dict[int, float]:
    """Horizon: the median length of the exact hypergradient of the learning rate."""
    first = study.reports[(study.reports["report"] == 0) & has_hypergradient(study.reports)]
    exact = first[flag(first, "exact")]
    found: dict[int, list[float]] = {}
    for row in exact.to_dict("records"):
        at = groups(row["schedule_names"])[RATE]
        length = float(np.linalg.norm(np.asarray(row["hypergradient"], float)[at]))
        found.setdefault(int(row["inner_steps"]), []).append(length)
    return {horizon: float(np.median(values)) for horizon, values in sorted(found.items())}
