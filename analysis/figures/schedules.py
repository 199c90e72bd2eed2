"""The schedules that methods end with: a small panel a method, a thin line a seed, the incumbent's bold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..looks import BLACK, Looks
from ..stats.frames import NoAnswer, flag, settled
from ..stats.schedules import best_seeds, final_schedules, long_form
from ..stats.way import chosen, ranking
from . import captions
from .dots import name_rows, stripes
from .layout import legend_below
from .saving import Figure
from .schedule_axes import schedule_axes, stairs, value_axis
from .style import Page, bare, page_of

FEW = 2
"""Of more problems than these a row each, with the methods of each kind that came furthest alone."""
ACROSS = 4


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """A block of panels a problem and hyperparameter that moves, and one of dots for those that do not.

    Raises NoAnswer where no complete run has a schedule.
    """
    shown, looks = final_schedules(reports, runs), Looks.of(runs)
    table = long_form(shown)
    if table.empty:
        raise NoAnswer("no complete run has an incumbent, so there is no learned schedule")
    table = table.merge(best_seeds(runs), on=["problem", "method"], how="left")
    table = table.assign(bold=table["seed"] == table.pop("best_seed"))
    problems = list(dict.fromkeys(table["problem"]))
    left_out, methods = _methods(table, reports, runs, looks, len(problems) > FEW)
    blocks = [block for p in problems for block in _blocks(table, p, methods, len(problems) > FEW)]
    with page_of(style) as page:
        heights = [_height(names, moving) for _, _, names, moving in blocks]
        canvas = bare(page.width, page.panel * (sum(heights) + 0.12))
        parts = canvas.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False).ravel()
        for part, (problem, hyperparameters, names, moving) in zip(parts, blocks, strict=True):
            own = table[table["problem"] == problem]
            if moving:
                _curves(part, own, problem, hyperparameters[0], names, looks, page)
            else:
                _values(part, own, hyperparameters, names, looks, page)
        legend_below(canvas, _handles(table, page), columns=3)
    return Figure("schedules", canvas, table, _caption(shown, runs, left_out, looks))


Block = tuple[str, list[str], list[str], bool]  # problem, hyperparameters, methods, whether it moves


def _methods(
    table: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, looks: Looks, few: bool
) -> tuple[list[str], list[str]]:
    """Methods without a panel, and those with one: all that search, the furthest first."""
    done = settled(runs)
    searching = set(done.loc[flag(done, "searches"), "method"]) or set(done["method"])
    order = [m for m in ranking(reports, runs) if m in searching and (table["method"] == m).any()]
    kept = [m for m in chosen(reports, runs, looks.kind_of, most=ACROSS) if m in order] if few else order
    kept = kept or order[:ACROSS]
    return [m for m in order if m not in kept], kept


def _blocks(table: pd.DataFrame, problem: str, methods: list[str], few: bool) -> list[Block]:
    own = table[table["problem"] == problem]
    names = [m for m in methods if (own["method"] == m).any()]
    if not names:
        return []
    windows = own[own["method"].isin(names)].groupby("hyperparameter", sort=False)["window"].max()
    moving = [str(h) for h, last in windows.items() if last > 0]
    still = [str(h) for h, last in windows.items() if last == 0]
    found: list[Block] = [(problem, [h], names, True) for h in moving]
    return found if few and moving else [*found, *([(problem, still, names, False)] if still else [])]


def _height(names: list[str], moving: bool) -> float:
    """Of a block, in panels."""
    if moving:
        return 0.2 + 0.52 * math.ceil(len(names) / ACROSS)
    return 0.3 + 0.068 * len(names)


def _curves(
    part: SubFigure, own: pd.DataFrame, problem: str, name: str, methods: list[str], looks: Looks, page: Page
) -> None:
    """One hyperparameter over the horizon, a panel a method."""
    rows = math.ceil(len(methods) / ACROSS)
    columns = min(len(methods), ACROSS)
    axes = part.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    here = own[own["hyperparameter"] == name]
    flat: list[Axes] = axes.ravel().tolist()
    for ax, method in zip(flat, methods, strict=False):
        mine = here[here["method"] == method]
        for bold, rows_of in mine.groupby("bold"):
            for _, line in rows_of.groupby("seed"):
                _line(ax, line, looks[method].color, bool(bold), page)
        for _, line in here[here["method"] == "cosine"].groupby("seed", sort=False):
            stairs(ax, line, color=BLACK, linewidth=page.line * 0.6, linestyle=(0, (3, 2)), gid="cosine")
            break
        schedule_axes(ax, name)
        ax.set_ylabel("")
        ax.set_title(looks.label(method), loc="left", fontsize=page.small, color=looks[method].color, pad=2)
    for ax in flat[len(methods) :]:
        ax.set_axis_off()
    for ax in flat[max(0, len(methods) - columns) : len(methods)]:
        ax.tick_params(labelbottom=True)
    part.supylabel(value_axis(name), fontsize=page.font)
    part.supxlabel("part of the training (share of its steps)", fontsize=page.small)
    part.suptitle(problem, x=0.01, ha="left", fontsize=page.font)


def _line(ax: Axes, own: pd.DataFrame, color: str, bold: bool, page: Page) -> None:
    width, alpha = (page.line * 1.3, 1.0) if bold else (page.line * 0.5, 0.55)
    stairs(ax, own, color=color, linewidth=width, alpha=alpha, zorder=3 if bold else 2,
           gid=f"{'bold' if bold else 'thin'}:{own['method'].iloc[0]}")  # fmt: skip


def _values(
    part: SubFigure, own: pd.DataFrame, names: list[str], methods: list[str], looks: Looks, page: Page
) -> None:
    """Hyperparameters that hold through the training: a panel each, a row a method, a dot a seed."""
    axes = part.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for ax, name in zip(axes.tolist(), names, strict=True):
        stripes(ax, len(methods))
        for y, method in enumerate(methods):
            mine = own[(own["hyperparameter"] == name) & (own["method"] == method)]
            for bold, dots in mine.groupby("bold"):
                style: dict[str, Any] = {"markersize": page.marker * 1.3} if bold else {
                    "markersize": page.marker * 0.8, "markerfacecolor": "none", "alpha": 0.7}  # fmt: skip
                ax.plot(dots["value"], np.full(len(dots), y), "o", color=looks[method].color, clip_on=False,
                        gid=f"value:{method}", **style)  # fmt: skip
        for value in own.loc[(own["hyperparameter"] == name) & (own["method"] == "cosine"), "value"].head(1):
            ax.axvline(value, color=BLACK, linewidth=page.line * 0.6, linestyle=(0, (3, 2)), zorder=1.5)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel(value_axis(name))
        name_rows(ax, [looks.label(m) for m in methods])


def _handles(table: pd.DataFrame, page: Page) -> list[Any]:
    found = [
        Line2D([], [], color=BLACK, linewidth=page.line * 1.3, label="the seed with the best validation"),
        Line2D([], [], color=BLACK, linewidth=page.line * 0.5, alpha=0.55, label="the other seeds"),
    ]
    if (table["method"] == "cosine").any():
        found.append(
            Line2D([], [], color=BLACK, linewidth=page.line * 0.6, linestyle=(0, (3, 2)), label="cosine")
        )
    return found


def _caption(shown: pd.DataFrame, runs: pd.DataFrame, left_out: list[str], looks: Looks) -> str:
    count = captions.seeds(shown.groupby(["problem", "method"])["seed"].nunique())
    words = (
        "The schedule of each complete run that the referee trained again, a line or dot a seed "
        f"({count}); bold "
        "or full: of the seed whose incumbent has the best validation. Dashed: the cosine that was run."
    )
    if left_out:
        words += f" Methods without a panel: {', '.join(map(looks.label, left_out))}."
    missing = int((runs["status"] != "complete").sum())
    words += f" Failed or unfinished runs, not shown: {missing}." if missing else ""
    return words + captions.not_named(shown)
