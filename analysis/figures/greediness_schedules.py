"""The schedules that gradient-based methods end with, beside that of the best method of any kind."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..looks import BLACK, Looks
from ..stats.greediness import KINDS, typical_schedules
from ..stats.schedules import final_schedules
from . import captions
from .captions import kinds_named
from .layout import legend_below, method_handles
from .saving import Figure
from .schedule_axes import hyperparameters, schedule_axes, stairs
from .style import Page, page_of, panels


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """The schedules that gradient-based methods end with beside the best of any: a row a problem."""
    table, looks = typical_schedules(reports, runs), Looks.of(runs)
    names = hyperparameters(table)
    problems, columns = list(names), max(map(len, names.values()))
    methods = [
        m for kind in reversed(KINDS) for m in dict.fromkeys(table.loc[table["kind"] == kind, "method"])
    ]
    methods = list(dict.fromkeys(methods))
    with page_of(style) as page:
        height = page.panel * (0.85 * len(problems) + 0.3)
        canvas, axes = panels(len(problems), columns, page.width, height)
        for row, problem in zip(axes, problems, strict=True):
            for ax in row[len(names[problem]) :]:
                ax.set_axis_off()
            for ax, name in zip(row, names[problem], strict=False):
                own = table[(table["problem"] == problem) & (table["hyperparameter"] == name)]
                _panel(ax, own, looks, page)
                schedule_axes(ax, name)
            row[0].set_title(problem, loc="left", pad=page.font)
        for column in zip(*axes, strict=True):
            [ax for ax in column if ax.axison][-1].set_xlabel("training\n(share)")
        best = Line2D([], [], label="best of all methods", **_wide(page))
        legend_below(canvas, [best, *method_handles(methods, looks, page, markers=False)], columns=3)
    shown = final_schedules(reports, runs)
    return Figure("greediness_schedules", canvas, table, _caption(table, shown, looks))


def _panel(ax: Axes, table: pd.DataFrame, looks: Looks, page: Page) -> None:
    drawn = list(table.groupby(["method", "kind"], sort=False))
    # Methods may have ended with one schedule: each line is thinner than those below it, and FDS the last.
    drawn.sort(key=lambda item: (item[0][1] != "best", item[0][0] == "fds"))
    for i, ((method, kind), own) in enumerate(drawn):
        line = looks[str(method)].line() | {"linewidth": page.line * (2.4 - 1.5 * i / max(len(drawn) - 1, 1))}
        stairs(ax, own, **(_wide(page) if kind == "best" else line))


def _wide(page: Page) -> dict[str, Any]:
    return {"color": BLACK, "alpha": 0.2, "linewidth": page.line * 5}


def _caption(table: pd.DataFrame, shown: pd.DataFrame, looks: Looks) -> str:
    best = table[table["kind"] == "best"].drop_duplicates("problem")
    named = ", ".join(f"{looks.label(row.method)} on {row.problem}" for row in best.itertuples())
    words = (
        "The schedule that each gradient-based method ended with and the referee trained again: of the run "
        "whose final test accuracy is the middle one (the lower of two) of "
        f"n = {captions.span(table['seeds'])} seeds, so that it is one that was "
        f"run.{kinds_named(table, looks)} Wide "
        f"grey: the method with the best median final test accuracy over seeds, {named}."
    )
    there = table[["problem", "method"]].drop_duplicates()
    return words + captions.not_named(shown.merge(there, on=["problem", "method"]))
