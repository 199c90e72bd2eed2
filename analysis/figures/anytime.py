"""What the incumbent is worth while the clock runs, in the unit of a loss or metric, with its interval.

How seeds that have not reported, failed or stopped early enter the median stands in ``stats``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import MIXED, Looks
from ..stats.bands import Spread, bands, largest_shown
from ..stats.curves import AXES, METRICS, metric_of
from ..stats.frames import NoAnswer, flag, numbers, settled, split
from ..stats.way import chosen
from . import captions
from .ends import label_ends, panels_with_names
from .layout import legend_below, method_handles, rest_handle
from .saving import Figure
from .step_lines import line_ends, step_lines
from .style import Page, grid_shape, label_outer, page_of, panels, plain_log


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
    """One panel a problem; a few methods in colour, the others grey, with their names at the ends of lines.

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
    error = error and metric.endswith("metric") and looks.shown().factor > 0
    marks = _retrained(settled(runs)) if final and metric == "test_metric" else pd.Series(dtype=float)
    drawn = shown.assign(median=1 - shown["median"], low=1 - shown["high"], high=1 - shown["low"])
    drawn, marks = (drawn, 1 - marks) if error else (shown, marks)
    problems = list(dict.fromkeys(shown["problem"]))
    methods = _best_first(shown, metric)
    coloured = [m for m in chosen(reports, runs, looks.kind_of, most=5) if m in methods] or methods[:5]
    floors = _floors(runs)
    few = len(problems) <= FEW
    with page_of(style) as page:
        canvas, axes = _pages(problems, methods, floors, looks, page)
        for ax, problem in zip((ax for row in axes for ax in row), problems, strict=False):
            here = drawn[drawn["problem"] == problem]
            step_lines(ax, here, coloured, None, looks, page)
            _marks(ax, here, coloured, looks, marks, page)
            _frame(ax, here, metric, error, looks.shown(problem).factor)
            _panel_title(ax, problem, metric, looks, few, page)
        label_outer(axes, len(problems), AXES[against], _quantity(metric, error, looks))
        unnamed: list[str] = []
        if few:
            for (ax,), problem in zip(axes, problems, strict=True):
                here = drawn[drawn["problem"] == problem]
                unnamed += label_ends(canvas, ax, line_ends(here, coloured, None, looks, several=False), page)
        else:
            there = [m for m in coloured if m in methods]
            handles = method_handles(there, looks, page, markers=False)
            legend_below(canvas, [*handles, *rest_handle(drawn, coloured, [], page)], columns=3)
    name = _name(metric, against, error)
    caption = _caption(table, reports, runs, metric, spread, len(marks) > 0, unnamed)
    return Figure(name, canvas, table, caption)


FEW = 3
"""Of more problems than these each has a small panel, and one legend names the lines."""


def _pages(
    problems: list[str], methods: list[str], floors: list[str], looks: Looks, page: Page
) -> tuple[Canvas, list[list[Axes]]]:
    if len(problems) <= FEW:
        height = page.panel * (1.4 if len(problems) == 1 else 1.15) * len(problems)
        names = [looks.label(m) for m in methods]
        return panels_with_names(len(problems), 1, page, height, names)
    rows, columns = grid_shape(len(problems))
    return panels(rows, columns, page.width, page.panel * (0.75 * rows + 0.3))


def _panel_title(ax: Axes, problem: str, metric: str, looks: Looks, few: bool, page: Page) -> None:
    own, whose = looks.shown(problem), looks.shown()
    unlike = metric.endswith("metric") and whose == MIXED and own != whose
    words = problem + (f"{': ' if few else chr(10)}{own.axis}" if unlike else "")
    ax.set_title(words, loc="left", fontsize=page.font if few else page.small)


def _quantity(metric: str, error: bool, looks: Looks) -> str:
    quantity, whose = METRICS[metric].label, looks.shown()
    if metric.endswith("metric"):
        return quantity.replace("accuracy", "error (%)" if error else whose.axis)
    return quantity + whose.loss_unit


def _floors(runs: pd.DataFrame) -> list[str]:
    done = settled(runs)
    return [str(m) for m in dict.fromkeys(done.loc[~flag(done, "searches"), "method"])]


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


def _marks(
    ax: Axes, table: pd.DataFrame, methods: list[str], looks: Looks, marks: pd.Series[float], page: Page
) -> None:
    """Hollow markers of what the retrained incumbents came to."""
    for method in methods:
        own = table[table["method"] == method]
        value = marks.get((own["problem"].iloc[0], method), np.nan) if len(own) else np.nan
        if np.isfinite(value):
            live = own[~own["held"].astype(bool)]
            ax.plot(live["at"].iloc[-1], value, marker=looks[method].marker, color=looks[method].color,
                    markerfacecolor="white", zorder=4, clip_on=False, gid=f"final:{method}")  # fmt: skip


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
        ax.set_xlim(positive.min() / 1.15, positive.max())  # which also ends its looking at the data
    plain_log(ax.xaxis, 6)


def _caption(
    table: pd.DataFrame,
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str,
    spread: Spread,
    marked: bool,
    unnamed: list[str],
) -> str:
    counts = table["seeds"].unique()
    words = [
        f"{METRICS[metric].label.capitalize()} of the incumbent by validation. Line: median over "
        f"{captions.seeds(counts)}; in colour FDS and the methods of each kind that came furthest, in "
        "grey the "
        "others. Band: "
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
    if unnamed:
        words.append(f"Grey, without room for a name: {', '.join(dict.fromkeys(unnamed))}.")
    if marked:
        words.append("Hollow markers: median test accuracy after retraining on training and validation data.")
    return " ".join([*words, *captions.protocol_and_rest(runs)])
