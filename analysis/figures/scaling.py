"""Test accuracy at the end of equal budgets, against the number of hyperparameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ..looks import Looks
from ..stats.frames import NoAnswer
from ..stats.scaling import LEAST, accuracies, overtaken
from . import captions
from .layout import legend_below, method_handles
from .saving import Figure
from .style import Page, page_of, panels

MEASURES = {
    "incumbent_test_metric": "incumbent, at the budget's end",
    "final_test_metric": "its schedule, trained again",
}


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """One row of two panels a series: the incumbents' test accuracy, and that of their retraining."""
    table, looks = accuracies(runs), Looks.of(runs)
    if table.empty:
        raise NoAnswer(
            f"there are no {LEAST} problems that differ in their number of hyperparameters and have names "
            "that differ in a number at the end alone"
        )
    names = list(dict.fromkeys(table["series"]))
    methods = [m for members in looks.kinds(dict.fromkeys(table["method"])).values() for m in members]
    with page_of(style) as page:
        canvas, axes = panels(
            len(names), len(MEASURES), page.width, page.panel * (len(names) + 0.25), sharey=True
        )
        for row, name in zip(axes, names, strict=True):
            for ax, measure in zip(row, MEASURES, strict=True):
                _panel(
                    ax, table[(table["series"] == name) & (table["measure"] == measure)], methods, looks, page
                )
                several = f"{name}\n" if len(names) > 1 and ax is row[0] else ""
                ax.set_title(several + MEASURES[measure], loc="left")
            row[0].set_ylabel(f"test {looks.shown().axis}")
        for ax in axes[-1]:
            ax.set_xlabel("hyperparameters (number)")
        legend_below(canvas, method_handles(methods, looks, page))
    return Figure("scaling", canvas, table, _caption(table, runs))


def _panel(ax: Axes, table: pd.DataFrame, methods: list[str], looks: Looks, page: Page) -> None:
    sizes, factor = sorted(set(table["hyperparameters"])), looks.shown().factor
    ratio = (sizes[-1] / sizes[0]) ** (0.012) if len(sizes) > 1 else 1.0
    for i, method in enumerate(methods):
        own = table[table["method"] == method].sort_values("hyperparameters")
        if own.empty:
            continue
        kind = looks[method]
        at = own["hyperparameters"].to_numpy(np.float64) * ratio ** (i - (len(methods) - 1) / 2)
        low, middle, high = (factor * own[name].to_numpy(np.float64) for name in ("low", "median", "high"))
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
        f"{captions.seeds(table['seeds'])}; bars: {captions.interval(table['seeds'])} A run that "
        "ended with nothing in hand counts as guessing."
    ]
    several, looks = len(set(table["series"])) > 1, Looks.of(runs)
    for row in overtaken(table).to_dict("records"):
        where = ", ".join(str(n) for n in row["above"]) or "none"
        place = f" ({row['series']})" if several else ""
        words.append(
            f"{looks.label(row['method'])}'s incumbents are above every black-box method's at "
            f"{where} of {', '.join(map(str, row['of']))} hyperparameters{place}."
        )
    return " ".join([*words, *captions.protocol_and_rest(own)])
