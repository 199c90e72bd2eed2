"""The table of times to beat the floor, as text."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from ..looks import Looks

HEADINGS = [
    "Method", "Seconds to beat the floor: median (95 % interval)", "Times the floor's own seconds: median",
    "Seeds that beat it", "Better at the end, by a test",
]  # fmt: skip
OUTCOMES = {"above": "yes", "undecided": "not told", "few": "too few seeds"}


def rows(table: pd.DataFrame, looks: Looks) -> list[tuple[str, str, list[str]]]:
    """(problem, its floor, cells as text) of every row of ``floor_table``, the soonest of a problem first."""
    order = {problem: i for i, problem in enumerate(dict.fromkeys(table["problem"]))}
    placed = table.assign(order=table["problem"].map(order), never=table["bound"] != "")
    placed = placed.sort_values(["order", "never", "seconds"], kind="stable")
    return [
        (str(row["problem"]), _floor(row, looks), _cells(row, looks)) for row in placed.to_dict("records")
    ]


def to_rich(table: pd.DataFrame, looks: Looks) -> Table:
    """For a terminal: a row a problem and method that searches."""
    view = Table(box=box.SIMPLE_HEAD, title="Time to beat the floor", title_justify="left")
    for i, heading in enumerate(("Problem", "Floor", *HEADINGS)):
        view.add_column(heading, justify="left" if i < 3 else "right")
    before = None
    for problem, own, texts in rows(table, looks):
        if before not in (None, problem):
            view.add_section()
        names = ["", ""] if problem == before else [problem, own]
        view.add_row(*map(Text, (*names, *texts)))  # Text: a name may hold square brackets
        before = problem
    return view


def _floor(row: dict[Hashable, Any], looks: Looks) -> str:
    shown = looks.shown(row["problem"])
    return f"{looks.label(row['floor'])}: {shown.text(row['level'])} in {_seconds(row['floor_seconds'])} s"


def _cells(row: dict[Hashable, Any], looks: Looks) -> list[str]:
    more = "> " if row["bound"] == ">" else ""
    failed = f" + {row['n_failed']} failed" if row["n_failed"] else ""
    own = float(row["floor_seconds"])
    times = f"{more}{row['seconds'] / own:,.1f}" if own > 0 and row["n_seeds"] else ""
    return [
        looks.label(row["method"]), _time(row, more), times, f"{row['n_above']} of {row['n_seeds']}{failed}",
        OUTCOMES[row["outcome"]],
    ]  # fmt: skip


def _time(row: dict[Hashable, Any], more: str) -> str:
    if not row["n_seeds"]:
        return "failed"
    text, low, high = f"{more}{_seconds(row['seconds'])}", float(row["low"]), float(row["high"])
    if not np.isfinite(low):
        return text
    return f"{text} ({_seconds(low)} to {_seconds(high) if np.isfinite(high) else 'no end'})"


def _seconds(value: float) -> str:
    return f"{value:,.1f}" if value >= 0.95 else f"{value:.2g}"
