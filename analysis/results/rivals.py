"""Methods beside the floor and beside FDS.

The unit of a test is the data set with its model, as Demsar (2006) and Benavoli, Corani and Mangili (2016)
have it: six seeds decide nothing between so many methods on any one of them. Its two boxes are no two
units, as they share data, seeds and draws: they are averaged. With eight units a signed-rank test can tell
six comparisons at most after Holm's correction, and only where all eight agree; so six were declared, and
the others are described.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..stats.floor import floor_table
from .studies import Study, markdown, paired, worth

REFERENCE, FLOOR = "fds", "floor"
TO_FDS = ("reverse_sharing", "random_signs", "cmaes", "pbt", "bohb", "cosine")
TO_FLOOR = ("fds", "reverse_sharing", "ladder", "pbt", "bohb", "tpe-cosine")


def ends(study: Study) -> dict[str, pd.Series[float]]:
    """Method: by data set the mean over its boxes of the median retrained end, in percent of the wide box's
    way.

    The way is that from where searching starts, which in the wide box is guessing, to the best median
    there. So accuracies, R² and bits a token are on one scale, and a box whose whole way is a point weighs
    no more.
    """
    found = {}
    for method in study.methods:
        own = {}
        for problem in study.problems:
            start, top = study.ways.get(f"{data_of(problem)}-wide", study.ways[problem])
            share = (study.end(problem, method) / 100 - start) / (top - start)
            own[problem] = 100 * max(0.0, share) if np.isfinite(share) else np.nan
        one = pd.Series(own)
        found[method] = one.groupby(one.index.map(data_of), sort=False).mean()
    return found


def data_of(problem: str) -> str:
    """``fashion-mlp`` of ``fashion-mlp-wide``."""
    return problem.rpartition("-")[0] or problem


def _gaps(
    own: dict[str, pd.Series[float]], reference: str, methods: Sequence[str], declared: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """By method its ends less the reference's: median, ``least`` and ``most`` over data sets; ``told``."""
    tested = [m for m in declared if m in methods]
    told = paired({m: own[m] for m in (reference, *tested)}, reference)
    found = {}
    for method in methods:
        gap = (own[method] - own[reference]).dropna()
        found[method] = {
            "difference": float(gap.median()), "least": float(gap.min()), "most": float(gap.max()),
            "higher": int((gap > 0).sum()), "declared": method in told,
            "told": method in told and bool(told[method]["told"]),
            "by": {str(data): float(value) for data, value in gap.items()},
        }  # fmt: skip
    return found


def floor(study: Study) -> dict[str, Any]:
    """What searching gains over the best of those that search nothing.

    Returns
    -------
    ``by`` problem: ``floor``, the method with the highest median of retrained ends, ``level``, that median in
    points, ``above``, the searching methods that end higher, the highest first; ``soonest`` of these, by when
    the weights in hand of its median run beat the floor's, and ``trainings``, when that is; ``unbeaten``: on
    how many there are none. ``of`` a searching method: its ends less the floor's (``difference``, ``least``,
    ``most``, ``told``), in percent of the way; ``above``, on how many of its ``problems`` it ends higher;
    ``sooner``, on how many the weights in hand of its median run beat the floor's, and ``trainings``, the
    median of when over all problems, never being infinite. Which method is the floor was the data's choice on
    every problem, to its advantage.
    """
    fixed = [m for m in study.methods if m not in study.searching]
    by, when = {}, _when(study)
    for problem in study.problems:
        ends_of = {m: study.end(problem, m) for m in study.methods}
        best = max(fixed, key=lambda m, ends_of=ends_of: np.nan_to_num(ends_of[m], nan=-np.inf))
        level = ends_of[best]
        above = [m for m in study.searching if ends_of[m] > level]
        above.sort(key=lambda m, ends_of=ends_of: ends_of[m], reverse=True)
        at = {m: when[m][problem] for m in above}
        soonest = min(at, key=lambda m, at=at: at[m], default="")
        by[problem] = {
            "floor": best, "level": level, "above": above, "soonest": soonest,
            "trainings": at.get(soonest, np.inf),
        }  # fmt: skip
    own = ends(study)
    own[FLOOR] = pd.DataFrame({m: own[m] for m in fixed}).max(axis=1)
    trainings = {m: list(own_when.values()) for m, own_when in when.items()}
    of = {
        m: {
            **gap, "above": sum(m in one["above"] for one in by.values()),
            "problems": sum(bool(np.isfinite(study.end(problem, m))) for problem in study.problems),
            "sooner": int(np.isfinite(trainings[m]).sum()), "trainings": float(np.median(trainings[m])),
        }
        for m, gap in _gaps(own, FLOOR, study.searching, TO_FLOOR).items()
    }  # fmt: skip
    return {"by": by, "of": of, "unbeaten": sum(not one["above"] for one in by.values())}


