"""The page's first sentence, in plain words: who came far soonest, and how sure that is.

Medians describe the runs that were made. Whether a difference can be told is the verdict's question
(``sentences``); here stands for how many comparisons it can.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from ..looks import Looks
from ..stats.conclusions import Accuracy, Speed, findings
from ..stats.frames import settled
from ..stats.intervals import LEAST
from ..stats.target_times import target_times
from .sentences import say


def lead(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> str:
    """One to three sentences on all results; empty where no run came to an end."""
    table, looks = _headline(reports, runs), Looks.of(runs)
    if table.empty:
        return ""
    problems = list(dict.fromkeys(table["problem"]))
    words = one(table, looks, reference) if len(problems) == 1 else _many(table, looks, len(problems))
    return f"{words} {_sure(reports, runs, looks, reference)}".strip()


def by_problem(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> dict[str, str]:
    """The sentence on each problem that has a target."""
    table, looks = _headline(reports, runs), Looks.of(runs)
    return {str(p): one(own, looks, reference) for p, own in table.groupby("problem", sort=False)}


def _headline(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    table = target_times(reports, runs)
    return table[table["headline"].astype(bool)]


def one(own: pd.DataFrame, looks: Looks, reference: str) -> str:
    """Of one problem: the soonest method that searches, the reference, the soonest that does not search."""
    row = own.iloc[0]
    shown = looks.shown(row["problem"])
    there = own[(own["bound"] == "") & np.isfinite(own["median"])].sort_values("median", kind="stable")
    goal = shown.text(float(row["target"]))
    share = f" ({100 * row['share']:.0f} % of the way to the best)" if np.isfinite(row["share"]) else ""
    common = {"problem": row["problem"], "goal": goal, "share": share, "metric": shown.name}
    searching = there[there["searches"].astype(bool)]
    parts = []
    if len(searching):
        first = searching.iloc[0]
        parts.append(say("lead first", name=looks.label(first["method"]), count=_count(first["median"])))
        mine = own[own["method"] == reference]
        if len(mine) and first["method"] != reference:
            parts.append(_its(mine.iloc[0], looks))
    else:
        parts.append(say("lead nobody"))
    floors = there[~there["searches"].astype(bool)]
    if len(floors):
        floor = floors.iloc[0]
        parts.append(say("lead floor", name=looks.label(floor["method"]), count=_count(floor["median"])))
    return say("lead", parts="; ".join(parts), **common)


def _its(row: pd.Series, looks: Looks) -> str:
    name = looks.label(row["method"])
    if row["bound"] == "":
        return say("lead reference", name=name, count=_count(row["median"]))
    return say("lead reference never", name=name)


def _count(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}"


def _many(table: pd.DataFrame, looks: Looks, problems: int) -> str:
    """Of several problems: how often each method was the first."""
    firsts: Counter[str] = Counter()
    for _, own in table.groupby("problem", sort=False):
        there = own[(own["bound"] == "") & np.isfinite(own["median"])]
        if len(there):
            firsts[str(there.loc[there["median"].idxmin(), "method"])] += 1
    searches = dict(zip(table["method"], table["searches"].astype(bool), strict=True))
    told = [
        say("lead times", name=looks.label(m) + ("" if searches[m] else " (no search)"), count=n)
        for m, n in firsts.most_common(4)
    ]
    rest = problems - sum(n for _, n in firsts.most_common(4))
    told += [say("lead rest", count=rest)] if rest else []
    return say("lead many", problems=problems, firsts=", ".join(told))


def _sure(reports: pd.DataFrame, runs: pd.DataFrame, looks: Looks, reference: str) -> str:
    """For how many comparisons a difference can be told."""
    if len(set(settled(runs)["method"])) < 2:
        return ""
    found = findings(reports, runs, reference)
    speed = [one for f in found if isinstance(f, Speed) for one in f.rivals]
    level = [one for f in found if isinstance(f, Accuracy) for one in f.rivals]
    most = max((one.seeds for one in [*speed, *level]), default=0)
    if most < LEAST:
        return say("lead few", seeds="A single seed claims" if most <= 1 else f"{most} seeds claim")
    told = [sum(one.outcome in ("ahead", "behind") for one in side) for side in (speed, level)]
    whose = looks.label(found[0].first) if reference in set(runs["method"]) else "the best method"
    return say("lead sure", count=max(len(speed), len(level)), whose=whose, speed=told[0], level=told[1])
