"""The tables of results as a page has them: headings, rows of text, a footnote."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..looks import Looks
from . import floor_table, tables


def verdict_grid(table: pd.DataFrame, looks: Looks) -> dict[str, Any] | None:
    """The table of results (``stats.verdict_table``), as headings, rows and a footnote; None of no rows."""
    if table.empty:
        return None
    rows = tables.cells(table, looks)
    several = len({problem for problem, _, _ in rows}) > 1  # else its column says nothing
    return {
        "headings": [*(["Problem"] if several else []), *tables.headings(table, looks)],
        "names": 1 + several,  # columns of words, before those of numbers
        "rows": [{"best": best, "texts": [*([p] if several else []), *texts]} for p, best, texts in rows],
        "note": tables.footnote(table),
    }


def floor_grid(table: pd.DataFrame, looks: Looks) -> dict[str, Any] | None:
    """The table of times to beat the floor (``stats.floor``); None where no problem has one."""
    if table.empty:
        return None
    rows = floor_table.rows(table, looks)
    several = len({problem for problem, _, _ in rows}) > 1
    return {
        "headings": [*(["Problem"] if several else []), "Floor", *floor_table.HEADINGS],
        "names": 2 + several,
        "rows": [
            {"best": False, "texts": [*([problem] if several else []), own, *texts]}
            for problem, own, texts in rows
        ],
    }
