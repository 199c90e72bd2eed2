"""How far exact ways to one hypergradient agree, outer step by outer step."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..looks import BLACK, GREEN, ORANGE, SKY, Look, Looks
from ..stats.agreement import differences, summary
from ..stats.frames import NoAnswer
from . import captions
from .captions import NAMES
from .layout import handle, legend_below
from .saving import Figure
from .style import Page, page_of, panels

METRICS = {"relative": "relative difference", "signs": "equal signs"}
FLOOR = 1e-9  # where a difference of nothing is drawn


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """A row a problem: relative difference and share of equal signs, a line a hyperparameter."""
    table = differences(reports)
    if table.empty:
        raise NoAnswer("no two exact methods have hypergradients of the same problem, seed and schedule")
    numbers = summary(table)
    problems, names = list(dict.fromkeys(table["problem"])), list(dict.fromkeys(table["hyperparameter"]))
    with page_of(style) as page:
        canvas, axes = panels(len(problems), 2, page.width, page.panel * (len(problems) + 0.25))
        for row, problem in zip(axes, problems, strict=True):
            own = numbers[numbers["problem"] == problem]
            for ax, metric in zip(row, METRICS, strict=True):
                _panel(ax, own[own["metric"] == metric], metric, names, page)
                ax.set_title(f"{problem}\n" * (ax is row[0]) + METRICS[metric], loc="left")
                ax.set_ylabel("(ratio)" if metric == "relative" else "(%)")
        for ax in axes[-1]:
            ax.set_xlabel("outer step (number)")
        legend_below(canvas, [handle(_look(name, names), page) for name in names])
    return Figure("agreement", canvas, numbers, _caption(table, Looks.of(runs)))


_LOOKS = ((BLACK, "o", "-"), (ORANGE, "s", "--"), (SKY, "^", "-."), (GREEN, "D", ":"))


def _look(name: str, names: list[str]) -> Look:
    return Look(NAMES.get(name, name), *_LOOKS[names.index(name) % len(_LOOKS)])


def _panel(ax: Axes, table: pd.DataFrame, metric: str, names: list[str], page: Page) -> None:
    for name in names:
        own, kind = table[table["hyperparameter"] == name].sort_values("report"), _look(name, names)
        if own.empty:
            continue
        at = own["report"].to_numpy(np.float64)
        low, middle, high = (own[side].to_numpy(np.float64) for side in ("low", "median", "high"))
        if metric == "signs":
            low, middle, high = 100 * low, 100 * middle, 100 * high
        else:
            low, middle, high = (np.maximum(side, FLOOR) for side in (low, middle, high))
        ax.vlines(at, low, high, color=kind.color, alpha=0.4, linewidth=page.line)
        ax.plot(at, middle, marker=kind.marker, gid=f"agreement:{name}", **kind.line())
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if metric == "signs":
        ax.set_ylim(-5, 105)
    else:
        ax.set_yscale("log")


def _caption(table: pd.DataFrame, looks: Looks) -> str:
    pairs = table.drop_duplicates(["one", "other"])[["one", "other"]].to_dict("records")
    named = "; ".join(f"{looks.label(p['one'])} and {looks.label(p['other'])}" for p in pairs)
    windows = table["windows"].to_numpy(np.float64)
    same = float((table["signs"] * windows).sum())
    worst = table[np.isfinite(table["relative"])]["relative"]
    seeds = table.groupby("problem")["seed"].nunique()
    return (
        f"Hypergradients of the same training by two exact ways ({named}), while both follow the same "
        f"schedule: median and range over pairs and n = {captions.span(seeds)} seeds, "
        f"{captions.span(table['steps'])} inner steps an outer step. In all, {same:.0f} of "
        f"{windows.sum():.0f} signs are equal; the relative "
        f"difference is {worst.median():.1g} in the median and at most {worst.max():.1g} (none is drawn at "
        f"{FLOOR:g})."
    )
