"""Three figures of the hypergradient's noise: step by step, against the windows' width, and signal to noise.

Their numbers are those of ``noise``: one row of panels a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy import stats

from . import style as look
from .captions import span
from .curves import settled
from .noise import (
    GREEDY,
    NOT_GREEDY,
    Sample,
    Windows,
    samples,
    step_table,
    window_table,
    windows_of,
)
from .schedules import GROUPS

LOOKS = {
    "not shared": look.Look("not greedy, not shared", look.PURPLE, "", "--"),
    "shared": look.Look("not greedy, shared", look.VERMILION, "", "-"),
    "greedy": look.Look("greedy", look.BLUE, "", ":"),
}
_PARTS = {  # of the error of sharing, and what stands beside it
    "mse": look.Look("shared: mean squared error", look.VERMILION, "o", "-"),
    "variance": look.Look("its variance over seeds", look.VERMILION, "", "--"),
    "drift": look.Look("its drift within windows", look.VERMILION, "", ":"),
    "bound": look.Look("the theorem's bound", look.BLACK, "", "-."),
    "greedy": look.Look("greedy", look.BLUE, "", ":"),
    "paper": look.Look("the paper's (SVHN), scaled to W = 1", look.GREY, "X", ""),
}

DrawRow = Callable[[Sequence[Axes], Sample, Windows, look.Page], tuple[pd.DataFrame, str]]


def draw_steps(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """Hypergradient of each step: shared over not shared, and greedy beside not greedy."""
    about = (
        "Hypergradient of each inner step: mean over seeds, and interquartile band. Left: each step's own, "
        "and shared over the windows of least mean squared error. Right: of the validation loss at the end "
        "of training beside that after the very next step (greedy), each divided by the 95th percentile of "
        "its absolute values."
    )
    return _each("noise_steps", about, reports, runs, style, 2, _step_panels, list(LOOKS.values()))


def draw_windows(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """Mean squared error against the steps a window, its two parts, and the theorem's bound."""
    about = (
        "Mean squared error of the hypergradient, against the seed mean of each step's own, by steps a "
        "window W; and its two parts, variance over seeds and drift of the mean within a window. Bars: 95 %, "
        "jackknife over seeds; the noise of the seed mean itself is not counted. Hollow: the least error. "
        "Bound: sigma^2 (1 + c (W - 1)) / W + epsilon^2 (W^2 - 1) / 12, with sigma^2 the mean variance over "
        "seeds, c the largest correlation of two steps and epsilon the largest change of the mean from one "
        "step to the next, both found in one half of the seeds and measured in the other."
    )
    return _each("noise_windows", about, reports, runs, style, 1, _window_panel, list(_PARTS.values()))


