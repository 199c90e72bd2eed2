"""Legends: one entry a method, below the panels, where they hide no data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..looks import Look, Looks
from .style import GREY_LINE, Page


def handle(kind: Look, sizes: Page, marker: bool = True) -> Artist:
    """A legend's entry for whatever is drawn in this look; without a dash, for markers alone."""
    line = kind.line() if kind.dash else {"color": kind.color, "linestyle": "none"}
    # matplotlib leaves a label out that begins with _: a space of no width goes before it.
    label = f"\u200b{kind.label}" if kind.label.startswith("_") else kind.label
    return Line2D([], [], label=label, linewidth=sizes.line, marker=kind.marker if marker else "",
                  markersize=sizes.marker, **line)  # fmt: skip


def method_handles(methods: Iterable[str], looks: Looks, sizes: Page, markers: bool = True) -> list[Artist]:
    """One legend entry a method, whatever was drawn for it."""
    return [handle(looks[method], sizes, markers) for method in methods]


def legend_below(canvas: Canvas, handles: Sequence[Artist], columns: int = 4) -> None:
    """One legend for the whole figure, below its panels, where it hides no data.

    As many columns as the longest label allows; the page grows by the rows after the first two.
    """
    font = float(mpl.rcParams["legend.fontsize"])
    longest = max(len(str(handle.get_label())) for handle in handles)
    # A character is about 0.62 of the font size wide; handle and spacing take another five.
    fitting = int(72 * canvas.get_figwidth() / (font * (0.62 * longest + 5)))
    columns = max(1, min(columns, fitting, len(handles)))
    rows = -(-len(handles) // columns)
    canvas.set_figheight(canvas.get_figheight() + max(rows - 2, 0) * 1.5 * font / 72)
    canvas.legend(handles=list(handles), loc="outside lower center", ncols=columns)


def rest_handle(
    table: pd.DataFrame, coloured: Sequence[str], floors: Sequence[str], sizes: Page
) -> list[Artist]:
    """Legend entries of what has no colour of its own: the other methods, and the level of the floor."""
    others = set(table["method"]) - set(coloured)
    found: list[Artist] = []
    if others - set(floors):
        found.append(Line2D([], [], label="other methods", color=GREY_LINE, linewidth=sizes.line * 0.6))
    if others & set(floors):
        found.append(Line2D([], [], label="best without a search", color="#5A5A5A", linestyle=(0, (5, 2)),
                            linewidth=sizes.line * 0.8))  # fmt: skip
    return found
