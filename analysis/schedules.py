"""Learned schedules: learning rate, momentum and weight decay over the horizon.

``draw`` sets the methods' final incumbents side by side; ``draw_outer_steps`` shows how one
gradient-based method got there, outer step by outer step, with the signs of its hypergradients and the
sizes of its steps.
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
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from hpobench_fds.errors import InputError

from . import captions
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
    i of n holds from i/n up to (i+1)/n), value, hypergradient and step_size (NaN where none was recorded).
    """
    rows = []
    for row in reports.to_dict("records"):
        extra, count = row["extra"], len(row["schedule"])
        slope = _list(row["hypergradient"], count)
        step = _list(extra.get("step_sizes") if isinstance(extra, dict) else None, count)
        for group, positions in groups(row["schedule_names"]).items():
            n = len(positions)
            for i, at in enumerate(positions):
                rows.append({
                    "problem": row["problem"], "method": row["method"], "seed": row["seed"],
                    "report": row["report"], "hyperparameter": group, "window": i,
                    "start": i / n, "end": (i + 1) / n, "value": float(row["schedule"][at]),
                    "hypergradient": slope[at], "step_size": step[at],
                })  # fmt: skip
    return pd.DataFrame(rows, columns=LONG_COLUMNS)


def _list(values: object, count: int) -> Sequence[float]:
    """That many numbers; NaN if they were not recorded."""
    known = isinstance(values, (list, tuple, np.ndarray)) and np.ndim(values) == 1 and len(values) == count
    return [float(v) for v in values] if known else [float("nan")] * count  # type: ignore[attr-defined]


MOST = 60
"""Outer steps of one run that a figure still shows apart."""

