"""How wrong a hypergradient is that sees only the last K steps, or the next one alone, as horizons grow."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..looks import BLACK, BLUE, GREEN, PURPLE, SKY, VERMILION, Look
from ..stats.frames import NoAnswer
from ..stats.truncation import LEAST, errors, summary
from . import captions
from .layout import handle, legend_below
from .saving import Figure
from .style import Page, page_of, panels

METRICS = {
    "relative": "relative error",
    "cosine": "cosine",
    "signs": "share of equal signs",
}


def draw(
    reports: pd.DataFrame, runs: pd.DataFrame, hyperparameter: str = "lr", style: str = "paper"
) -> Figure:
    """Error of truncated hypergradients against K / T, a line a horizon; greedy ones at the left edge."""
    everything = summary(errors(reports))
    table = everything[everything["hyperparameter"] == hyperparameter]
    counts = table[table["kind"] == "truncated"].groupby("problem")["last"].nunique()
    table = table[table["problem"].isin(counts.index[counts >= LEAST])]
    if table.empty:
        raise NoAnswer(
            f"no problem has hypergradients of {hyperparameter} through the whole horizon and through its "
            f"last K steps for {LEAST - 1} K, of the same schedule"
        )
    problems = list(dict.fromkeys(table["problem"]))
    looks = {problem: _look_of(i, table, problem) for i, problem in enumerate(problems)}
    with page_of(style) as page:
        canvas, axes = panels(1, len(METRICS), page.width, page.panel * 1.35)
        for ax, metric in zip(axes[0], METRICS, strict=True):
            for problem, kind in looks.items():
                _line(ax, table[(table["problem"] == problem) & (table["metric"] == metric)], kind, page)
            _frame(ax, metric, table)
        handles = [handle(kind, page) for kind in looks.values()]
        if (table["kind"] == "greedy").any():
            handles.append(Line2D([], [], label="greedy, with the horizon's marker", marker="o",
                                  markerfacecolor="white", color=BLACK, linestyle="none"))  # fmt: skip
        legend_below(canvas, handles)
    return Figure("truncation", canvas, everything, _caption(table, hyperparameter))


_DASHES = ("-", "--", "-.", ":")
_COLORS = (SKY, BLUE, BLACK, VERMILION, GREEN, PURPLE)
_MARKERS = ("o", "s", "^", "D", "v", "P")


def _look_of(index: int, table: pd.DataFrame, problem: str) -> Look:
    horizon = int(table.loc[table["problem"] == problem, "horizon"].iloc[0])
    i = index % len(_COLORS)
    return Look(f"{problem}, T = {horizon:,}", _COLORS[i], _MARKERS[i], _DASHES[index % 4])


def _line(ax: Axes, table: pd.DataFrame, kind: Look, page: Page) -> None:
    own, greedy = (table[table["kind"] == name] for name in ("truncated", "greedy"))
    at = own["share"].to_numpy(np.float64)
    ax.fill_between(at, own["low"].to_numpy(np.float64), own["high"].to_numpy(np.float64), color=kind.color,
                    alpha=0.15, linewidth=0)  # fmt: skip
    ax.plot(at, own["median"].to_numpy(np.float64), marker=kind.marker, linewidth=page.line, gid=kind.label,
            **kind.line())  # fmt: skip
    if len(greedy):
        # One step of the horizon is what a greedy hypergradient looks ahead.
        step = 1 / greedy["horizon"].to_numpy(np.float64)
        ax.plot(step, greedy["median"].to_numpy(np.float64), linestyle="none", marker=kind.marker,
                color=kind.color, markerfacecolor="white", markersize=page.marker * 1.4, zorder=4,
                gid=f"greedy:{kind.label}")  # fmt: skip


def _frame(ax: Axes, metric: str, table: pd.DataFrame) -> None:
    ax.set_xscale("log")
    ax.set_xlabel("last steps, K / T (share)")
    ax.set_title(METRICS[metric], loc="left")
    ax.set_ylabel({"relative": "(ratio)", "cosine": "(from -1 to 1)", "signs": "(share)"}[metric])
    if metric == "relative":
        most = table.loc[table["metric"] == metric, "high"].max()
        if most > 3:  # linear where truncation lies, logarithmic where greedy ones do
            ax.set_yscale("symlog", linthresh=1.0, linscale=1.5)
        ax.set_ylim(-0.05, most * (2 if most > 3 else 1.1))
    else:
        ax.set_ylim(-1.05 if metric == "cosine" else -0.05, 1.05)


def _caption(table: pd.DataFrame, hyperparameter: str) -> str:
    words = (
        f"Hypergradient of the {captions.NAMES.get(hyperparameter, hyperparameter)} through the last K of "
        "T steps against that through all of them, for the same training and schedule: Euclidean relative "
        "error, cosine, and share of windows with the same sign (a window that K does not reach has none). "
        f"Median over n = {captions.span(table['seeds'])} seeds, and interquartile band."
    )
    greedy = table[(table["kind"] == "greedy") & (table["metric"] == "relative")]
    if len(greedy):
        parts = ", ".join(f"{row.median:.3g} at T = {row.horizon:,}" for row in greedy.itertuples())
        words += (
            " Hollow, at K = 1: greedy, each step's effect on the loss right after it; its relative error "
            f"is {parts}."
        )
    return words
