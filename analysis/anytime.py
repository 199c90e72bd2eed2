"""The incumbent's test accuracy while the clock runs: median over seeds and interquartile band.

How seeds that have not reported, failed or stopped early enter the median stands in ``curves``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from . import style as look
from .curves import AXES, METRICS, anytime, band, ends, event_times, metric_of, numbers, settled, split

COLUMNS = ["problem", "method", "at", "median", "low", "high", "seeds", "reported", "held"]


def bands(
    reports: pd.DataFrame, runs: pd.DataFrame, metric: str = "test_accuracy", against: str = "seconds"
) -> pd.DataFrame:
    """Median and quartiles of every method on every problem, at each time at which one of them jumps.

    Returns
    -------
    problem, method, then ``curves.band``'s columns, and ``held``: whether all seeds had stopped by then,
    so that the value only holds. The last row of each curve lies at the largest budget of its problem.
    """
    reports, runs = settled(reports), settled(runs)
    curves = anytime(reports, metric, against, runs)
    budgets = ends(runs, against).groupby(level="problem").max()
    used = pd.DataFrame({**runs[["problem", "method"]], "used": numbers(runs[against])})
    stops = used.groupby(["problem", "method"])["used"].max()
    pieces = []
    for problem, method, own in split(curves):
        events, budget = event_times(own), float(budgets.loc[problem])
        stop = max(float(stops.loc[(problem, method)]), float(events[-1]))
        grid = np.union1d(events, [stop, budget])
        table = band(own, grid, metric=metric)
        pieces.append(table.assign(problem=problem, method=method, held=table["at"] > stop)[COLUMNS])
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=COLUMNS)


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str = "test_accuracy",
    against: str = "seconds",
    final: bool = True,
    error: bool = False,
    style: str = "paper",
) -> look.Figure:
    """One panel a problem, one line a method; hollow markers: median test accuracy after retraining.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS. Unfinished runs are left out.
    metric : what is drawn upwards.
    against : seconds, inner_steps or gradient_equivalents, logarithmic.
    final : also mark the retrained incumbent's test accuracy (only where metric is test_accuracy).
    error : draw accuracies as 1 - accuracy on a logarithmic axis, which keeps good methods apart.
    """
    table = bands(reports, runs, metric, against)
    shown = table.dropna(subset="median")
    if shown.empty:
        raise look.CannotDraw(f"no method has a median {METRICS[metric].label} over its finished seeds")
    error = error and metric.endswith("accuracy")
    problems = list(dict.fromkeys(shown["problem"]))
    methods = _best_first(shown, metric)
    marks = _retrained(settled(runs)) if final and metric == "test_accuracy" else pd.Series(dtype=float)
    with look.page(style) as page:
        rows, columns = look.grid_shape(len(problems))
        height = page.panel * (1.15 if columns < 3 else 0.9)
        canvas, axes = look.panels(rows, columns, page.width, height * rows + 0.1 * page.panel * 2)
        flat = [ax for row in axes for ax in row]
        for ax, problem in zip(flat, problems, strict=False):
            here = shown[shown["problem"] == problem]
            if error:
                ax.set_yscale("log")
                flipped = {"median": 1 - here["median"], "low": 1 - here["high"], "high": 1 - here["low"]}
                _panel(ax, here.assign(**flipped), methods, 1 - marks, page)
            else:
                _panel(ax, here, methods, marks, page)
            _frame(ax, here, metric)
            ax.set_title(problem, loc="left")
        unit = " (%)" if metric.endswith("accuracy") else ""
        quantity = METRICS[metric].label.replace("accuracy", "error" if error else "accuracy")
        look.label_outer(axes, len(problems), AXES[against], quantity + unit)
        look.legend_below(canvas, look.method_handles(methods, page))
    other = [part for part in (metric, against) if part not in ("test_accuracy", "seconds")]
    name = "_".join(["anytime", *(["error"] if error else []), *other])
    return look.Figure(name, canvas, table, _caption(table, runs, metric, len(marks) > 0))


def _best_first(table: pd.DataFrame, metric: str) -> list[str]:
    """Methods in the order of their mean last median over problems: the legend reads as a result."""
    last = table.groupby(["problem", "method"])["median"].last().groupby("method").mean()
    if metric_of(metric).higher_is_better:
        last = -last
    return [str(m) for m in last.sort_values(kind="stable").index]


def _retrained(runs: pd.DataFrame) -> pd.Series[float]:
    """Median final test accuracy by (problem, method), where there is one; a seed without counts as 0."""
    values = np.nan_to_num(numbers(runs["final_test_accuracy"]))
    index = pd.MultiIndex.from_frame(runs[["problem", "method"]])
    median = pd.Series(values, index=index).groupby(level=[0, 1]).median()
    return median[median > 0]


def _panel(
    ax: Axes, table: pd.DataFrame, methods: list[str], marks: pd.Series[float], page: look.Page
) -> None:
    """Lines and bands of one problem."""
    for method in methods:
        own = table[table["method"] == method]
        if own.empty:
            continue
        kind = look.look(method)
        steps: dict[str, Any] = {"drawstyle": "steps-post", **kind.line()}
        ax.fill_between(own["at"], own["low"], own["high"], step="post", color=kind.color, alpha=0.15,
                        linewidth=0)  # fmt: skip
        live = own[~own["held"]]
        ax.plot(live["at"], live["median"], marker=kind.marker, markevery=(0.0, 0.2), label=kind.label,
                gid=f"median:{method}", **steps)  # fmt: skip
        if len(live) < len(own):
            rest = own.iloc[len(live) - 1 :]
            ax.plot(rest["at"], rest["median"], alpha=0.45, linewidth=page.line * 0.6, **steps)
        value = marks.get((own["problem"].iloc[0], method), np.nan)
        if np.isfinite(value):
            ax.plot(live["at"].iloc[-1], value, marker=kind.marker, markersize=page.marker * 1.5,
                    color=kind.color, markerfacecolor="white", zorder=4, clip_on=False,
                    gid=f"final:{method}")  # fmt: skip


def _frame(ax: Axes, table: pd.DataFrame, metric: str) -> None:
    """Axes: logarithmic time from just before the first median, percent upwards."""
    ax.set_xscale("log")
    if metric.endswith("accuracy"):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}"))
    if ax.get_yscale() == "log":
        low, high = ax.get_ylim()
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    positive = table.loc[table["at"] > 0, "at"]
    if len(positive) and positive.max() > positive.min():
        ax.set_xlim(positive.min() / 1.2, positive.max() * 1.15)


def _caption(table: pd.DataFrame, runs: pd.DataFrame, metric: str, marked: bool) -> str:
    counts = sorted(table["seeds"].unique())
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words = [
        f"{METRICS[metric].label.capitalize()} of the incumbent by validation: median over n = {seeds} "
        "seeds, and interquartile band. A seed without a report yet counts as the worst, so a line starts "
        "where more than half have one; a failed run keeps what it had. Thin ends: all runs had stopped."
    ]
    if marked:
        words.append("Hollow markers: median test accuracy after retraining on training and validation data.")
    failed, unfinished = (int(runs["status"].isin(s).sum()) for s in (["failed"], ["running", "interrupted"]))
    if failed:
        words.append(f"Failed runs, counted: {failed}.")
    if unfinished:
        words.append(f"Unfinished runs, left out: {unfinished}.")
    return " ".join(words)
