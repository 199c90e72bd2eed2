"""Methods beside the floor and beside FDS, problem by problem.

The unit of a test is the problem, as Demsar (2006) and Benavoli, Corani and Mangili (2016) have it: six seeds
decide nothing between so many methods on any one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..stats.floor import floor_table
from .studies import Study, between, markdown, paired

REFERENCE, FLOOR = "fds", "floor"


def floor(study: Study) -> dict[str, Any]:
    """What searching gains over the best of those that search nothing.

    Returns
    -------
    ``by`` problem: ``floor``, the method with the highest median of retrained ends, ``level``, that median in
    points, ``above``, the searching methods that end higher. ``of`` a searching method: ``paired`` with the
    floor, and ``above``, on how many problems it ends higher; ``sooner``, on how many the weights in hand of
    its median run beat the floor's, and ``trainings``, the median of when over all problems, never being
    infinite.
    Which method is the floor was the data's choice, to its advantage.
    """
    own = _medians(study)
    fixed = pd.DataFrame({m: own[m] for m in study.methods if m not in study.searching})
    level = fixed.max(axis=1)
    gaps = paired({FLOOR: level} | {m: own[m] for m in study.searching}, FLOOR)
    when = _when(study)
    by = {
        problem: {
            "floor": str(fixed.loc[problem].idxmax()), "level": float(level[problem]),
            "above": [m for m in study.searching if own[m][problem] > level[problem]],
        }
        for problem in study.problems
    }  # fmt: skip
    of = {
        m: {
            **gap, "above": int((own[m] > level).sum()), "sooner": int(np.isfinite(when[m]).sum()),
            "trainings": float(np.median(when[m])),
        }
        for m, gap in gaps.items()
    }  # fmt: skip
    return {"by": by, "of": of}


def _medians(study: Study) -> dict[str, pd.Series[float]]:
    """Method: by problem the median over seeds of its retrained ends, in points."""
    ends = study.ends["median"]
    return {m: pd.Series([ends[(p, m)] for p in study.problems], study.problems) for m in study.methods}


def _when(study: Study) -> dict[str, list[float]]:
    """Method: on each problem, trainings' worth until the median run beats the floor; infinite for never."""
    table = floor_table(study.reports, study.runs, "gradient_equivalents")
    found: dict[str, list[float]] = {}
    for row in table.to_dict("records"):
        at = row["seconds"] / study.horizon(str(row["problem"])) if row["bound"] == "" else np.inf
        found.setdefault(str(row["method"]), []).append(at)
    return found


def floor_markdown(study: Study, found: dict[str, Any]) -> str:
    """A row a problem: its floor, and who ends above it."""
    rows = [
        [problem, study.looks.label(own["floor"]), f"{own['level']:.1f}", str(len(own["above"]))]
        for problem, own in found["by"].items()
    ]
    return markdown(["", "floor", "its end", f"of {len(found['of'])} searching methods above it"], rows)


def against(study: Study) -> dict[str, dict[str, Any]]:
    """Every other method beside FDS.

    Returns
    -------
    ``paired`` ends, problem by problem; ``ratio`` of trainings to 95 % of the way by problem (its over FDS's;
    NaN where neither comes there); on how many ``problems`` it is there in ``half`` of FDS's or ``sooner``,
    ``later``; ``gap``, its median end less FDS's by problem, in points.
    """
    own = _medians(study)
    found = {}
    for method, gap in paired(own, REFERENCE).items():
        ratio = _ratios(study, method)
        found[method] = {
            **gap, "ratio": ratio, "problems": len(ratio),
            "half": sum(value <= 0.5 for value in ratio.values()),
            "sooner": sum(value < 1 for value in ratio.values()),
            "later": sum(value > 1 for value in ratio.values()),
            "gap": {str(p): float(v) for p, v in (own[method] - own[REFERENCE]).items()},
        }  # fmt: skip
    return found


def _ratios(study: Study, method: str, share: float = 0.95) -> dict[str, float]:
    """Problem: trainings of a method's median run over FDS's; infinite, 0 or NaN where one never comes."""
    found = {}
    for problem in study.problems:
        its, own = study.time(problem, method, share), study.time(problem, REFERENCE, share)
        found[problem] = np.nan if np.isinf(its) and np.isinf(own) else its / own
    return found


def against_markdown(study: Study, found: dict[str, dict[str, Any]]) -> str:
    """A row a method: problems on which it is at 95 % in half of FDS's trainings, sooner, later; ends."""
    rows = [
        [
            study.looks.label(method), *(str(own[k]) for k in ("half", "sooner", "later")),
            between({**own, "median": own["difference"]}) + "*" * own["told"],
        ]
        for method, own in found.items()
    ]  # fmt: skip
    headings = ["", "in half of FDS's trainings", "sooner", "later", "end less FDS's, points"]
    return markdown(headings, rows)
