"""What windows buy and cost, on a problem where the shape of the schedule matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..stats.curves import by_problem, curves_of
from ..stats.frames import complete
from .studies import Study, between, markdown

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
        "seeds": study.seeds, "commit": study.commit, "at": AT,
        "trainings": _budget(study), "ends": markdown(headings, ends), "soon": markdown(headings, soon),
        "end": {m: {windows[p]: _end(study, p, m) for p in study.problems} for m in study.methods},
        "early": {m: {windows[p]: early[p][m] for p in study.problems} for m in study.methods},
    }  # fmt: skip


def _end(study: Study, problem: str, method: str) -> dict[str, float]:
    return {str(k): float(v) for k, v in study.ends.loc[(problem, method)].items()}


def _budget(study: Study) -> float:
    """Trainings' worth of the budget."""
    problem = study.problems[0]
    budget = study.loaded.suite["problems"][problem]["budget"]["gradient_equivalents"]
    return float(budget) / study.horizon(problem)


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
