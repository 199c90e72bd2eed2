"""What each method needs to the problem's targets: dots with intervals, arrows where runs never got there."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from ..looks import Looks
from ..stats.curves import AXES
from ..stats.frames import NoAnswer
from ..stats.intervals import LEAST
from ..stats.target_times import target_times
from ..stats.targets import SHARES
from . import captions, matrix
from .dots import Dot, dot, log_range, name_rows, stripes
from .saving import Figure
from .style import Page, page_of, panels, plain_log
from .way import UNITS

COLUMNS = (0.8, 0.95, 0.99)
"""Shares of the way that have a column; of targets that a suite names, the last three."""


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    against: str = "gradient_equivalents",
    style: str = "paper",
    name: str = "times",
) -> Figure:
    """A row of panels a problem, one a target; a row a method, the soonest at the headline target on top.

    Raises NoAnswer where no problem has a target.
    """
    table, looks = target_times(reports, runs, against), Looks.of(runs)
    if table.empty or not (table["n_seeds"] > 0).any():
        raise NoAnswer("no problem has a complete run, so no target and no time to it")
    problems = list(dict.fromkeys(table["problem"]))
    order = {p: _order(table[table["problem"] == p]) for p in problems}
    if matrix.is_crowded(len(problems), sum(map(len, order.values()))):
        canvas = matrix.draw(_matrix(table, against), looks, style)
        return Figure(name, canvas, table, _crowded_caption(table, reports, runs, against))
    goals = {p: _goals(table[table["problem"] == p]) for p in problems}
    columns = max(map(len, goals.values()))
    heights = [len(order[p]) + 1.2 for p in problems]
    with page_of(style) as page:
        height = page.panel * (0.068 * sum(heights) + 0.23 * len(problems) + 0.12)
        canvas, axes = panels(len(problems), columns, page.width, height, height_ratios=heights, sharey="row",
                              sharex="row")  # fmt: skip
        for row, problem in zip(axes, problems, strict=True):
            here = table[table["problem"] == problem]
            limits = log_range(here[["median", "low", "high", "least"]].to_numpy(np.float64).ravel().tolist())
            for ax, target in zip(row, goals[problem], strict=False):
                own = here[here["target"] == target]
                _panel(ax, own, order[problem], looks, limits, page)
                ax.set_title(_title(own, looks), loc="left")
            for ax in row[len(goals[problem]) :]:
                ax.set_axis_off()
            row[0].set_title(f"{problem}\n{row[0].get_title(loc='left')}", loc="left")
        axes[-1][(columns - 1) // 2].set_xlabel(AXES[against])
    return Figure(name, canvas, table, _caption(table, reports, runs, against, looks))


def _order(here: pd.DataFrame) -> list[str]:
    own = here[here["headline"].astype(bool)].assign(never=lambda t: t["bound"] != "")
    own = own.sort_values(["never", "median"], kind="stable", na_position="last")
    return [str(m) for m in own["method"]]


def _goals(here: pd.DataFrame) -> list[float]:
    """The targets that have a column."""
    own = here.drop_duplicates("target")
    if own["share"].notna().any():
        shown = own[own["share"].isin(COLUMNS) | (len(own) < len(SHARES))]
    else:
        shown = own.tail(3)
    return [float(t) for t in shown["target"]]


def _title(own: pd.DataFrame, looks: Looks) -> str:
    row = own.iloc[0]
    value = looks.shown(row["problem"]).text(float(row["target"]))
    return f"{100 * row['share']:.0f} % of the way\n({value})" if np.isfinite(row["share"]) else f"to {value}"


def _panel(
    ax: Axes, own: pd.DataFrame, order: list[str], looks: Looks, limits: tuple[float, float], page: Page
) -> None:
    stripes(ax, len(order))
    rows = {str(row["method"]): row for row in own.to_dict("records")}
    for y, method in enumerate(order):
        row, kind = rows[method], looks[method]
        interval = bool(np.isfinite(row["low"]))
        low, high = (row["low"], row["high"]) if interval else (row["least"], row["most"])
        one = Dot(row["median"], low, high, kind.color, interval, row["bound"])
        dot(ax, y, one, limits, page, f"time:{method}")
        if row["n_seeds"] == 0:
            ax.annotate("failed", (limits[0], y), xytext=(2, 0), textcoords="offset points", va="center",
                        fontsize=page.small, color=kind.color)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(*limits)
    plain_log(ax.xaxis, 4)
    ax.xaxis.set_minor_formatter(NullFormatter())
    name_rows(ax, [looks.label(m) for m in order])


def _matrix(table: pd.DataFrame, against: str) -> matrix.Matrix:
    """The headline target of each problem; who is there most often on top, of those the soonest."""
    own = table[table["headline"].astype(bool)]
    own = own.assign(value=own["median"].where(own["bound"] == ""))
    return matrix.of_ratios(own, f"time over that of the soonest (times); numbers: {AXES[against]}")


def _crowded_caption(table: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, against: str) -> str:
    words = [
        "What each method needs until its incumbent first has the test accuracy of the problem's headline "
        f"target ({UNITS[against]}; 95 % of the way from the initial schedule's to the best median that any "
        f"method came to, or the highest that the suite names): median over "
        f"{captions.seeds(table['n_seeds'])}, to two digits. Dark: as soon as the soonest, which is bold. A "
        "dash: the median run never got there. Intervals and the other targets are in the table beside the "
        "figure."
    ]
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])


def _caption(
    table: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, against: str, looks: Looks
) -> str:
    counts = [n for n in table["n_seeds"] if n > 0]
    kind = (
        f"95 % interval of the median, from order statistics; thin, below {LEAST} seeds: the seeds' own range"
        if max(counts) >= LEAST
        else f"the seeds' own range (fewer than {LEAST} seeds have no 95 % interval)"
    )
    words = [
        "What each method needs until its incumbent first has the test accuracy above "
        f"({UNITS[against]}): median "
        f"over {captions.seeds(counts)}, and {kind}. Hollow, pointing right: the median run never got "
        "there, so "
        "that more is needed than its budget, where it stands. An arrow at the edge: no upper end, "
        "since some "
        "runs never got there. Targets are shares of the way from the initial schedule's accuracy "
        "(or guessing) "
        "to the best median that any method came to, or those that the suite names."
    ]
    own = table[table["headline"].astype(bool) & (table["n_reached"] < table["n_seeds"])]
    if len(own):
        told = ", ".join(f"{looks.label(r.method)} {r.n_reached} of {r.n_seeds}" for r in own.itertuples())
        words.append(f"Runs that reached the headline target, where not all did: {told}.")
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])
