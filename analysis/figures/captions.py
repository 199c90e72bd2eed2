"""Words that captions share: how many seeds, what the interval is, what was spent, what is left out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..looks import Looks
from ..stats.frames import numbers, settled, skipped
from ..stats.intervals import ENOUGH

NAMES = {"lr": "learning rate", "momentum": "momentum", "weight_decay": "weight decay"}
"""Hyperparameters as figures name them."""


def span(counts: Iterable[float]) -> str:
    """``3``, or ``3 to 5`` where counts differ."""
    low, high = min(counts := [int(c) for c in counts]), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def seeds(counts: Iterable[float]) -> str:
    """``n = 3 seeds``."""
    text = span(counts)
    return f"n = {text} seed" + ("" if text == "1" else "s")


def interval(counts: Iterable[float]) -> str:
    """What the drawn interval is, and whether there are seeds enough for it."""
    counts = list(counts)
    if max(counts) < 2:
        return "No interval: a single seed says nothing of the spread."
    words = "95 % bootstrap interval over seeds"
    return words + ("." if min(counts) >= ENOUGH else f" (optimistic: fewer than {ENOUGH} seeds).")


def protocol(runs: pd.DataFrame) -> str:
    """The budget, and what the clock counts."""
    budget = numbers(settled(runs)["budget_seconds"])
    amounts = sorted({f"{b:g}" for b in budget if b == b}, key=float)
    limit = ""
    if amounts:
        text = amounts[0] if len(amounts) == 1 else f"{amounts[0]} to {amounts[-1]}"
        limit = f" Budget: {text} s of it a run."
    return f"The clock counts the method's training, validation and thinking.{limit}"


def left_out(runs: pd.DataFrame) -> list[str]:
    """A sentence each for failed, unfinished and skipped runs, where there are any."""
    words = []
    failed, unfinished = (int(runs["status"].isin(s).sum()) for s in (["failed"], ["running", "interrupted"]))
    if failed:
        words.append(f"Failed runs, counted: {failed}.")
    if unfinished:
        words.append(f"Unfinished runs, left out: {unfinished}.")
    never = skipped(runs).drop_duplicates(["problem", "method"])
    if len(never):
        looks = Looks.of(runs)
        several = len(runs["problem"].unique()) > 1
        names = [
            looks.label(method) + (f" on {problem}" if several else "")
            for method, problem in zip(never["method"], never["problem"], strict=True)
        ]
        words.append(f"Left out, as they cannot run there: {', '.join(names)}.")
    return words


def protocol_and_rest(runs: pd.DataFrame) -> list[str]:
    """The sentences with which most captions end: ``protocol``, and those of ``left_out``."""
    return [protocol(runs), *left_out(runs)]


def speedup_text(value: float, bound: str = "") -> str:
    """A speedup as it is printed: ``12x``, ``1.4x``, ``> 15x``."""
    if bound == "?" or np.isnan(value):
        return "no verdict"
    if np.isinf(value):
        return "infinite"
    digits = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"
    return f"{bound} {digits}x" if bound else f"{digits}x"


def not_named(schedules: pd.DataFrame) -> str:
    """Of how many runs the record does not name the schedule (``final_schedules``); nothing if of none."""
    count = int((~schedules["recorded"].astype(bool)).sum())
    return f" Runs whose record does not name it, shown by their last incumbent's: {count}." if count else ""


def kinds_named(table: pd.DataFrame, looks: Looks) -> str:
    """``Greedy: a, b. Truncated: c.``: the methods of a table with kinds, exact ones left out."""
    words = ""
    for kind in ("greedy", "truncated"):
        names = dict.fromkeys(looks.label(m) for m in table.loc[table["kind"] == kind, "method"])
        words += f" {kind.capitalize()}: {', '.join(names)}." if names else ""
    return words
