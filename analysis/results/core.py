"""All methods on all problems of ``core.toml``: how soon, how far, and in both boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..stats.frames import complete
from ..stats.profiles import scores, times
from . import rivals
from .studies import NEVER, Study, beside, between, markdown, unsound

SHARES = (0.8, 0.95, 0.99)
BOXES = ("wide", "expert")
Reached = dict[float, dict[str, dict[str, float]]]  # share of the way, method: problems, trainings
Shares = dict[str, list[float]]  # method: of the way, on each problem
NOWHERE = {"problems": 0, "trainings": np.inf}  # of one that was skipped on all


def numbers(study: Study) -> dict[str, Any]:
    """Scores, times, ends, the floor and the boxes; what others have of FDS.

    Scores are of the primary curve, as the figures of profiles have it; times of the weights in hand.
    """
    gradients, seconds = (
        scores(times(study.loaded.reports, study.runs, axis)).set_index("method")
        for axis in ("gradient_equivalents", "seconds")
    )
    reached, far = ({box: one(study, box) for box in ("", *BOXES)} for one in (reaches, shares))
    floor = rivals.floor(study)
    against = rivals.against(study)
    return {
        "seeds": study.seeds, "most_seeds": _most_seeds(study), "commits": study.commits,
        "problems": len(study.problems), "methods": len(study.methods), "cells": len(complete(study.runs)),
        "order": [str(m) for m in gradients.index],
        "labels": {m: study.looks.label(m) for m in study.methods},
        "score": {str(m): float(v) for m, v in gradients["score"].items()},
        "seconds": {str(m): float(v) for m, v in seconds["score"].items()},
        "table": _table(study, gradients, seconds, floor, reached[""], far[""]),
        "boxes": _boxes(study, reached, far),
        "reached": {str(share): own for share, own in reached[""].items()},
        "end": _medians(far[""]), "far": {box: _medians(far[box]) for box in BOXES},
        "floor": floor, "floor_table": rivals.floor_markdown(study, floor),
        "signs_lower": _lower(against.get("random_signs", {})),
        "against": against, "rivals": rivals.against_markdown(study, against),
        "lost": unsound(study), "pace": pace(study),
        "unsearched": next(m for m in map(str, gradients.index) if m not in study.searching),
    }  # fmt: skip


def _lower(own: dict[str, Any]) -> dict[str, int]:
    """Box: on how many of its problems a method ends lower than FDS."""
    points = own.get("points", {})
    return {box: sum(gap < 0 for p, gap in points.items() if p.endswith(box)) for box in BOXES}


def _medians(found: Shares) -> dict[str, float]:
    return {method: 100 * float(np.median(own)) for method, own in found.items()}


def pace(study: Study) -> dict[str, float]:
    """Method: seconds that it takes for a gradient over those of random search, in the median over problems.

    Below 1, a budget in gradients ends a search sooner than one in seconds would.
    """
    runs = study.runs
    return beside(runs.assign(each=runs["seconds"] / runs["gradient_equivalents"]), "each")


def _most_seeds(study: Study) -> int:
    return int(complete(study.runs)["seed"].nunique())


def _table(
    study: Study, gradients: pd.DataFrame, seconds: pd.DataFrame, floor: dict[str, Any], reached: Reached,
    far: Shares,
) -> str:  # fmt: skip
    """A row a method, the best score first."""
    gradients = gradients.rename(columns={"score": "median"})
    rows = [
        [
            study.looks.label(method), between(gradients.loc[method], 2),
            f"{seconds.loc[method, 'score']:.2f}", *(_reached(reached[share][method]) for share in SHARES),
            f"{100 * np.median(far[method]):.0f}", _beaten(floor, method),
        ]
        for method in gradients.index
    ]  # fmt: skip
    headings = ["", "score, gradients", "score, seconds", *(f"to {100 * share:.0f} %" for share in SHARES),
                "end, % of the way", "above the floor"]  # fmt: skip
    return markdown(headings, rows)


def reaches(study: Study, box: str = "") -> Reached:
    """Share of the way, method: on how many ``problems`` the median run comes there; ``trainings``, the
    median over all problems of its trainings' worth, never being infinite.
    """
    table = study.times[study.times["problem"].str.endswith(box)]
    found: Reached = {}
    for share in SHARES:
        own = table[np.isclose(table["share"], share)].groupby("method", sort=False)["median"]
        found[share] = {
            str(m): {"problems": int(np.isfinite(v).sum()), "trainings": float(np.median(v))} for m, v in own
        }
    return found


def _reached(own: dict[str, float]) -> str:
    """``5.2 (14)``: trainings' worth in the median over problems, and how many of them."""
    middle = f"{own['trainings']:.1f}" if np.isfinite(own["trainings"]) else NEVER
    return f"{middle} ({own['problems']})"


def shares(study: Study, box: str = "") -> Shares:
    """Method: on each problem the share of the way of its median retrained end.

    The way is that of retrained incumbents: from the initial schedule's to the best median.
    """
    found: Shares = {}
    for problem, (start, top) in study.ways.items():
        if problem.endswith(box):
            for method in study.methods:
                end = study.end(problem, method) / 100
                if np.isfinite(end):
                    found.setdefault(method, []).append((end - start) / (top - start))
    return found


def _beaten(floor: dict[str, Any], method: str) -> str:
    """``5 of 16``: problems on which it ends above the floor; empty of those that are the floor."""
    own = floor["of"].get(method)
    return f"{own['above']} of {own['problems']}" if own else ""


def _boxes(study: Study, reached: dict[str, Reached], far: dict[str, Shares]) -> str:
    """Methods that search, in the wide and in the expert's boxes: trainings to 95 %, ends."""
    rows = [
        [
            study.looks.label(method), *(_reached(reached[box][0.95].get(method, NOWHERE)) for box in BOXES),
            *(f"{100 * np.median(far[box].get(method, [np.nan])):.0f}" for box in BOXES),
        ]
        for method in study.searching
    ]  # fmt: skip
    headings = ["", *(f"to 95 %, {box}" for box in BOXES), *(f"end, % of the way, {box}" for box in BOXES)]
    return markdown(headings, rows)
