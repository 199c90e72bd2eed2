"""Whether results can carry claims: how many seeds, and whether all runs were made alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from .frames import numbers, seed_counts, settled
from .intervals import LEAST

BUDGETS = ("budget_seconds", "budget_steps", "budget_gradient_equivalents")

Flaw = Literal["seeds", "dirty", "commits", "machines", "software", "jobs", "mixed", "crowded", "budgets"]


@dataclass(frozen=True)
class Reason:
    """One reason why a study is exploratory, with the number that it is about.

    seeds: the fewest of a method on a problem; dirty: runs from changed sources; commits, machines, software:
    how many different ones; jobs: the most cells at a time; mixed: runs whose seconds add up parts made on
    unlike machines or from unlike sources; crowded: runs that did not have the machine all the time; budgets:
    runs with another budget than most of their problem.
    """

    flaw: Flaw
    count: int


def reasons(runs: pd.DataFrame) -> list[Reason]:
    """Why these results are exploratory; none of a confirmation.

    The optional columns ``commit``, ``machine`` and ``software`` (texts, empty where not recorded) are read
    where they are there (``loading``).
    """
    done = settled(runs)
    if done.empty:
        return []
    found = []
    fewest = int(seed_counts(runs).min())
    if fewest < LEAST:
        found.append(Reason("seeds", fewest))
    if "commit" in done:
        dirty = int(done["commit"].fillna("").str.contains("-dirty").sum())
        if dirty:
            found.append(Reason("dirty", dirty))
    kinds: dict[str, Flaw] = {"commit": "commits", "machine": "machines", "software": "software"}
    for column, flaw in kinds.items():
        if column in done and (different := len(set(done[column].fillna("")) - {""})) > 1:
            found.append(Reason(flaw, different))
    flags: list[tuple[str, Flaw]] = [("mixed_clock", "mixed"), ("crowding", "crowded")]
    for column, flaw in flags:
        if column in done and (count := int(done[column].fillna("").astype(bool).sum())):
            found.append(Reason(flaw, count))
    if odd := _other_budgets(done):
        found.append(Reason("budgets", odd))
    most = numbers(done["jobs"])
    if len(most) and most.max() > 1:
        found.append(Reason("jobs", int(most.max())))
    return found


def _other_budgets(done: pd.DataFrame) -> int:
    """Runs whose budget is not the one that most of their problem's have."""
    odd = 0
    for _, rows in done.groupby("problem"):
        budgets = zip(*(numbers(rows[name]).tolist() for name in BUDGETS), strict=True)
        counts = Counter(map(str, budgets))  # text: NaN is unlike itself
        odd += len(rows) - max(counts.values())
    return odd
