"""Exact regret on the problem whose best schedule is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..stats.curves import by_problem, curves_of
from ..stats.frames import complete
from ..stats.intervals import median_interval
from ..stats.regret import with_regret
from .studies import Study, markdown, worth

AT = (5, 20, 50, 100)  # trainings' worth
NEAR = 0.01  # regret


def numbers(folder: Path) -> dict[str, Any]:
    """Regret of each method's answer by trainings spent, and when it is below ``NEAR`` for good."""
    study = Study.of(folder)
    table = regrets(study)
    order = table.sort_values(f"median {AT[-1]}", kind="stable")
    best = [str(name) for name in order.index]
    cell = {
        name: {
            "end": float(row[f"median {AT[-1]}"]), "low": float(row[f"low {AT[-1]}"]),
            "high": float(row[f"high {AT[-1]}"]),
            "below_cosine": float(row["below_cosine"]), "ends_below_cosine": float(row["ends_below_cosine"]),
        }
        for name, row in order.iterrows()
    }  # fmt: skip
    rows = [
        [
            study.looks.label(name),
            *(_thousandths(row[f"median {at}"]) for at in AT[:-1]),
            f"{1000 * row[f'median {AT[-1]}']:.2f} ({1000 * row[f'low {AT[-1]}']:.2f} to "
            f"{1000 * row[f'high {AT[-1]}']:.2f})",
            worth(row["near"]),
        ]
        for name, row in ((str(name), order.loc[name]) for name in best)
    ]
    headings = ["thousandths of the loss", *(f"after {at} trainings" for at in AT[:-1]),
                f"after {AT[-1]}: median (95 % interval)", f"trainings to {1000 * NEAR:.0f}"]  # fmt: skip
    return {
        "seeds": study.seeds, "least": float(study.runs["least_expected_loss"].dropna().iloc[0]),
        "best": best, "of": cell, "table": markdown(headings, rows), "commits": study.commits,
    }  # fmt: skip


def regrets(study: Study) -> pd.DataFrame:
    """A row a method: median regret with its interval after each of ``AT``; trainings to ``NEAR``.

    ``below_cosine``: the median of the trainings until its regret is for good below the cosine's, infinite
    for never; ``ends_below_cosine``: percent of the seeds whose answer is.
    """
    (problem,) = study.problems
    reports = with_regret(study.reports, study.runs)
    runs, horizon = complete(study.runs), study.horizon(problem)
    curves = by_problem(curves_of(reports, runs, "regret", "gradient_equivalents"))[problem]
    ends = [float(curve.at(np.array([np.inf]))[0]) for curve in curves.get("cosine", [])]
    cosine = float(np.median(ends)) if ends else np.nan
    rows = {}
    for method, own in curves.items():
        row: dict[str, float] = {}
        for at in AT:
            values = np.array([curve.at(np.array([at * horizon], float))[0] for curve in own])
            values = np.where(np.isnan(values), np.inf, values)
            low, high = median_interval(values)
            row |= {
                f"median {at}": float(np.median(values)),
                f"low {at}": float(low),
                f"high {at}": float(high),
            }
        row["near"] = float(np.median([_for_good(curve.times, curve.values) for curve in own])) / horizon
        below = [_for_good(curve.times, curve.values, cosine) for curve in own]
        row["below_cosine"] = float(np.median(below)) / horizon
        row["ends_below_cosine"] = 100 * float(np.isfinite(below).mean())
        rows[method] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _thousandths(regret: float) -> str:
    return f"{1000 * regret:.1f}" if np.isfinite(regret) else "nothing yet"


def _for_good(times: Any, values: Any, level: float = NEAR) -> float:
    """From when on a run's incumbents stay at or below a level; infinite for never."""
    above = np.flatnonzero(~(values <= level))  # nothing reported is above
    if not len(above):
        return 0.0
    after = above[-1] + 1
    return float(times[after]) if after < len(times) else np.inf
