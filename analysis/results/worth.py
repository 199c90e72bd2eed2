"""What hypergradients are worth in single precision, as horizons and learning rates grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..stats.conditioning import conditioned
from .studies import Study, markdown


def numbers(folder: Path) -> dict[str, Any]:
    """By learning rate and horizon: growth of differences, agreement after a rounding, how many are sound."""
    study = Study.of(folder)
    table = conditioned(study.reports)
    found = {problem: _of(table[table["problem"] == problem]) for problem in study.problems}
    rows = [
        [
            problem.rpartition("-")[2], problem.rpartition("-")[0], f"{one['growth']:.2g}",
            f"{one['signs']:.0f}", f"{one['cosine']:.2f}", f"{one['ill']:.0f}",
        ]
        for problem, one in found.items()
    ]  # fmt: skip
    headings = ["steps", "learning rate", "growth of differences", "signs that agree (%)", "cosine",
                "called ill conditioned (%)"]  # fmt: skip
    return {"seeds": study.seeds, "commit": study.commit, "of": found, "table": markdown(headings, rows)}


def _of(own: pd.DataFrame) -> dict[str, float]:
    """Medians over seeds; ``signs`` and ``ill`` are means over them, in percent."""
    return {
        "growth": float(own["growth"].median()), "signs": 100 * float(own["signs"].mean()),
        "cosine": float(own["cosine"].median()), "ill": 100 * float((own["soundness"] != "ok").mean()),
    }  # fmt: skip
