"""What sharing over windows does to the error of hypergradients: its ratio to that of not sharing.

The ratio stands on a linear axis, so that a dip by a third is a third of the picture; the theorem's bound,
which
may be hundreds of times larger, beside it on a small logarithmic one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import BLACK, BLUE, GREY, VERMILION, Look
from ..stats.noise_samples import Sample, Windows, window_table
from .noise_rows import draw_rows
from .saving import Figure
from .style import Page

PARTS = {  # of the error of sharing, and what stands beside it
    "mse": Look("shared: mean squared error", VERMILION, "o", "-"),
    "variance": Look("its variance over seeds", "#A0522D", "", "--"),
    "drift": Look("its drift within windows", BLUE, "", ":"),
    "paper": Look("the paper's (SVHN)", GREY, "X", ""),
    "bound": Look("the theorem's bound", BLACK, "", "-."),
}
MOST = 3.0
"""The largest ratio that the linear axis holds."""


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Error against the steps a window, over that of one step, and its parts; the bound beside."""
    about = (
        "Mean squared error of the hypergradient, against the seed mean of each step's own, by steps a "
        "window W, over the error at W = 1; and its two parts, variance over seeds and drift of the "
        "mean within a "
        "window. Bars: 95 %, jackknife over seeds; the noise of the seed mean itself is not counted. "
        "Hollow: the "
        "least error. Right, logarithmic: the same beside the bound sigma^2 (1 + c (W - 1)) / W + "
        "epsilon^2 (W^2 - "
        "1) / 12, with sigma^2 the mean variance over seeds, c the largest correlation of two steps "
        "and epsilon "
        "the largest change of the mean from one step to the next, both found in one half of the seeds and "
        "measured in the other."
    )
    return draw_rows("noise_windows", about, reports, runs, style, 2, _window_panels, list(PARTS.values()),
                     width_ratios=[1.0, 0.42])  # fmt: skip


def _window_panels(
    row: Sequence[Axes], sample: Sample, windows: Windows, page: Page
) -> tuple[pd.DataFrame, str]:
    table = window_table(sample, windows)
    own = table[table["series"] == "shared"].sort_values("width")
    _ratios(row[0], own, table, page)
    _bound(row[1], own, page)
    return table, _window_words(sample, windows, table)


def _ratios(ax: Axes, own: pd.DataFrame, table: pd.DataFrame, page: Page) -> None:
    width, ratio = own["width"].to_numpy(np.float64), own["ratio"].to_numpy(np.float64)
    alone = float(own["mse"].iloc[0])
    error = 1.96 * own["ratio_error"].to_numpy(np.float64)
    ax.errorbar(width, ratio, error, ecolor=VERMILION, elinewidth=page.line * 0.7, fmt="none")
    for part in ("variance", "drift", "mse"):
        kind, values = PARTS[part], own[part].to_numpy(np.float64) / alone
        ax.plot(
            width, values, marker=kind.marker, gid=kind.label, zorder=3 if part == "mse" else 2, **kind.line()
        )
    best = own[own["best"].astype(bool)]
    ax.plot(best["width"], best["ratio"], marker="o", markersize=page.marker * 1.8, markerfacecolor="white",
            color=VERMILION, markeredgewidth=page.line, zorder=4)  # fmt: skip
    paper = table[table["series"] == "paper"]
    if len(paper):
        kind = PARTS["paper"]
        ax.plot(paper["width"], paper["ratio"], linestyle="none", marker=kind.marker, color=kind.color,
                gid=kind.label, zorder=1.8)  # fmt: skip
    ax.axhline(1.0, color=BLACK, linewidth=page.line * 0.5, zorder=1.5)
    top = min(MOST, float(np.nanmax(ratio + error)) * 1.1)
    ax.set_ylim(0, max(top, 1.2))
    ax.set_ylabel("error over that of not sharing (ratio)")
    _width_axis(ax)
    greedy = table[table["series"] == "greedy"]
    if len(greedy):
        words = f"\N{UPWARDS ARROW} greedy: {float(greedy['ratio'].iloc[0]):,.3g}"
        ax.annotate(words, (1, 1), xytext=(-2, -2), xycoords="axes fraction", textcoords="offset points",
                    ha="right", va="top", fontsize=page.small, color=BLUE, gid="greedy")  # fmt: skip


def _bound(ax: Axes, own: pd.DataFrame, page: Page) -> None:
    alone = float(own["mse"].iloc[0])
    for part in ("mse", "bound"):
        kind = PARTS[part]
        gid = f"{kind.label}, logarithmic" if part == "mse" else kind.label
        ax.plot(own["width"], own[part] / alone, gid=gid, linewidth=page.line, **kind.line())  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(numticks=5))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_title("beside the bound", loc="left", fontsize=page.small)
    ax.set_ylabel("the same (ratio)", fontsize=page.small)
    _width_axis(ax)
    ax.set_xlabel("W (number)")


def _width_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xlabel("steps a window, W (number)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _window_words(sample: Sample, windows: Windows, table: pd.DataFrame) -> str:
    """The optimum, the constants, and how loose the bound is."""
    k, own = windows.constants, table[table["series"] == "shared"]
    best = own[own["best"].astype(bool)].iloc[0]
    as_good = [sample.steps / n for n in windows.as_good()]
    words = [
        f"least at W = {best['width']:.3g}, {best['ratio']:.2f} ± {best['ratio_error']:.2f} times the error "
        f"of not sharing (within a standard error of it: W from {min(as_good):.3g} to {max(as_good):.3g}), "
        f"at W = {sample.steps} "
        f"{float(own['ratio'].iloc[-1]):.2f} times."
    ]
    alone = own[own["windows"] == sample.steps].iloc[0]
    words.append(
        f"Signs that are those of the mean: {100 * alone['sign_agreement']:.1f} % not shared, "
        f"{100 * best['sign_agreement']:.1f} % at the least error."
    )
    greedy = table[table["series"] == "greedy"]
    if len(greedy):
        share = float(greedy["drift"].iloc[0] / greedy["mse"].iloc[0])
        words.append(
            f"Greedy: {float(greedy['ratio'].iloc[0]):.3g} times the error, {100 * share:.0f} % of it bias; "
            f"{100 * float(greedy['sign_agreement'].iloc[0]):.1f} % of signs."
        )
    width = "no finite W" if np.isinf(k.best_width) else f"W = {k.best_width:.2g}"
    loose = own["bound"] / own["mse"]
    short = " (where below 1, n seeds were too few for its constants)" if loose.min() < 0.99 else ""
    words.append(
        f"Sigma^2 = {k.variance:.3g}, c = {k.correlation:.2f}, epsilon = {k.drift:.3g}: the bound, least at "
        f"{width}, is {loose.min():.2g} to {loose.max():.2g} times the error{short}, loose where its largest "
        "drift and correlation are not those of every step."
    )
    return " ".join(words)
