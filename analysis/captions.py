"""Sentences that captions share: how many seeds, what the interval is, what was spent, what is left out."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from . import style as look
from .curves import numbers, settled, skipped

ENOUGH = 6
"""Seeds from which a 95 % bootstrap interval of a median can hold its level (``curves.median_interval``)."""


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
        several = len(runs["problem"].unique()) > 1
        names = [
            look.label(str(method)) + (f" on {problem}" if several else "")
            for method, problem in zip(never["method"], never["problem"], strict=True)
        ]
        words.append(f"Left out, as they cannot run there: {', '.join(names)}.")
    return words
