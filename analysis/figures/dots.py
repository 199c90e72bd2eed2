"""Rows of dots with intervals; arrows where an interval has no end or only a bound is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from .style import Page


@dataclass(frozen=True)
class Dot:
    """One estimate: its value, its ends (NaN: none; infinite: open), and what is known of it.

    interval : whether the ends are an interval; else they are the range of the seeds, drawn thin.
    bound : "" a number, ">" more than that, "<" less, "?" nothing.
    filled : drawn full; else hollow.
    """

    value: float
    low: float
    high: float
    color: str
    interval: bool = True
    bound: str = ""
    filled: bool = True


def stripes(ax: Axes, rows: int) -> None:
    """Pale stripes, to read along the rows."""
    boxes = [[(0, y - 0.5), (1, y - 0.5), (1, y + 0.5), (0, y + 0.5)] for y in range(0, rows, 2)]
    ax.add_collection(
        PolyCollection(boxes, color="#F4F4F4", zorder=0, linewidth=0, transform=ax.get_yaxis_transform()),
        autolim=False,
    )
    ax.set_ylim(rows - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def name_rows(ax: Axes, names: Sequence[str], colors: Sequence[str] | None = None) -> None:
    """Names of the rows at the left, the first on top."""
    ax.set_yticks(range(len(names)), list(names))
    for tick, color in zip(ax.get_yticklabels(), colors or (), strict=False):
        tick.set_color(color)


def dot(ax: Axes, y: float, one: Dot, limits: tuple[float, float], page: Page, gid: str) -> None:
    """One row's dot with its line; what leaves the limits has an arrow there."""
    left, right = limits
    if np.isfinite(one.low) or np.isfinite(one.high):
        low, high = max(one.low, left), min(one.high, right)
        thick = page.line * (1.1 if one.interval else 0.6)
        ax.plot(
            [low, high], [y, y], color=one.color, linewidth=thick, solid_capstyle="butt", zorder=2, gid="line"
        )
        for at, marker, left_it in ((right, ">", one.high > right), (left, "<", one.low < left)):
            if left_it:
                ax.plot(at, y, marker, color=one.color, markersize=page.marker * 0.8, clip_on=False, zorder=3,
                        gid="open")  # fmt: skip
    if not np.isfinite(one.value):
        return
    at = min(max(one.value, left), right)
    marker = {">": ">", "<": "<"}.get(one.bound, "o")
    face = one.color if one.filled and not one.bound else "white"
    ax.plot(at, y, marker=marker, color=one.color, markerfacecolor=face, markersize=page.marker * 1.25,
            linestyle="none", zorder=4, clip_on=False, gid=gid)  # fmt: skip


def log_range(values: Sequence[float], room: float = 0.06) -> tuple[float, float]:
    """Ends of a logarithmic axis that holds these values, as far as they are finite and above 0."""
    known = np.array([v for v in values if np.isfinite(v) and v > 0] or [1.0], np.float64)
    low, high = float(known.min()), float(known.max())
    stretch = max((high / low) ** room, 1.15)
    return low / stretch, high * stretch
