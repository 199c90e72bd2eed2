"""Mean squared error of hypergradients against the steps a window, its parts, and the theorem's bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ..looks import BLACK, BLUE, GREY, VERMILION, Look
from ..stats.noise_samples import Sample, Windows, window_table
from .noise_rows import draw_rows
from .saving import Figure
from .style import Page

PARTS = {  # of the error of sharing, and what stands beside it
    "mse": Look("shared: mean squared error", VERMILION, "o", "-"),
    "variance": Look("its variance over seeds", VERMILION, "", "--"),
    "drift": Look("its drift within windows", VERMILION, "", ":"),
    "bound": Look("the theorem's bound", BLACK, "", "-."),
    "greedy": Look("greedy", BLUE, "", ":"),
    "paper": Look("the paper's (SVHN), scaled to W = 1", GREY, "X", ""),
}


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Mean squared error against the steps a window, its two parts, and the theorem's bound."""
    about = (
        "Mean squared error of the hypergradient, against the seed mean of each step's own, by steps a "
        "window W; and its two parts, variance over seeds and drift of the mean within a window. Bars: 95 %, "
        "jackknife over seeds; the noise of the seed mean itself is not counted. Hollow: the least error. "
        "Bound: sigma^2 (1 + c (W - 1)) / W + epsilon^2 (W^2 - 1) / 12, with sigma^2 the mean variance over "
        "seeds, c the largest correlation of two steps and epsilon the largest change of the mean from one "
        "step to the next, both found in one half of the seeds and measured in the other."
    )
    return draw_rows("noise_windows", about, reports, runs, style, 1, _window_panel, list(PARTS.values()))


def _window_panel(
    row: Sequence[Axes], sample: Sample, windows: Windows, page: Page
) -> tuple[pd.DataFrame, str]:
    ax, table = row[0], window_table(sample, windows)
    own = table[table["series"] == "shared"].sort_values("width")
    width, mse = own["width"].to_numpy(np.float64), own["mse"].to_numpy(np.float64)
    floor = float(mse[mse > 0].min()) / 30  # parts that come out at or below 0 leave a logarithmic axis
    low = np.maximum(own["low"].to_numpy(np.float64), floor)
    bars: dict[str, Any] = {"ecolor": VERMILION, "elinewidth": page.line * 0.7, "fmt": "none"}
    ax.errorbar(width, mse, [np.maximum(mse - low, 0), own["high"].to_numpy(np.float64) - mse], **bars)
    for part in ("mse", "variance", "drift", "bound"):
        kind, values = PARTS[part], own[part].to_numpy(np.float64)
        shown = np.where(values > floor, values, np.nan)
        ax.plot(width, shown, marker=kind.marker, linewidth=page.line, gid=kind.label, **kind.line())
    best = own[own["best"].astype(bool)]
    ax.plot(best["width"], best["mse"], marker="o", markersize=page.marker * 1.8, markerfacecolor="white",
            color=VERMILION, markeredgewidth=page.line, zorder=4)  # fmt: skip
    _others(ax, table, float(mse[0]), page)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("steps a window, W")
    ax.set_ylabel("mean squared error (nats²)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    return table, _window_words(sample, windows, table)


def _others(ax: Axes, table: pd.DataFrame, alone: float, page: Page) -> None:
    """The greedy hypergradient's error, and the paper's values in the unit of ours."""
    greedy, paper = (table[table["series"] == name] for name in ("greedy", "paper"))
    if len(greedy):
        kind = PARTS["greedy"]
        ax.axhline(float(greedy["mse"].iloc[0]), linewidth=page.line, gid=kind.label, **kind.line())
    if len(paper):
        kind = PARTS["paper"]
        ax.plot(paper["width"], paper["ratio"] * alone, linestyle="none", marker=kind.marker,
                color=kind.color, gid=kind.label)  # fmt: skip


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