def draw_snr(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """Signal-to-noise ratio of the hypergradient of each step."""
    about = (
        "Signal-to-noise ratio of the hypergradient of each inner step, |mean| over standard deviation, over "
        "seeds; shared over the windows of least mean squared error. Below the thin line the seeds do not "
        "tell the mean from zero (t-test at the 5 % level)."
    )
    return _each("noise_snr", about, reports, runs, style, 1, _snr_panel, list(LOOKS.values()))


def _each(
    name: str,
    about: str,
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    style: str,
    columns: int,
    draw_row: DrawRow,
    looks: list[look.Look],
) -> look.Figure:
    """One row of panels a problem; the caption has what holds for all, then what for each."""
    found = samples(reports)
    tables, words = [], []
    with look.page(style) as page:
        height = page.panel * (1.1 * len(found) + 0.35)
        canvas, axes = look.panels(len(found), columns, page.width, height)
        for row, sample in zip(axes, found, strict=True):
            table, said = draw_row(row, sample, windows_of(sample), page)
            tables.append(table)
            words.append(f"{sample.problem}: {said}")
            row[0].set_title(sample.problem, loc="left")
        drawn = {artist.get_gid() for row in axes for ax in row for artist in ax.lines}
        shown = [kind for kind in looks if kind.label in drawn]
        look.legend_below(canvas, [_handle(kind, page) for kind in shown], columns=3)
    caption = " ".join([about, *words, _protocol(found, reports, runs)])
    return look.Figure(name, canvas, pd.concat(tables, ignore_index=True), caption)


def _handle(kind: look.Look, page: look.Page) -> Artist:
    line = kind.line() if kind.dash else {"color": kind.color, "linestyle": "none"}
    return Line2D([], [], label=kind.label, marker=kind.marker, markersize=page.marker, linewidth=page.line,
                  **line)  # fmt: skip


def _protocol(found: list[Sample], reports: pd.DataFrame, runs: pd.DataFrame) -> str:
    counts = [len(s.exact) for s in found] + [len(s.greedy) for s in found if s.greedy is not None]
    words = (
        f"n = {span(counts)} seeds, which change initialisation, split and batch order; the schedule is the "
        "same for all and does not move."
    )
    ended = settled(runs)
    known = ended["problem"].isin([s.problem for s in found])
    own = ended[known & ended["adapter"].isin([*NOT_GREEDY, GREEDY])]
    has = reports[(reports["report"] == 0) & reports["hypergradient"].map(lambda h: np.ndim(h) == 1)]
    cell = ["problem", "method", "seed"]
    missing = len(own) - len(own.merge(has[cell].drop_duplicates(), on=cell))
    return words + (f" Runs without a hypergradient, left out: {missing}." if missing else "")


# ------------------------------------------------------------------------------------------ step by step


def _step_panels(
    row: Sequence[Axes], sample: Sample, windows: Windows, page: look.Page
) -> tuple[pd.DataFrame, str]:
    table = step_table(sample, windows.best)
    for name in ("not shared", "shared"):
        _band(row[0], table[table["series"] == name], LOOKS[name], page)
    for name in ("not shared", "greedy"):
        own = table[table["series"] == name]
        if len(own):
            _band(row[1], own, LOOKS[name], page, unit=float(own["unit"].iloc[0]))
    quantity = GROUPS.get(sample.hyperparameter, sample.hyperparameter)
    for ax in row:
        ax.axhline(0, color=look.BLACK, linewidth=page.line * 0.5)
        ax.set_xlabel(sample.step_name)
        ax.set_xlim(0, sample.steps)
    row[0].set_ylabel(f"d(loss)/d({quantity}) (nats)")
    row[1].set_ylabel("in units of its 95th percentile")
    units = table.groupby("series", sort=False)["unit"].first().drop("shared")
    said = ", ".join(f"{LOOKS[str(name)].label} {unit:.3g}" for name, unit in units.items())
    width = sample.steps / windows.best
    return table, f"least error at W = {width:.3g} steps a window; 95th percentiles: {said} nats."


def _band(ax: Axes, table: pd.DataFrame, kind: look.Look, page: look.Page, unit: float = 1.0) -> None:
    at = table["step"].to_numpy(np.float64) + 0.5
    low, mean, high = (table[column].to_numpy(np.float64) / unit for column in ("low", "mean", "high"))
    ax.fill_between(at, low, high, facecolor=kind.color, alpha=0.25, linewidth=0)
    ax.plot(at, mean, linewidth=page.line, gid=kind.label, **kind.line())


def _snr_panel(
    row: Sequence[Axes], sample: Sample, windows: Windows, page: look.Page
) -> tuple[pd.DataFrame, str]:
    ax, table = row[0], step_table(sample, windows.best)
    for name, own in table.groupby("series", sort=False):
        kind = LOOKS[str(name)]
        at = own["step"].to_numpy(np.float64) + 0.5
        ax.plot(at, own["signal_to_noise"].to_numpy(np.float64), linewidth=page.line, gid=kind.label,
                **kind.line())  # fmt: skip
    seeds = len(sample.exact)
    known = float(stats.t.ppf(0.975, seeds - 1)) / seeds**0.5
    ax.axhline(known, color=look.GREY, linewidth=page.line * 0.6)
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], known / 20))  # how near to zero says nothing any more
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(sample.step_name)
    ax.set_ylabel("|mean| / standard deviation")
    ax.set_xlim(0, sample.steps)
    medians = table.groupby("series", sort=False)["signal_to_noise"].median()
    said = ", ".join(f"{LOOKS[str(name)].label} {value:.2g}" for name, value in medians.items())
    return table, f"median over steps: {said}."


# --------------------------------------------------------------------------------- against the windows' width


def _window_panel(
    row: Sequence[Axes], sample: Sample, windows: Windows, page: look.Page
) -> tuple[pd.DataFrame, str]:
    ax, table = row[0], window_table(sample, windows)
    own = table[table["series"] == "shared"].sort_values("width")
    width, mse = own["width"].to_numpy(np.float64), own["mse"].to_numpy(np.float64)
    floor = float(mse[mse > 0].min()) / 30  # parts that come out at or below 0 leave a logarithmic axis
    low = np.maximum(own["low"].to_numpy(np.float64), floor)
    bars: dict[str, Any] = {"ecolor": look.VERMILION, "elinewidth": page.line * 0.7, "fmt": "none"}
    ax.errorbar(width, mse, [np.maximum(mse - low, 0), own["high"].to_numpy(np.float64) - mse], **bars)
    for part in ("mse", "variance", "drift", "bound"):
        kind, values = _PARTS[part], own[part].to_numpy(np.float64)
        shown = np.where(values > floor, values, np.nan)
        ax.plot(width, shown, marker=kind.marker, linewidth=page.line, gid=kind.label, **kind.line())
    best = own[own["best"].astype(bool)]
    ax.plot(best["width"], best["mse"], marker="o", markersize=page.marker * 1.8, markerfacecolor="white",
            color=look.VERMILION, markeredgewidth=page.line, zorder=4)  # fmt: skip
    _others(ax, table, float(mse[0]), page)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("steps a window, W")
    ax.set_ylabel("mean squared error (nats²)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    return table, _window_words(sample, windows, table)


def _others(ax: Axes, table: pd.DataFrame, alone: float, page: look.Page) -> None:
    """The greedy hypergradient's error, and the paper's values in the unit of ours."""
    greedy, paper = (table[table["series"] == name] for name in ("greedy", "paper"))
    if len(greedy):
        kind = _PARTS["greedy"]
        ax.axhline(float(greedy["mse"].iloc[0]), linewidth=page.line, gid=kind.label, **kind.line())
    if len(paper):
        kind = _PARTS["paper"]
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
