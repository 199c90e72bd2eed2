"""All methods on all problems of ``core.toml``: how soon, how far, beside the floor, in both boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..stats.effects import effects
from ..stats.floor import floor_table
from ..stats.frames import complete, flag
from ..stats.profiles import scores, times
from ..stats.targets import ways
from .studies import Study, between, markdown, unsound, worth

SHARES = (0.8, 0.95, 0.99)
BOXES = ("wide", "expert")


def numbers(folder: Path) -> dict[str, Any]:
    """Scores, times, ends, the floor and the boxes; what rivals have of FDS."""
    study = Study.of(folder)
    gradients = scores(times(study.reports, study.runs, "gradient_equivalents")).set_index("method")
    seconds = scores(times(study.reports, study.runs)).set_index("method")
    floors = floor_table(study.reports, study.runs)
    reached, far = reaches(study), shares(study)
    rows = []
    for method in gradients.index:
        own = gradients.loc[method]
        rows.append([
            study.looks.label(method), between({**own, "median": own["score"]}, 2),
            f"{seconds.loc[method, 'score']:.2f}",
            *(f"{reached[share][method][0]}" for share in SHARES),
            *(worth(reached[share][method][1]) for share in SHARES), f"{100 * np.median(far[method]):.0f}",
            _beaten(floors, method),
        ])  # fmt: skip
    headings = ["", "score, gradients", "score, seconds", *(f"problems at {100 * s:.0f} %" for s in SHARES),
                *(f"trainings to {100 * s:.0f} %" for s in SHARES), "end, % of the way",
                "floor beaten"]  # fmt: skip
    return {
        "seeds": study.seeds, "commit": study.commit, "problems": len(study.problems),
        "methods": len(study.methods), "cells": len(complete(study.runs)),
        "table": markdown(headings, rows), "best": [str(m) for m in gradients.index],
        "score": {str(m): float(v) for m, v in gradients["score"].items()},
        "floor": floor(floors), "boxes": boxes(study), "ladder": bar(study, "ladder"),
        "ratio": {m: ratios(study, m) for m in study.methods}, "lost": unsound(study),
    }  # fmt: skip


def reaches(study: Study, box: str = "") -> dict[float, dict[str, tuple[int, float]]]:
    """Share of the way, method: on how many problems the median run comes there; the median over problems
    of its trainings' worth, never counted as infinite.
    """
    table = study.times[study.times["problem"].str.endswith(box)]
    found: dict[float, dict[str, tuple[int, float]]] = {}
    for share in SHARES:
        own = table[np.isclose(table["share"], share)].groupby("method", sort=False)["median"]
        found[share] = {str(m): (int(np.isfinite(v).sum()), float(np.median(v))) for m, v in own}
    return found


def shares(study: Study, box: str = "") -> dict[str, list[float]]:
    """Method: on each problem the share of the way of its median retrained end."""
    found: dict[str, list[float]] = {}
    for problem, (start, top) in ways(study.reports, study.runs).items():
        if problem.endswith(box):
            for method in study.methods:
                end = study.ends.loc[(problem, method), "median"] / 100
                found.setdefault(method, []).append((end - start) / (top - start))
    return found


def _beaten(floors: pd.DataFrame, method: str) -> str:
    """``5 of 16``: problems on which a test says that it ends above the floor; empty of the floor itself."""
    own = floors[floors["method"] == method]
    return f"{int((own['outcome'] == 'above').sum())} of {len(own)}" if len(own) else ""


def floor(floors: pd.DataFrame) -> dict[str, Any]:
    """By problem the floor, and the searching methods that a test says end above it."""
    found = {}
    for problem, own in floors.groupby("problem", sort=False):
        above = own[own["outcome"] == "above"]
        found[str(problem)] = {
            "floor": str(own["floor"].iloc[0]), "level": 100 * float(own["level"].iloc[0]),
            "above": [str(m) for m in above["method"]],
        }  # fmt: skip
    return found


def boxes(study: Study) -> str:
    """Methods that search, in the wide and in the expert's boxes: problems at 95 %, trainings, ends."""
    done = complete(study.runs)
    methods = [str(m) for m in dict.fromkeys(done.loc[flag(done, "searches"), "method"])]
    reached, far = ({box: one(study, box) for box in BOXES} for one in (reaches, shares))
    rows = [
        [
            study.looks.label(method),
            *(f"{reached[box][0.95][method][0]}" for box in BOXES),
            *(worth(reached[box][0.95][method][1]) for box in BOXES),
            *(f"{100 * np.median(far[box][method]):.0f}" for box in BOXES),
        ]
        for method in methods
    ]
    headings = ["", *(f"problems at 95 %, {box}" for box in BOXES),
                *(f"trainings to 95 %, {box}" for box in BOXES),
                *(f"end, % of the way, {box}" for box in BOXES)]  # fmt: skip
    return markdown(headings, rows)


def ratios(study: Study, method: str, share: float = 0.95) -> dict[str, float]:
    """Problem: trainings of a method's median run over FDS's; infinite, 0 or NaN where one never comes."""
    found = {}
    for problem in study.problems:
        its, own = study.time(problem, method, share), study.time(problem, "fds", share)
        found[problem] = np.nan if np.isinf(its) and np.isinf(own) else its / own
    return found


def bar(study: Study, method: str) -> dict[str, Any]:
    """What a challenger has of FDS: problems at half its time, ends below it, and those that a test tells."""
    against = effects(study.reports, study.runs, "fds")
    own = against[against["method"] == method].set_index("problem")
    ratio = ratios(study, method)
    return {
        "half": sum(value <= 0.5 for value in ratio.values()),
        "sooner": sum(value < 1 for value in ratio.values()),
        "later": sum(value > 1 for value in ratio.values()),
        "problems": len(ratio), "below": int((own["outcome"] == "below").sum()),
        "above": int((own["outcome"] == "above").sum()), "ratio": ratio,
        "difference": {str(p): 100 * float(d) for p, d in own["difference"].items()},
    }  # fmt: skip
