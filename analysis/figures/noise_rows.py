"""What the three figures of the hypergradient's noise share: one row of panels a problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..looks import BLUE, VERMILION, Look
from ..stats.frames import CELL, has_hypergradient, settled
from ..stats.noise_samples import Sample, Windows, samples, windows_of
from . import captions
from .layout import handle, legend_below
from .saving import Figure
from .style import Page, page_of, panels

LOOKS = {
    "not shared": Look("not greedy, not shared", "#6B6B6B", "", "-"),
    "shared": Look("not greedy, shared", VERMILION, "", "-"),
    "greedy": Look("greedy", BLUE, "", "--"),
}

DrawRow = Callable[[Sequence[Axes], Sample, Windows, Page], tuple[pd.DataFrame, str]]


def draw_rows(
    name: str,
    about: str,
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    style: str,
    columns: int,
    draw_row: DrawRow,
    looks: list[Look],
    down: bool = False,
    **keywords: Any,
) -> Figure:
    """One row of panels a problem; the caption has what holds for all, then what for each.

    ``down`` puts the panels of a problem below each other, on one axis of steps; ``keywords`` are
    ``panels``'.
    """
    found = samples(reports)
    tables, words = [], []
    with page_of(style) as page:
        if down:
            height = page.panel * (0.8 * columns * len(found) + 0.4)
            canvas, each = panels(columns * len(found), 1, page.width, height, sharex="col", **keywords)
            axes = [[ax for (ax,) in each[i * columns : (i + 1) * columns]] for i in range(len(found))]
        else:
            height = page.panel * (1.2 * len(found) + 0.35)
            canvas, axes = panels(len(found), columns, page.width, height, **keywords)
        for row, sample in zip(axes, found, strict=True):
            table, said = draw_row(row, sample, windows_of(sample), page)
            tables.append(table)
            words.append(f"{sample.problem}: {said}")
            row[0].set_title(sample.problem, loc="left")
        drawn = {artist.get_gid() for row in axes for ax in row for artist in ax.lines}
        shown = [kind for kind in looks if kind.label in drawn]
        legend_below(canvas, [handle(kind, page) for kind in shown], columns=3)
    caption = " ".join([about, *words, _protocol(found, reports, runs)])
    return Figure(name, canvas, pd.concat(tables, ignore_index=True), caption)


def _protocol(found: list[Sample], reports: pd.DataFrame, runs: pd.DataFrame) -> str:
    counts = [len(s.exact) for s in found] + [len(s.greedy) for s in found if s.greedy is not None]
    words = (
        f"n = {captions.span(counts)} seeds, which change initialisation, split and batch order; the "
        "schedule is the same for all and does not move."
    )
    names = {(sample.problem, method) for sample in found for method in sample.methods}
    ended, has = settled(runs), reports[(reports["report"] == 0) & has_hypergradient(reports)]
    own = ended[[pair in names for pair in zip(ended["problem"], ended["method"], strict=True)]]
    missing = len(own) - len(own.merge(has[CELL].drop_duplicates(), on=CELL))
    return words + (f" Runs without a hypergradient, left out: {missing}." if missing else "")
