"""The schedules that all methods end with: one row a problem, one thin line a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..looks import Look, Looks
from ..stats.frames import NoAnswer
from ..stats.schedules import final_schedules, long_form
from . import captions
from .layout import CROWD, Plan, legend_below, legend_of, method_handles
from .saving import Figure
from .schedule_axes import schedule_axes, stairs
from .style import Page, page_of, panels


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """The final incumbent schedules of all methods: one row a problem, one thin line a seed."""
    shown, looks = final_schedules(reports, runs), Looks.of(runs)
    table = long_form(shown)
    if table.empty:
        raise NoAnswer("no complete run has an incumbent, so there is no learned schedule")
    problems, names = list(table["problem"].unique()), list(table["hyperparameter"].unique())
    methods = list(dict.fromkeys(runs["method"][runs["method"].isin(table["method"])]))
    crowd = len(methods) > CROWD
    with page_of(style) as page:
        canvas = (_by_kind if crowd else _together)(table, problems, names, methods, looks, page)
    return Figure("schedules", canvas, table, _caption(shown, runs, crowd))


def _together(
    table: pd.DataFrame, problems: list[str], names: list[str], methods: list[str], looks: Looks, page: Page
) -> Canvas:
    """A row a problem, a column a hyperparameter, a thin line a method and seed."""
    height = page.panel * (0.75 * len(problems) + 0.2)
    canvas, axes = panels(len(problems), len(names), page.width, height)
    for row, problem in zip(axes, problems, strict=True):
        for ax, name in zip(row, names, strict=True):
            here = table[(table["problem"] == problem) & (table["hyperparameter"] == name)]
            for (method, _), own in here.groupby(["method", "seed"], sort=False):
                stairs(ax, own, linewidth=page.line * 0.7, alpha=0.8, **looks[str(method)].line())
            schedule_axes(ax, name)
        row[0].set_title(problem, loc="left")
    axes[-1][(len(names) - 1) // 2].set_xlabel("inner step / horizon")
    legend_below(canvas, method_handles(methods, looks, page, markers=False))
    return canvas


def _by_kind(
    table: pd.DataFrame, problems: list[str], names: list[str], methods: list[str], looks: Looks, page: Page
) -> Canvas:
    """A row a problem and hyperparameter, a column a kind of method: median and range over seeds."""
    spread = looks.kinds(methods)
    rows = [(problem, name) for problem in problems for name in names]
    canvas, axes = panels(
        len(rows), len(spread), page.width * 1.35, page.panel * (0.48 * len(rows) + 0.2), sharex=True,
        sharey="row",
    )  # fmt: skip
    keys = ["problem", "hyperparameter", "method", "start", "end"]
    windows = table.groupby(keys)["value"].agg(["min", "median", "max"]).reset_index()
    each = dict(list(windows.groupby(keys[:3])))
    for row, (problem, name) in zip(axes, rows, strict=True):
        for ax, members in zip(row, spread.values(), strict=True):
            for method in members:
                if (problem, name, method) in each:
                    _median_steps(ax, each[problem, name, method], looks[method], page)
            schedule_axes(ax, name)
            if ax is not row[0]:
                ax.set_ylabel("")
        if name == names[0]:
            row[0].set_title(problem, loc="left")
    for ax, kind in zip(axes[0], spread, strict=True):
        above = f"{problems[0]}\n" if ax is axes[0][0] else ""
        ax.set_title(above + kind, loc="left")
    axes[-1][(len(spread) - 1) // 2].set_xlabel("inner step / horizon")
    legend_of(canvas, Plan([], len(rows), len(spread), spread), methods, looks, page, markers=False)
    return canvas


def _median_steps(ax: Axes, values: pd.DataFrame, kind: Look, page: Page) -> None:
    """Each window's median over seeds, and in a lighter shade their range; a row a window."""
    edges = np.append(values["start"].to_numpy(np.float64), values["end"].iloc[-1])
    low, high = (values[side].to_numpy(np.float64) for side in ("min", "max"))
    ax.stairs(high, edges, baseline=low, fill=True, color=kind.color, alpha=0.15, linewidth=0)
    ax.stairs(values["median"].to_numpy(np.float64), edges, baseline=None, linewidth=page.line * 0.9,
              **kind.line())  # fmt: skip


def _caption(shown: pd.DataFrame, runs: pd.DataFrame, crowd: bool) -> str:
    count = captions.seeds(shown.groupby(["problem", "method"])["seed"].nunique())
    drawn = "line: each window's median over seeds, shade: their range" if crowd else "one thin line a seed"
    words = f"The schedule of each complete run that the referee trained again, {drawn} ({count})."
    missing = int((runs["status"] != "complete").sum())
    words += f" Failed or unfinished runs, not shown: {missing}." if missing else ""
    return words + captions.not_named(shown)
