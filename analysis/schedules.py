"""Learned schedules: learning rate, momentum and weight decay over the horizon.

``draw`` sets the methods' final incumbents side by side; ``draw_outer_steps`` shows how one
gradient-based method got there, outer step by outer step, with the signs of its hypergradients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hpobench_fds.errors import InputError

from . import style as look
from .curves import CELL, Floats

GROUPS = {"lr": "learning rate", "momentum": "momentum", "weight_decay": "weight decay"}
_SIGNS = {-1: ("#FFFFFF", "negative"), 0: ("#B0B0B0", "zero"), 1: ("#303030", "positive")}


def groups(names: Sequence[str]) -> dict[str, list[int]]:
    """Positions of each hyperparameter's windows, in the order of the windows: lr[0], lr[1] ..."""
    found: dict[str, list[tuple[int, int]]] = {}
    for position, name in enumerate(names):
        match = re.fullmatch(r"(.+?)(?:\[(\d+)\])?", name)
        if match is None:
            raise InputError(f"schedule name {name!r}", allowed="names such as lr[0]")
        found.setdefault(match[1], []).append((int(match[2] or 0), position))
    return {group: [position for _, position in sorted(windows)] for group, windows in found.items()}


def long_form(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a window of each report's schedule.

    Returns
    -------
    problem, method, seed, report, hyperparameter, window, start and end (fractions of the horizon: window
    i of n holds from i/n up to (i+1)/n), value, hypergradient (NaN where none was recorded).
    """
    rows = []
    for row in reports.to_dict("records"):
        slope = row["hypergradient"]
        known = slope is not None and np.ndim(slope) == 1 and len(slope) == len(row["schedule"])
        for group, positions in groups(row["schedule_names"]).items():
            n = len(positions)
            for i, at in enumerate(positions):
                rows.append({
                    "problem": row["problem"], "method": row["method"], "seed": row["seed"],
                    "report": row["report"], "hyperparameter": group, "window": i,
                    "start": i / n, "end": (i + 1) / n, "value": float(row["schedule"][at]),
                    "hypergradient": float(slope[at]) if known else np.nan,
                })  # fmt: skip
    return pd.DataFrame(rows, columns=LONG_COLUMNS)


MOST = 60
"""Outer steps of one run that a figure still shows apart."""

LONG_COLUMNS = [
    "problem", "method", "seed", "report", "hyperparameter", "window", "start", "end", "value",
    "hypergradient",
]  # fmt: skip


def final_incumbents(reports: pd.DataFrame) -> pd.DataFrame:
    """The last incumbent's report of every complete run."""
    rows = reports[reports["incumbent"].astype(bool) & (reports["status"] == "complete")]
    return rows.sort_values("report", kind="stable").groupby(CELL, sort=False).tail(1)


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """The final incumbent schedules of all methods: one row a problem, one thin line a seed."""
    table = long_form(final_incumbents(reports).sort_values(CELL))
    if table.empty:
        raise look.CannotDraw("no complete run has an incumbent, so there is no learned schedule")
    problems, names = list(table["problem"].unique()), list(table["hyperparameter"].unique())
    methods = list(dict.fromkeys(runs["method"][runs["method"].isin(table["method"])]))
    with look.page(style) as page:
        height = page.panel * (0.75 * len(problems) + 0.2)
        canvas, axes = look.panels(len(problems), len(names), page.width, height)
        for row, problem in zip(axes, problems, strict=True):
            for ax, name in zip(row, names, strict=True):
                here = table[(table["problem"] == problem) & (table["hyperparameter"] == name)]
                for (method, _), own in here.groupby(["method", "seed"], sort=False):
                    _steps(ax, own, linewidth=page.line * 0.7, alpha=0.8, **look.look(str(method)).line())
                _frame(ax, name)
            row[0].set_title(problem, loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("inner step / horizon")
        look.legend_below(canvas, look.method_handles(methods, page, markers=False))
    return look.Figure("schedules", canvas, table, _caption(table, runs))


def _steps(ax: Axes, own: pd.DataFrame, **line: Any) -> None:
    """One schedule as the piecewise constant function that it is."""
    edges = np.append(own["start"].to_numpy(np.float64), own["end"].iloc[-1])
    ax.stairs(own["value"].to_numpy(np.float64), edges, baseline=None, **line)


def _frame(ax: Axes, name: str) -> None:
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}"))
    ax.set_ylabel(GROUPS.get(name, name))


def _caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    seeds = table.groupby(["problem", "method"])["seed"].nunique()
    count = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    words = f"The incumbent schedule at the end of each complete run, one thin line a seed (n = {count})."
    missing = int((runs["status"] != "complete").sum())
    return words + (f" Failed or unfinished runs, not shown: {missing}." if missing else "")


def gradient_methods(reports: pd.DataFrame) -> list[str]:
    """Methods that step along hypergradients: of the gradient family, or with one recorded."""
    own = (reports["family"] == "gradient") | reports["hypergradient"].map(lambda h: np.ndim(h) == 1)
    return list(dict.fromkeys(reports.loc[own, "method"]))


def draw_outer_steps(
    reports: pd.DataFrame, runs: pd.DataFrame, method: str, style: str = "paper"
) -> look.Figure:
    """One method's schedule at every outer step, light to dark, over the signs of its hypergradients.

    One seed is drawn: of each problem, the lowest whose run is complete; of more than ``MOST`` outer steps
    that many, evenly spaced, with the first and the last.
    """
    own = reports[(reports["method"] == method) & (reports["status"] == "complete")]
    first = own.groupby("problem")["seed"].transform("min") if len(own) else own["seed"]
    table = long_form(_thinned(own[own["seed"] == first].sort_values(["problem", "report"], kind="stable")))
    if table.empty:
        raise look.CannotDraw(f"{look.label(method)} has no complete run with a report")
    problems, names = list(table["problem"].unique()), list(table["hyperparameter"].unique())
    signed = bool(table["hypergradient"].notna().any())
    with look.page(style) as page:
        rows = [1.0, 0.55] if signed else [1.0]  # heights of one problem's panels
        height = page.panel * (0.75 * sum(rows) * len(problems) + 0.25)
        canvas, axes = look.panels(
            len(rows) * len(problems), len(names), page.width, height, sharex=True,
            height_ratios=rows * len(problems),
        )  # fmt: skip
        shade = _shades(table, look.look(method).color)
        for i, problem in enumerate(problems):
            for j, name in enumerate(names):
                here = table[(table["problem"] == problem) & (table["hyperparameter"] == name)]
                column = [axes[i * len(rows) + k][j] for k in range(len(rows))]
                _outer_panels(column, here, name, shade, page)
                if signed and j == 0:
                    column[1].set_ylabel("outer step")
            axes[i * len(rows)][0].set_title(f"{problem}, seed {here['seed'].iloc[0]}", loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("inner step / horizon")
        bar = canvas.colorbar(shade, ax=[ax for row in axes for ax in row], aspect=40, pad=0.02)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        bar.set_label("outer step")
        if signed:
            look.legend_below(canvas, _sign_handles())
    return look.Figure(f"schedules_{method}", canvas, table, _outer_caption(method, signed))


def _thinned(reports: pd.DataFrame) -> pd.DataFrame:
    """At most ``MOST`` reports a problem: a greedy method may have thousands."""
    number = reports.groupby("problem").cumcount().to_numpy()
    count = reports.groupby("problem")["report"].transform("size").to_numpy()
    slot = number * (MOST - 1) // np.maximum(count - 1, 1)
    kept = ~pd.DataFrame({"problem": reports["problem"].to_numpy(), "slot": slot}).duplicated().to_numpy()
    return reports[kept | (count <= MOST)]


def _outer_panels(
    column: list[Axes], here: pd.DataFrame, name: str, shade: ScalarMappable, page: look.Page
) -> None:
    """One hyperparameter on one problem: its schedules and, below, the signs of its hypergradients."""
    for _, own in here.groupby("report"):
        color = shade.to_rgba(own["report"].to_numpy())[0]
        _steps(column[0], own, linewidth=page.line * 0.8, color=color)
    _frame(column[0], name)
    if len(column) > 1:
        _signs(column[1], here)


def _sign_handles() -> list[Artist]:
    return [
        Patch(facecolor=color, edgecolor="black", label=f"hypergradient {word}")
        for color, word in _SIGNS.values()
    ]


def _shades(table: pd.DataFrame, color: str) -> ScalarMappable:
    """Light to dark in the method's hue; the last step nearly black, so that order survives greyscale."""
    ramp = LinearSegmentedColormap.from_list("steps", ["#C4C4C4", color, "#1A1A1A"])
    return ScalarMappable(Normalize(table["report"].min(), max(table["report"].max(), 1)), ramp)


def _signs(ax: Axes, here: pd.DataFrame) -> None:
    """Signs of the hypergradients, a row an outer step and a column a window; hatched: none recorded."""
    grid = here.pivot_table("hypergradient", "report", "window", dropna=False)
    values: Floats = np.sign(grid.to_numpy(np.float64))
    edges = np.linspace(0, 1, values.shape[1] + 1)
    rows = np.append(grid.index.to_numpy(np.float64), grid.index.max() + 1) - 0.5
    ax.set_facecolor("white")
    ax.patch.set(hatch="xxxx", edgecolor="#999999")
    colors = ListedColormap([color for color, _ in _SIGNS.values()])
    signs = BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3)
    ax.pcolormesh(edges, rows, np.ma.masked_invalid(values), cmap=colors, norm=signs, edgecolors="#888888",
                  linewidth=0.3)  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.invert_yaxis()
    ax.grid(visible=False)


def _outer_caption(method: str, signed: bool) -> str:
    words = f"{look.label(method)}'s schedule at each outer step of one run, first light, last dark."
    if signed:
        words += (
            " Below: the sign of the hypergradient there. Where it is positive, a smaller value lowers the "
            "validation loss; hatched: none was recorded."
        )
    return words