LONG_COLUMNS = [
    "problem", "method", "seed", "report", "hyperparameter", "window", "start", "end", "value",
    "hypergradient", "step_size",
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
    crowd = len(methods) > look.CROWD
    with look.page(style) as page:
        canvas = (_by_kind if crowd else _together)(table, problems, names, methods, page)
    return look.Figure("schedules", canvas, table, _caption(table, runs, crowd))


def _together(
    table: pd.DataFrame, problems: list[str], names: list[str], methods: list[str], page: look.Page
) -> Canvas:
    """A row a problem, a column a hyperparameter, a thin line a method and seed."""
    height = page.panel * (0.75 * len(problems) + 0.2)
    canvas, axes = look.panels(len(problems), len(names), page.width, height)
    for row, problem in zip(axes, problems, strict=True):
        for ax, name in zip(row, names, strict=True):
            here = table[(table["problem"] == problem) & (table["hyperparameter"] == name)]
            for (method, _), own in here.groupby(["method", "seed"], sort=False):
                _steps(ax, own, linewidth=page.line * 0.7, alpha=0.8, **look.look(str(method)).line())
            _frame(ax, name)
        row[0].set_title(problem, loc="left")
    axes[-1][(len(names) - 1) // 2].set_xlabel("inner step / horizon")
    look.legend_below(canvas, look.method_handles(methods, page, markers=False))
    return canvas


def _by_kind(
    table: pd.DataFrame, problems: list[str], names: list[str], methods: list[str], page: look.Page
) -> Canvas:
    """A row a problem and hyperparameter, a column a kind of method: median and range over seeds."""
    spread = look.kinds(methods)
    rows = [(problem, name) for problem in problems for name in names]
    canvas, axes = look.panels(
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
                    _median_steps(ax, each[problem, name, method], look.look(method), page)
            _frame(ax, name)
            if ax is not row[0]:
                ax.set_ylabel("")
        first = axes[0] if name == names[0] and problem == problems[0] else [row[0]]
        words = list(spread) if len(first) > 1 else [""]
        for ax, kind in zip(first, words, strict=True):
            named = problem if ax is row[0] and name == names[0] else ""
            ax.set_title("\n".join(part for part in (named, kind) if part), loc="left")
    axes[-1][(len(spread) - 1) // 2].set_xlabel("inner step / horizon")
    look.legend_of(canvas, look.Plan([], len(rows), len(spread), spread), methods, page, markers=False)
    return canvas


def _median_steps(ax: Axes, values: pd.DataFrame, kind: look.Look, page: look.Page) -> None:
    """Each window's median over seeds, and in a lighter shade their range; a row a window."""
    edges = np.append(values["start"].to_numpy(np.float64), values["end"].iloc[-1])
    low, high = (values[side].to_numpy(np.float64) for side in ("min", "max"))
    ax.stairs(high, edges, baseline=low, fill=True, color=kind.color, alpha=0.15, linewidth=0)
    ax.stairs(values["median"].to_numpy(np.float64), edges, baseline=None, linewidth=page.line * 0.9,
              **kind.line())  # fmt: skip


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


def _caption(table: pd.DataFrame, runs: pd.DataFrame, crowd: bool) -> str:
    count = captions.seeds(table.groupby(["problem", "method"])["seed"].nunique())
    drawn = "line: each window's median over seeds, shade: their range" if crowd else "one thin line a seed"
    words = f"The incumbent schedule at the end of each complete run, {drawn} ({count})."
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
    signed, stepped = (bool(table[column].notna().any()) for column in ("hypergradient", "step_size"))
    rows = [1.0, *([0.55] if signed else []), *([0.6] if stepped else [])]  # heights of one problem's panels
    with look.page(style) as page:
        height = page.panel * (0.75 * sum(rows) * len(problems) + 0.25 + 0.12 * len(problems) * len(rows))
        canvas, axes = look.panels(
            len(rows) * len(problems), len(names), page.width, height, height_ratios=rows * len(problems)
        )
        shade = _shades(table, look.look(method).color)
        for i, problem in enumerate(problems):
            block = axes[i * len(rows) : (i + 1) * len(rows)]
            here = table[table["problem"] == problem]
            for j, name in enumerate(names):
                own = here[here["hyperparameter"] == name]
                _outer_panels([row[j] for row in block], own, name, shade, page, signed, stepped)
            _outer_labels(block, signed, stepped)
            block[0][0].set_title(f"{problem}, seed {here['seed'].iloc[0]}", loc="left")
        bar = canvas.colorbar(shade, ax=[ax for row in axes for ax in row], aspect=40, pad=0.02)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        bar.set_label("outer step")
        if signed:
            look.legend_below(canvas, _sign_handles())
    return look.Figure(f"schedules_{method}", canvas, table, _outer_caption(method, signed, stepped, runs))


def _outer_labels(block: list[list[Axes]], signed: bool, stepped: bool) -> None:
    """Labels of one problem's panels, where they do not repeat each other."""
    if signed:
        block[1][0].set_ylabel("outer step")
    if stepped:
        block[-1][0].set_ylabel("step size")
        block[-1][(len(block[0]) - 1) // 2].set_xlabel("outer step")
    block[-2 if stepped else -1][(len(block[0]) - 1) // 2].set_xlabel("inner step / horizon")


def _thinned(reports: pd.DataFrame) -> pd.DataFrame:
    """At most ``MOST`` reports a problem: a greedy method may have thousands."""
    number = reports.groupby("problem").cumcount().to_numpy()
    count = reports.groupby("problem")["report"].transform("size").to_numpy()
    slot = number * (MOST - 1) // np.maximum(count - 1, 1)
    kept = ~pd.DataFrame({"problem": reports["problem"].to_numpy(), "slot": slot}).duplicated().to_numpy()
    return reports[kept | (count <= MOST)]


def _outer_panels(
    column: list[Axes],
    here: pd.DataFrame,
    name: str,
    shade: ScalarMappable,
    page: look.Page,
    signed: bool,
    stepped: bool,
) -> None:
    """One hyperparameter on one problem: its schedules; below, its hypergradients' signs and step sizes."""
    steps, numbers_ = [], []
    for report, own in here.groupby("report"):
        x = np.repeat(np.append(own["start"].to_numpy(np.float64), own["end"].iloc[-1]), 2)[1:-1]
        steps.append(np.column_stack([x, np.repeat(own["value"].to_numpy(np.float64), 2)]))
        numbers_.append(int(str(report)))
    colors = shade.to_rgba(np.array(numbers_))
    column[0].add_collection(LineCollection(steps, colors=colors, linewidths=page.line * 0.8))
    column[0].margins(y=0.08)
    column[0].autoscale_view()
    _frame(column[0], name)
    if signed:
        _signs(column[1], here)
    if stepped:
        _step_sizes(column[-1], here, page)


def _step_sizes(ax: Axes, here: pd.DataFrame, page: look.Page) -> None:
    """Step sizes against outer steps, one line a window, the first light and the last dark."""
    last = max(int(here["window"].max()), 1)
    for window, own in here.groupby("window"):
        part = 0.72 * (1 - int(str(window)) / last)
        ax.plot(own["report"], own["step_size"], color=(part,) * 3, linewidth=page.line * 0.7)
    sizes = here["step_size"].to_numpy(np.float64)
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if len(sizes):
        ax.set_yscale("log")
        few = np.unique(sizes)
        few = few[:: -(-len(few) // 4)] if len(few) <= 12 else few
        ax.yaxis.set_major_locator(FixedLocator(few.tolist()) if len(few) <= 4 else LogLocator(numticks=4))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))


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
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _outer_caption(method: str, signed: bool, stepped: bool, runs: pd.DataFrame) -> str:
    words = f"{look.label(method)}'s schedule at each outer step of one run, first light, last dark."
    if signed:
        words += (
            " Below: the sign of the hypergradient there. Where it is positive, a smaller value lowers the "
            "validation loss; hatched: none was recorded."
        )
    if stepped:
        words += " Below: the size of the step of each window, the first window light, the last dark."
    return f"{words} {captions.protocol(runs)}"
