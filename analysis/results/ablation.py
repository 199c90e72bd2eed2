"""Which part of FDS does the work, and whether one setting serves all problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..stats.frames import CELL, complete
from ..stats.frames import numbers as as_numbers
from .studies import Study, markdown, paired, per_seed, unsound, worth

SHARE = 0.95
NAMES = {
    "fds": "FDS: seven windows, sign rule", "windows-1": "one window", "windows-3": "three windows",
    "windows-27": "27 windows", "adam": "Adam", "plain": "plain descent", "rprop": "Rprop",
    "steps-third": "first steps x 0.3", "steps-thrice": "first steps x 3", "whole": "no short first step",
    "clip-1": "products clipped at 1", "reverse_sharing": "the same by reverse mode",
}  # fmt: skip


def numbers(folder: Path) -> dict[str, Any]:
    """Times, ends and differences of every variant; the last iterate beside the incumbent; divergences."""
    study = Study.of(folder)
    against = {
        problem: paired({method: per_seed(study.runs, problem, method) for method in NAMES}, "fds")
        for problem in study.problems
    }
    gaps_to_best = behind(study)
    times, gaps = [], []
    for method, label in NAMES.items():
        times.append([label, *(worth(study.time(problem, method, SHARE)) for problem in study.problems)])
        if method != "fds":
            gaps.append([label, *(_gap(against[problem][method]) for problem in study.problems)])
        else:
            ends = (study.ends.loc[(problem, method), "median"] for problem in study.problems)
            gaps.append([label, *(f"{end:.1f}" for end in ends)])
    headings = ["", *study.problems]
    return {
        "seeds": study.seeds, "commit": study.commit, "problems": len(study.problems),
        "times": markdown(headings, times), "gaps": markdown(headings, gaps),
        "last": last_less_incumbent(study), "lost": unsound(study),
        "told": sum(one["told"] for rivals in against.values() for one in rivals.values()),
        "compared": len(NAMES) - 1,
        "against": against,
        "time": {m: {p: study.time(p, m, SHARE) for p in study.problems} for m in NAMES},
        "lost_reverse": unsound(study, "reverse_sharing"),
        "behind": gaps_to_best, "worst": {m: max(row.values()) for m, row in gaps_to_best.items()},
    }  # fmt: skip


def behind(study: Study) -> dict[str, dict[str, float]]:
    """Variant, problem: points of its median end below that of the best variant on the problem."""
    ends = study.ends.pivot_table("median", "method", "problem")
    gaps = ends.max() - ends.loc[list(NAMES)]
    return {str(m): {str(p): float(gap) for p, gap in row.items()} for m, row in gaps.iterrows()}


def _gap(one: dict[str, Any]) -> str:
    """``-1.2*``: the median difference to FDS in points; a star where a test tells them apart."""
    return f"{one['difference']:+.1f}{'*' if one['told'] else ''}"


def last_less_incumbent(study: Study) -> dict[str, dict[str, float]]:
    """By problem: median and range over FDS's seeds of the last iterate less the incumbent, in points.

    Both in the first draw, the only one that last iterates have. Of runs whose last iterate came within the
    budget; none of a problem without one.
    """
    spent = study.reports.groupby(CELL)["gradient_equivalents"].max().rename("spent").reset_index()
    own = complete(study.runs).merge(spent, on=CELL).merge(_first_draw(study), on=[*CELL, "final_report"])
    found = {}
    for problem, budget in study.budgets.items():
        fds = own[(own["problem"] == problem) & (own["method"] == "fds") & (own["spent"] <= budget)]
        gaps = 100 * (as_numbers(fds["last_test_metric"]) - as_numbers(fds["first"]))
        if len(gaps):
            found[problem] = {
                "median": float(np.median(gaps)), "least": float(gaps.min()), "most": float(gaps.max()),
                "seeds": len(gaps),
            }  # fmt: skip
    return found


def _first_draw(study: Study) -> pd.DataFrame:
    """problem, method, seed, final_report, ``first``: test accuracy of every report in the first draw."""
    draws = study.loaded.retrained
    assert draws is not None
    own = draws[draws["draw"] == 0].rename(columns={"report": "final_report", "test_metric": "first"})
    return own[[*CELL, "final_report", "first"]]
