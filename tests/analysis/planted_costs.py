"""Planted results for the tests of costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from fabricate import Results


def spending(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FDS with products and memory; random search at 100 steps a second; TPE at half of that pace."""
    for seed in range(3):
        results.add("fds", seed, [(10, 0.9)], used=100.0)
        results.add("random_search", seed, [(10, 0.9)], used=100.0)
        results.add("tpe", seed, [(10, 0.9)], used=200.0)
    reports, runs = results.both
    runs["inner_steps"] = np.where(runs["method"] == "fds", 1000, 10_000 + runs["seed"])
    runs["products"] = np.where(runs["method"] == "fds", 9000, 0)
    runs["gradient_equivalents"] = 12_000.0
    extra: list[dict[str, Any]] = [
        {"hypergradient_bytes": 5_000_000 + s} if m == "fds" else {}
        for m, s in zip(reports["method"], reports["seed"], strict=True)
    ]
    return reports.assign(extra=extra), runs
