"""Names at the ends of lines, in place of a legend: moved apart where they would overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..stats.frames import Floats
from .style import Page, literal_dollars, panels


@dataclass(frozen=True)
class End:
    """One line's end: its height in data, its name and colour; ``first`` ones are named before others."""

    y: float
    text: str
    color: str
    first: bool = False


def spread(heights: Floats, least: float, most: float = 1.0) -> Floats:
    """Ascending heights moved as little as can be (least squares) so that neighbours are ``least`` apart.

    Pool-adjacent-violators on what is left of each height after those below it have their room; then moved
    into [0, most] as a whole, so far as they fit.
    """
    room = least * np.arange(len(heights))
    blocks: list[tuple[float, int]] = []
    for value in (heights - room).tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, n), (other, m) = blocks[-2:]
            blocks[-2:] = [((n * one + m * other) / (n + m), n + m)]
    flat = np.repeat([value for value, _ in blocks], [count for _, count in blocks])
    top = most - (room[-1] if len(room) else 0.0)
    moved: Floats = np.clip(flat, min(0.0, top), max(0.0, top)) + room
    return moved


def label_ends(canvas: Canvas, ax: Axes, ends: Sequence[End], page: Page) -> list[str]:
    """Write the names right of the axes, with a thin line to where each belongs; returns those without room.

    Lays the figure out twice, since only then is it known how high the axes are.
    """
    settle(canvas)
    scale = ax.transData + ax.transAxes.inverted()
    height = 72 * _height(canvas, ax)
    least = 1.3 * page.small / height
    fitting = max(1, int((1.0 + 0.75 * least) / least))
    order = sorted(range(len(ends)), key=lambda i: not ends[i].first)[:fitting]
    kept = sorted((ends[i] for i in order), key=lambda end: end.y)
    true = np.array([scale.transform((ax.get_xlim()[1], end.y))[1] for end in kept], np.float64)
    true = np.clip(np.nan_to_num(true, nan=0.0), 0.0, 1.0)
    ranked = np.argsort(true, kind="stable")
    at = np.empty_like(true)
    at[ranked] = spread(true[ranked], least, 1.0 - 0.25 * least)
    away = 14 / (72 * _width(canvas, ax))
    for end, here, there in zip(kept, true, at, strict=True):
        name = ax.annotate(
            shortened(end.text), (1.0, here), xytext=(1.0 + away, there), xycoords="axes fraction",
            textcoords="axes fraction", va="center", ha="left", fontsize=page.small, color=end.color,
            annotation_clip=False, gid=f"end:{end.text}",
            arrowprops={"arrowstyle": "-", "color": end.color, "linewidth": page.line * 0.4, "shrinkA": 1,
                        "shrinkB": 0, "relpos": (0, 0.5), "alpha": 0.6},
        )  # fmt: skip
        name.set_in_layout(False)  # it has its room already
    return [ends[i].text for i in range(len(ends)) if i not in order]


LONGEST = 30
"""Characters of a name that has room at the end of a line."""


def shortened(name: str) -> str:
    """A name that fits beside a panel."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def panels_with_names(
    rows: int, columns: int, page: Page, height: float, names: Sequence[str], **keywords: Any
) -> tuple[Canvas, list[list[Axes]]]:
    """``panels`` with room right of each row for the longest of the names."""
    longest = max((len(shortened(name)) for name in names), default=0)
    room = 0.26 + longest * 0.6 * page.small / 72  # a character is about 0.6 of the font size wide
    room = min(room, 0.4 * page.width)
    ratio = room / ((page.width - room - 8 * page.font / 72) / columns)
    canvas, grid = panels(
        rows, columns + 1, page.width, height, width_ratios=[1.0] * columns + [ratio], **keywords
    )
    for row in grid:
        row[-1].remove()
    return canvas, [row[:-1] for row in grid]


def wide_title(ax: Axes, text: str) -> None:
    """A title that may be wider than its axes: its lines take their height, and no width."""
    pad = 0.9 * float(mpl.rcParams["font.size"])
    # A title itself would push the axes apart: the layout keeps room at its centre.
    name = ax.annotate(text, (0.0, 1.0), xytext=(0.0, pad), xycoords="axes fraction",
                       textcoords="offset points", fontsize=float(mpl.rcParams["axes.titlesize"]),
                       annotation_clip=False, gid="title",
                       linespacing=1.15)  # fmt: skip
    name.set_in_layout(False)
    ax.set_title("\n".join(" " for _ in text.split("\n")), loc="left", pad=pad)


def _height(canvas: Canvas, ax: Axes) -> float:
    return float(ax.get_position().height * canvas.get_figheight())


def _width(canvas: Canvas, ax: Axes) -> float:
    return float(ax.get_position().width * canvas.get_figwidth())


def settle(canvas: Canvas) -> None:
    """Lay the figure out with what is on it by now, so that positions of axes can be asked for."""
    literal_dollars(canvas)
    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)
