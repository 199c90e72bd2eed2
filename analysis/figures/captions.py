"""Words that captions share: how many seeds, what the interval is, what was spent, what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..looks import Looks
from ..stats.frames import failures, numbers, settled, skipped
from ..stats.intervals import LEAST
from ..stats.retrained import is_retrained

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
    """What is drawn beside a median: an interval, or of too few seeds their range."""
    counts = list(counts)
    if max(counts) < 2:
        return "No interval: a single seed says nothing of the spread."
    if max(counts) < LEAST:
        return f"min to max of the seeds (fewer than {LEAST} have no 95 % interval)."
    words = "95 % interval of the median, from order statistics"
    return words + ("." if min(counts) >= LEAST else f"; below {LEAST} seeds their min to max.")


def ends(row: Mapping[Any, Any]) -> tuple[float, float, bool]:
    """Ends of a speedup's bar, and whether they are an interval; else they are the range of its seeds.

    NaN where there are neither: of a single seed, or none.
    """
    if np.isfinite(row["low"]):
        return float(row["low"]), float(row["high"]), True
    if row["n_seeds"] < 2:
        return float("nan"), float("nan"), False
    return float(row["least"]), float(row["most"]), False


def ratios(table: pd.DataFrame) -> str:
    """What the bars of a table of speedups are."""
    counts = [n for n in table["n_seeds"] if n > 0]
    if max(counts, default=0) < 2:
        return "no interval: a single seed says nothing of the spread."
    known = table["low"].notna().to_numpy()
    if not known.any():
        return "min to max of the seeds (too few for a 95 % interval over all methods)."
    words = "95 % intervals of the median ratio that hold together over the problem's methods"
    return words + ("." if known[table["n_seeds"] > 0].all() else "; of fewer seeds, their min to max.")


def curve(reports: pd.DataFrame) -> str:
    """Which test accuracy the curves are of."""
    if is_retrained(reports):
        return (
            "Test accuracy is that of the incumbent's schedule retrained from scratch: median over the "
            "referee's draws, a diverged draw counting as guessing."
        )
    if "in_hand" in reports:
        return "Test accuracy is that of the weights in hand, beside the figure anytime of those retrained."
    return "Test accuracy is that of the weights in hand; these results hold no retrained curve."


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
    words, looks = [], Looks.of(runs)
    unfinished = int(runs["status"].isin(["running", "interrupted"]).sum())
    if failed := failures(runs):
        named = (f"{looks.label(m)} in {count} of {all_} runs" for m, (count, all_) in failed.items())
        words.append(f"Failed: {', '.join(named)}.")
    if unfinished:
        words.append(f"Unfinished runs, left out: {unfinished}.")
    never = skipped(runs).drop_duplicates(["problem", "method"])
    if len(never):
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
