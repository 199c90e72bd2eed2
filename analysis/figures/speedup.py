"""Speedups as bars: how many times longer every other method needs than the reference."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import Looks
from ..stats.frames import NoAnswer
from ..stats.speedup import speedup_table
from . import captions
from .layout import CROWD
from .saving import Figure
from .style import Page, page_of, panels


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str = "fds",
    target: float | None = None,
    style: str = "paper",
) -> Figure:
    """Horizontal bars, one a method, one panel a problem; open and hatched where only a bound is known."""
    table, looks = speedup_table(reports, runs, reference, target), Looks.of(runs)
    if table.empty:
        raise NoAnswer(f"{looks.label(reference)} has no other method to be compared with")
    problems = list(table["problem"].unique())
    bars = [int((table["problem"] == problem).sum()) for problem in problems]
    columns = 2 if len(problems) > 1 and max(bars) > CROWD else 1
    rows = -(-len(problems) // columns)
    # In bars, with room for a title; problems that stand beside each other have the same.
    heights = [0.3 + max(bars[i * columns : (i + 1) * columns]) for i in range(rows)]
    with page_of(style) as page:
        height = page.panel * ((0.11 if columns == 1 else 0.09) * sum(heights) + 0.16 * rows + 0.15)
        canvas, axes = panels(
            rows, columns, page.width * (1.35 if columns > 1 else 1.0), height, sharex=True,
            height_ratios=heights,
        )  # fmt: skip
        limits, flat = _limits(table), [ax for row in axes for ax in row]
        for ax, problem in zip(flat, problems, strict=False):
            _panel(ax, table[table["problem"] == problem], looks, limits, page)
        for ax in flat[len(problems) :]:
            ax.set_axis_off()
        lowest = flat[(rows - 1) * columns]
        lowest.set_xlabel(_axis_label(table, looks.label(reference), looks))
        if columns > 1:
            lowest.xaxis.label.set_x(1.1)
            for ax in flat[len(problems) - columns : len(problems)]:
                ax.tick_params(labelbottom=True)
    return Figure("speedup", canvas, table, _caption(table, reports, runs, looks.label(reference)))


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: every finite number and 1, with room on the right for arrows and text."""
    bars = np.array([captions.ends(row)[:2] for row in table.to_dict("records")], np.float64).ravel()
    shown = np.append(bars, table["speedup"].to_numpy(np.float64))
    shown = np.append(shown[np.isfinite(shown) & (shown > 0)], 1.0)
    low, high = shown.min() / 1.25, shown.max() * 1.1
    return float(low), float(high * (high / low) ** 0.25)


def _axis_label(table: pd.DataFrame, name: str, looks: Looks) -> str:
    targets, shown = table["target"].unique(), looks.shown()
    one = shown.text(float(targets[0])) if len(targets) == 1 else ""
    goal = f"{one} test {shown.name}" if one else f"the test {shown.name} above"
    return f"times longer than {name} needs to reach {goal}"


def _panel(ax: Axes, table: pd.DataFrame, looks: Looks, limits: tuple[float, float], page: Page) -> None:
    """Bars of one problem, the slowest on top."""
    rows = table.sort_values("speedup", na_position="first").to_dict("records")
    for y, row in enumerate(rows):
        _bar(ax, y, row, looks[str(row["method"])].color, limits, page)
    ax.set_xscale("log")
    ax.set_xlim(*limits)
    ax.set_ylim(-0.65, len(rows) - 0.35)
    ax.set_yticks(range(len(rows)), [looks.label(row["method"]) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] / limits[0] < 300 else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.axvline(1.0, color="black", linewidth=page.line * 0.7, zorder=1.5)
    target, shown = table["target"].iloc[0], looks.shown(table["problem"].iloc[0])
    goal = "no target: no run came to an end" if np.isnan(target) else f"to {shown.text(target)}"
    ax.set_title(f"{table['problem'].iloc[0]} ({goal})", loc="left")


def _bar(
    ax: Axes, y: int, row: dict[Hashable, Any], color: str, limits: tuple[float, float], page: Page
) -> None:
    """One bar from 1 to the speedup, its interval, and its value printed right of both."""
    value, (low, high, _) = float(row["speedup"]), captions.ends(row)
    bound = str(row["bound"])
    tip = 1.0
    if np.isfinite(value):
        tip = max(value, 1.0)
        fill: dict[str, Any] = {"color": color}
        if bound:
            fill = {"facecolor": "white", "edgecolor": color, "hatch": "////"}
        ax.barh(y, value - 1.0, left=1.0, height=0.62, zorder=2, linewidth=page.line * 0.6, **fill)
    if bound == ">":
        tip = _arrow(ax, y, value, value * _stretch(limits, 0.05), color, page)
    elif np.isfinite(low):
        tip = max(tip, _interval(ax, y, low, high, limits, page))
    text = captions.speedup_text(value, bound)
    ax.annotate(text, (tip, y), xytext=(page.small * 0.5, 0), textcoords="offset points",
                va="center", fontsize=page.small, gid=f"value:{row['method']}")  # fmt: skip


def _stretch(limits: tuple[float, float], part: float) -> float:
    """The factor that is this part of the axis long."""
    return float((limits[1] / limits[0]) ** part)


def _interval(ax: Axes, y: int, low: float, high: float, limits: tuple[float, float], page: Page) -> float:
    """A line from low to high, with an arrow where it has no end on the right; returns where it ends."""
    low, last = max(low, limits[0]), limits[1] / _stretch(limits, 0.1)
    top = min(high, last)
    if top < high:
        _arrow(ax, y, low, top, "black", page)
    else:
        ax.plot([low, top], [y, y], color="black", linewidth=page.line, zorder=3, path_effects=_rim(page))
    caps = [low, top] if top == high else [low]
    ax.plot(caps, [y] * len(caps), "|", color="black", markersize=page.marker * 1.3, zorder=3,
            path_effects=_rim(page))  # fmt: skip
    return top


def _rim(page: Page) -> list[AbstractPathEffect]:
    """A thin white rim: an interval must show on a black bar too."""
    return [withStroke(linewidth=page.line * 2.2, foreground="white")]


def _arrow(ax: Axes, y: int, start: float, tip: float, color: str, page: Page) -> float:
    """An arrow to the right; returns where it points to."""
    shape = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "linewidth": page.line}
    ax.annotate("", (tip, y), (start, y), arrowprops=shape | {"path_effects": _rim(page)}, zorder=3)
    return tip


def _caption(table: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, name: str) -> str:
    words = [
        f"Time of each method over that of {name} to the test accuracy over the panel, median of the seeds' "
        f"ratios; right of 1, {name} is faster. Over {captions.seeds(table['n_seeds'])} in common. "
        f"Lines: {captions.ratios(table)}"
    ]
    shares = sorted(set(table["share"].dropna()))
    if shares:
        words.append(
            f"Target: {100 * shares[0]:g} % of the way from the initial schedule's accuracy (or guessing) to "
            "the best median that any method came to."
        )
    if (table["bound"] == ">").any():
        words.append("Hatched, with an arrow: not reached in the median run within its budget (lower bound).")
    if (table["bound"] == "<").any():
        words.append(f"Hatched, marked '<': {name} itself did not get there in its median run (upper bound).")
    if (table["bound"] == "?").any():
        words.append("No verdict: neither got there, or no seed came through in both.")
    if table[["n_failed", "n_failed_reference"]].to_numpy().any():
        words.append("A failed run has no time and bounds nothing.")
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])
