"""The incumbent while the clock runs: median over seeds, with its interval.

How seeds that have not reported, failed or stopped early enter the median stands in ``stats``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import MIXED, Look, Looks
from ..stats.bands import Spread, bands, largest_shown
from ..stats.curves import AXES, METRICS, metric_of
from ..stats.frames import NoAnswer, numbers, settled, split
from . import captions
from .layout import Plan, legend_of, plan
from .saving import Figure
from .style import Page, in_grey, label_outer, page_of, panels, shade_steps, share_scale


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str = "test_metric",
    against: str = "seconds",
    final: bool = True,
    error: bool = False,
    spread: Spread = "interval",
    style: str = "paper",
) -> Figure:
    """One panel a problem, one line a method; hollow markers: median test accuracy after retraining.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS. Unfinished runs are left out.
    metric : what is drawn upwards.
    against : seconds, inner_steps or gradient_equivalents, logarithmic.
    final : also mark the retrained incumbent's test accuracy (only where metric is test_metric).
    error : draw accuracies as 1 - accuracy on a logarithmic axis, which keeps good methods apart.
    spread : interval (95 %, of the median; below six seeds their range) or quartiles (of the seeds).
    """
    table, looks = bands(reports, runs, metric, against, spread), Looks.of(runs)
    shown = table.dropna(subset="median")
    if shown.empty:
        raise NoAnswer(f"no method has a median {METRICS[metric].label} over its finished seeds")
    whose = looks.shown()
    error = error and metric.endswith("metric") and whose.factor > 0
    methods = _best_first(shown, metric)
    marks = _retrained(settled(runs)) if final and metric == "test_metric" else pd.Series(dtype=float)
    drawn = shown.assign(median=1 - shown["median"], low=1 - shown["high"], high=1 - shown["low"])
    drawn, marks = (drawn, 1 - marks) if error else (shown, marks)
    made = plan(list(dict.fromkeys(shown["problem"])), methods, looks)
    with page_of(style) as page:
        height = page.panel * (made.tall * made.rows + 0.2)
        canvas, axes = panels(made.rows, made.columns, page.width * made.wide, height)
        for ax, panel in zip((ax for row in axes for ax in row), made.panels, strict=False):
            here = drawn[drawn["problem"] == panel.problem]
            _frame(ax, here, metric, error, looks.shown(panel.problem).factor)
            rest = here[~here["method"].isin(panel.methods)].groupby("method", sort=False)
            in_grey(ax, [(own["at"], own["median"]) for _, own in rest], page)
            _panel(ax, here, {m: looks[m] for m in methods if m in panel.methods}, marks, page, made.tall)
            own = looks.shown(panel.problem)
            ax.set_title(
                panel.title + (f": {own.axis}" if whose == MIXED and own != whose else ""), loc="left"
            )
        quantity = METRICS[metric].label
        if metric.endswith("metric"):
            quantity = quantity.replace("accuracy", "error (%)" if error else whose.axis)
        else:
            quantity += whose.loss_unit
        if made.kinds:
            share_scale(axes)
        label_outer(axes, len(made.panels), AXES[against], quantity)
        legend_of(canvas, made, methods, looks, page)
    name = _name(metric, against, error)
    return Figure(name, canvas, table, _caption(table, reports, runs, metric, spread, made, len(marks) > 0))


def _name(metric: str, against: str, error: bool) -> str:
    """``anytime``, and what is not as usual."""
    other = [part for part in (metric, against) if part not in ("test_metric", "seconds")]
    return "_".join(["anytime", *(["error"] if error else []), *other])


def _best_first(table: pd.DataFrame, metric: str) -> list[str]:
    """Methods in the order of their mean last median over problems: the legend reads as a result."""
    last = table.groupby(["problem", "method"])["median"].last().groupby("method").mean()
    if metric_of(metric).higher_is_better:
        last = -last
    return [str(m) for m in last.sort_values(kind="stable").index]


def _retrained(runs: pd.DataFrame) -> pd.Series[float]:
    """Median final test accuracy by (problem, method) over the runs that have one."""
    values = numbers(runs["final_test_metric"])
    index = pd.MultiIndex.from_frame(runs[["problem", "method"]])
    median = pd.Series(values, index=index).groupby(level=[0, 1]).median()
    return median[np.isfinite(median)]


def _panel(
    ax: Axes, table: pd.DataFrame, methods: dict[str, Look], marks: pd.Series[float], page: Page, tall: float
) -> None:
    """Lines and bands of one panel; its markers are the smaller the lower it is."""
    size = page.marker * min(1.0, tall)
    for method, kind in methods.items():
        own = table[table["method"] == method]
        if own.empty:
            continue
        steps: dict[str, Any] = {"drawstyle": "steps-post", **kind.line()}
        shade_steps(ax, own["at"], own["low"], own["high"], kind.color)
        live = own[~own["held"]]
        ax.plot(live["at"], live["median"], marker=kind.marker, markersize=size, markevery=(0.0, 0.2),
                label=kind.label, gid=f"median:{method}", **steps)  # fmt: skip
        if len(live) < len(own):
            rest = own.iloc[len(live) - 1 :]
            ax.plot(rest["at"], rest["median"], alpha=0.45, linewidth=page.line * 0.6, **steps)
        value = marks.get((own["problem"].iloc[0], method), np.nan)
        if np.isfinite(value):
            ax.plot(live["at"].iloc[-1], value, marker=kind.marker, markersize=size * 1.5,
                    color=kind.color, markerfacecolor="white", zorder=4, clip_on=False,
                    gid=f"final:{method}")  # fmt: skip


def _frame(ax: Axes, table: pd.DataFrame, metric: str, error: bool, factor: float) -> None:
    """Axes: logarithmic time from just before the first median; better upwards, losses by decades."""
    ax.set_xscale("log")
    edges = table.loc[table["reported"] == table["seeds"], ["low", "high"]].to_numpy(np.float64)
    values = np.append(table["median"].to_numpy(np.float64), edges[np.isfinite(edges)])
    low, high = float(values.min()), min(float(values.max()), largest_shown(table, metric))
    if error or (not metric.endswith("metric") and low > 0 and high > 10 * low):
        ax.set_yscale("log")
        low, high = float(values[values > 0].min()) if (values > 0).any() else 1e-3, max(high, 1e-3)
        ax.set_ylim(low / (high / low) ** 0.06 / 1.05, high * (high / low) ** 0.06 * 1.05)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y if error else y:g}"))
    else:
        room = 0.06 * (high - low) or 0.05
        ax.set_ylim(low - room, high + room)
        if metric.endswith("metric"):
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{factor * y:g}"))
    positive = table.loc[table["at"] > 0, "at"]
    if len(positive) and positive.max() > positive.min():
        ax.set_xlim(positive.min() / 1.2, positive.max() * 1.15)  # which also ends its looking at the data


def _caption(
    table: pd.DataFrame,
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str,
    spread: Spread,
    made: Plan,
    marked: bool,
) -> str:
    counts = table["seeds"].unique()
    of = (
        "Line: median" if made.kinds is None else "Line in colour: median (grey: the methods of other panels)"
    )
    words = [
        f"{METRICS[metric].label.capitalize()} of the incumbent by validation. {of} over "
        f"{captions.seeds(counts)}. Band: "
        + (captions.interval(counts) if spread == "interval" else "between the quartiles of the seeds."),
        "A seed without a report yet counts as the worst, so a line starts where more than half have one; a "
        "failed run keeps what it had. Thin ends: all runs had stopped.",
    ]
    shown = table.dropna(subset="median")
    tops = {p: largest_shown(own, metric) for p, own in shown.groupby("problem")}
    cut = [method for problem, method, own in split(shown) if own["median"].max() > tops[problem]]
    if cut:
        looks = Looks.of(runs)
        named = ", ".join(looks.label(m) for m in dict.fromkeys(cut))
        words.append(f"Larger losses lie above the axis's end: {named}.")
    if metric.startswith("test"):
        words.append(captions.curve(reports))
    if marked:
        words.append("Hollow markers: median test accuracy after retraining on training and validation data.")
    return " ".join([*words, *captions.protocol_and_rest(runs)])
