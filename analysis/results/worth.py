"""What hypergradients are worth in single precision, as horizons and learning rates grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpobench_fds.soundness import ILL, noise

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
            f"{one['signs']:.0f}", f"{one['cosine']:.2f}", f"{one['noise']:.0f}", f"{one['grown']:.0f}",
        ]
        for problem, one in found.items()
    ]  # fmt: skip
    headings = ["steps", "learning rate", "growth of differences", "signs that agree (%)", "cosine",
                "noise (%)", "called so by growth (%)"]  # fmt: skip
    return {"seeds": study.seeds, "commit": study.commit, "of": found, "table": markdown(headings, rows)}


def _of(own: pd.DataFrame) -> dict[str, float]:
    """Medians over seeds; in percent ``signs``, their mean, and shares of the seeds: ``noise``, where the two
    hypergradients agree as chance would have it, and ``grown``, where growth alone calls them so.
    """
    apart = [  # one without a twin has no agreement, and was called what it is
        noise(signs, cosine) if np.isfinite(signs) else kind != "ok"
        for signs, cosine, kind in zip(own["signs"], own["cosine"], own["soundness"], strict=True)
    ]
    return {
        "growth": float(own["growth"].median()), "signs": 100 * float(own["signs"].mean()),
        "cosine": float(own["cosine"].median()), "noise": 100 * float(np.mean(apart)),
        "grown": 100 * float((own["growth"] >= ILL).mean()),
    }  # fmt: skip
