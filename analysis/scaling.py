"""Test accuracy at the end of equal budgets, against the number of hyperparameters.

From suites whose problems differ in nothing but that number, and say so by their names, which are the same
but for a number at the end: ``windows-1``, ``windows-3`` and so on (``scaling.toml``).
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from . import captions
from . import style as look
from .curves import median_interval, numbers, settled

LEAST = 3  # numbers of hyperparameters that make a curve
MEASURES = {
    "incumbent_test_accuracy": "incumbent, at the budget's end",
    "final_test_accuracy": "its schedule, trained again",
}
COLUMNS = [
    "series", "problem", "hyperparameters", "method", "family", "measure", "median", "low", "high", "seeds",
]  # fmt: skip


def accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """Median over seeds with its 95 % bootstrap interval, by number of hyperparameters, method and measure.

    A run without a value (failed, nothing finite within its budget) counts as accuracy 0; a method that
    cannot run on a problem has no row there. ``series`` is what the problems' names have in common, and
    ``family`` the method's ("gradient", "black box", "baseline"). Accuracies are fractions.
    """
    done = settled(runs)
    done = done.assign(
        series=done["problem"].map(_series), hyperparameters=done["schedule_names"].map(np.size)
    )
    sizes = done.groupby("series")["hyperparameters"].transform("nunique")
    problems = done.groupby("series")["problem"].transform("nunique")
    own = done[(done["series"] != "") & (sizes >= LEAST) & (problems == sizes)]
    rows = []
    keys = ["series", "problem", "hyperparameters", "method", "family"]
    for key, cells in own.groupby(keys, sort=False):
        for measure in MEASURES:
            values = np.nan_to_num(numbers(cells[measure]))
            low, high = (float(edge) for edge in median_interval(values))
            rows.append((*key, measure, float(np.median(values)), low, high, len(values)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _series(problem: str) -> str:
    """``windows`` of ``windows-81``; nothing of a name without a number at its end."""
    match = re.fullmatch(r"(.*?)[-_]?\d+", problem)
    return match[1] if match else ""


def overtaken(table: pd.DataFrame, measure: str = "incumbent_test_accuracy") -> pd.DataFrame:
    """Where each gradient-based method's median is above that of every black-box method.

    Returns
    -------
    series, method, ``above``: the numbers of hyperparameters at which it is, ascending; ``of``: all at which
    both kinds were run.
    """
    own, place = table[table["measure"] == measure], ["series", "hyperparameters"]
    best = own[own["family"] == "black box"].groupby(place, as_index=False)["median"].max()
    both = own[own["family"] == "gradient"].merge(best, on=place, suffixes=("", "_best"))
    both = both.sort_values("hyperparameters", kind="stable")
    rows = []
    for key, mine in both.groupby(["series", "method"], sort=False):
        above = mine.loc[mine["median"] > mine["median_best"], "hyperparameters"]
        rows.append((*key, above.tolist(), mine["hyperparameters"].tolist()))
    return pd.DataFrame(rows, columns=["series", "method", "above", "of"])


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """One row of two panels a series: the incumbents' test accuracy, and that of their retraining."""
    table = accuracies(runs)
    if table.empty:
        raise look.CannotDraw(
            f"there are no {LEAST} problems that differ in their number of hyperparameters and have names "
            "that differ in a number at the end alone"
        )
    names = list(dict.fromkeys(table["series"]))
    methods = [m for members in look.kinds(dict.fromkeys(table["method"])).values() for m in members]
    with look.page(style) as page:
        canvas, axes = look.panels(
            len(names), len(MEASURES), page.width, page.panel * (len(names) + 0.25), sharey=True
        )
        for row, name in zip(axes, names, strict=True):
            for ax, measure in zip(row, MEASURES, strict=True):
                _panel(ax, table[(table["series"] == name) & (table["measure"] == measure)], methods, page)
                several = f"{name}\n" if len(names) > 1 and ax is row[0] else ""
                ax.set_title(several + MEASURES[measure], loc="left")
            row[0].set_ylabel("test accuracy (%)")
        for ax in axes[-1]:
            ax.set_xlabel("hyperparameters (number)")
        look.legend_below(canvas, look.method_handles(methods, page))
    return look.Figure("scaling", canvas, table, _caption(table, runs))


def _panel(ax: Axes, table: pd.DataFrame, methods: list[str], page: look.Page) -> None:
    sizes = sorted(set(table["hyperparameters"]))
    ratio = (sizes[-1] / sizes[0]) ** (0.012) if len(sizes) > 1 else 1.0
    for i, method in enumerate(methods):
        own = table[table["method"] == method].sort_values("hyperparameters")
        if own.empty:
            continue
        kind = look.look(method)
        at = own["hyperparameters"].to_numpy(np.float64) * ratio ** (i - (len(methods) - 1) / 2)
        low, middle, high = (100 * own[name].to_numpy(np.float64) for name in ("low", "median", "high"))
        ax.vlines(at, low, high, color=kind.color, alpha=0.5, linewidth=page.line)
        ax.plot(at, middle, marker=kind.marker, gid=f"scaling:{method}", **kind.line())
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sizes))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    own = runs[runs["problem"].isin(table["problem"])]
    words = [
        f"Test accuracy after equal budgets against the number of hyperparameters: median over "
        f"{captions.seeds(table['seeds'])}; bars: {captions.interval(table['seeds'])} A run without an "
        "accuracy counts as 0."
    ]
    several = len(set(table["series"])) > 1
    for row in overtaken(table).to_dict("records"):
        where = ", ".join(str(n) for n in row["above"]) or "none"
        place = f" ({row['series']})" if several else ""
        words.append(
            f"{look.label(str(row['method']))}'s incumbents are above every black-box method's at "
            f"{where} of {', '.join(map(str, row['of']))} hyperparameters{place}."
        )
    return " ".join([*words, captions.protocol(own), *captions.left_out(own)])
