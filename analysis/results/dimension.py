"""What windows buy and cost, on a problem where the shape of the schedule matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..stats.curves import by_problem, curves_of
from ..stats.frames import complete
from ..stats.intervals import signed_rank_interval
from .studies import Study, between, markdown, paired, per_seed

AT = 50  # trainings' worth


def numbers(folder: Path) -> dict[str, Any]:
    """Ends by number of windows, and what was in hand after ``AT`` trainings."""
    study = Study.of(folder)
    windows = {problem: int(problem.rpartition("-")[2]) for problem in study.problems}
    ends = [
        [
            study.looks.label(method),
            *(between(study.ends.loc[(problem, method)]) for problem in study.problems),
        ]
        for method in study.methods
    ]
    early = in_hand_at(study, AT)
    soon = [
        [study.looks.label(method), *(f"{early[problem][method]:.1f}" for problem in study.problems)]
        for method in study.methods
    ]
    headings = ["windows", *(str(n) for n in windows.values())]
    return {
        "seeds": study.seeds, "commits": study.commits, "at": AT,
        "trainings": study.budgets[study.problems[0]] / study.horizon(study.problems[0]),
        "ends": markdown(headings, ends), "soon": markdown(headings, soon),
        "end": {m: {windows[p]: _end(study, p, m) for p in study.problems} for m in study.methods},
        "ahead": {windows[p]: _ahead(study, p) for p in study.problems},
        "fall": {m: fall(study, m, *study.problems[2::2]) for m in study.methods},
        "early": {m: {windows[p]: early[p][m] for p in study.problems} for m in study.methods},
    }  # fmt: skip


def _ahead(study: Study, problem: str) -> dict[str, dict[str, Any]]:
    """Every method less the best black box of that problem by its median; ``than`` names it."""
    ends = {method: per_seed(study.runs, problem, method) for method in study.methods}
    blind = set(study.runs.loc[study.runs["family"] == "black box", "method"])
    best = max(blind, key=lambda method: float(study.ends.loc[(problem, method), "median"]))
    return {method: {**one, "than": study.looks.label(best)} for method, one in paired(ends, best).items()}


def fall(study: Study, method: str, few: str, many: str) -> dict[str, float]:
    """What a method loses from few windows to many: Hodges and Lehmann's median over seeds, 95 % interval."""
    gaps = (per_seed(study.runs, few, method) - per_seed(study.runs, many, method)).dropna()
    middle, low, high = signed_rank_interval(gaps.to_numpy(float))
    return {"median": middle, "low": low, "high": high}


def _end(study: Study, problem: str, method: str) -> dict[str, float]:
    return {str(k): float(v) for k, v in study.ends.loc[(problem, method)].items()}


def in_hand_at(study: Study, trainings: float) -> dict[str, dict[str, float]]:
    """Problem, method: median test accuracy in hand after so many trainings' worth, in points."""
    curves = by_problem(curves_of(study.reports, complete(study.runs), against="gradient_equivalents"))
    return {
        problem: {
            method: 100
            * float(np.median([c.at(np.array([trainings * study.horizon(problem)]))[0] for c in own]))
            for method, own in methods.items()
        }
        for problem, methods in curves.items()
    }