def _when(study: Study) -> dict[str, dict[str, float]]:
    """Method, problem: trainings' worth until the median run beats the floor; infinite for never."""
    table = floor_table(study.reports, study.runs, "gradient_equivalents")
    found: dict[str, dict[str, float]] = {}
    for row in table.to_dict("records"):
        problem = str(row["problem"])
        at = float(row["seconds"]) / study.horizon(problem) if row["bound"] == "" else np.inf
        found.setdefault(str(row["method"]), {})[problem] = at
    return found


def floor_markdown(study: Study, found: dict[str, Any]) -> str:
    """A row a problem: its floor, how many end above it, which the highest, which the soonest."""
    rows = []
    for problem, own in found["by"].items():
        row = [problem, study.looks.label(own["floor"]), study.told(problem, own["level"])]
        row += [str(len(own["above"])), "", "", ""]
        if own["above"]:
            best, soonest = own["above"][0], study.looks.label(own["soonest"])
            row[4:] = [study.looks.label(best), study.told(problem, study.end(problem, best))]
            in_hand = np.isfinite(own["trainings"])
            row += [f"{soonest}, {worth(own['trainings'])}" if in_hand else "retrained alone"]
        rows.append(row)
    headings = ["", "floor", "its end", f"of {len(found['of'])} searches above it", "the highest", "its end",
                "the soonest above it, trainings"]  # fmt: skip
    return markdown(headings, rows)


def against(study: Study) -> dict[str, dict[str, Any]]:
    """Every other method beside FDS.

    Returns
    -------
    Its ends less FDS's (``difference``, ``least``, ``most``, ``told``), in percent of the way; ``ratio`` of
    trainings to 95 % of the way by problem (its over FDS's; NaN where neither comes there), ``clock`` that of
    seconds; on how many of ``comparable`` problems, where either comes there, it is there in ``half`` of
    FDS's or ``sooner``, ``later``, and with ``_clock`` the same of its seconds; ``points``: its ends less
    FDS's by problem.
    """
    found = _gaps(ends(study), REFERENCE, [m for m in study.methods if m != REFERENCE], TO_FDS)
    for method, own in found.items():
        ratio, clock = _ratios(study, method), _ratios(study, method, clock=True)
        own |= {
            "ratio": ratio, "clock": clock,
            "comparable": sum(not np.isnan(value) for value in ratio.values()),
            "points": {p: study.end(p, method) - study.end(p, REFERENCE) for p in study.problems},
        } | _counts(ratio) | _counts(clock, "_clock")  # fmt: skip
    return found


def _counts(ratios: dict[str, float], of: str = "") -> dict[str, int]:
    """On how many problems a method needs half, less and more than FDS."""
    values = ratios.values()
    return {
        f"half{of}": sum(v <= 0.5 for v in values), f"sooner{of}": sum(v < 1 for v in values),
        f"later{of}": sum(v > 1 for v in values),
    }  # fmt: skip


def _ratios(study: Study, method: str, share: float = 0.95, *, clock: bool = False) -> dict[str, float]:
    """Problem: trainings, or seconds, of a method's median run over FDS's; infinite, 0 or NaN for never."""
    found = {}
    for problem in study.problems:
        its, own = (study.time(problem, m, share, clock=clock) for m in (method, REFERENCE))
        found[problem] = np.nan if np.isinf(its) and np.isinf(own) else its / own
    return found


def against_markdown(study: Study, found: dict[str, dict[str, Any]]) -> str:
    """A row a method: problems on which it is at 95 % in half of FDS's trainings, its seconds; ends."""
    rows = [
        [
            study.looks.label(method), *(str(own[k]) for k in ("half", "half_clock", "sooner", "later")),
            f"{own['difference']:+.1f} ({own['least']:+.1f} to {own['most']:+.1f})" + "*" * own["told"],
        ]
        for method, own in found.items()
    ]  # fmt: skip
    headings = ["", "in half of FDS's trainings", "of its seconds", "in fewer trainings", "in more",
                "end less FDS's, % of the way"]  # fmt: skip
    return markdown(headings, rows)
