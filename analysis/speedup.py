"""How many times longer every other method needs than the reference to reach an accuracy.

With T the time at which a run's incumbent first has the target test accuracy, the speedup of the
reference over a method is median(T of the method) / median(T of the reference), medians over seeds.
A run that never gets there is censored at its budget: its T is known to be more. So each median lies
between the median with T at least the budget and the median with T infinite, and the ratio between two
bounds as well. Where they agree it is a number; a method whose median run never gets there has only the
lower one, shown as ``> x``. Runs are never dropped for failing.

The default target is the reference's own final accuracy: the best that at least half of its seeds reach
with their last incumbent (the lower of the two middle ones where the seeds are even in number).

Intervals: 95 %, percentile bootstrap over seeds (Efron, 1979), the two methods resampled together where
they share their seeds. A default target is computed anew in each resample, as it is an estimate too.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hpobench_fds.errors import InputError

from . import captions
from . import style as look
from .curves import (
    Floats,
    anytime,
    by_seed,
    ends,
    first_times,
    last_values,
    quantile,
    settled,
)

Integers = npt.NDArray[np.int64]

COLUMNS = [
    "problem", "method", "reference", "target", "speedup", "low", "high", "censored", "bound",
    "n_seeds", "n_reached", "n_seeds_reference", "n_reached_reference",
]  # fmt: skip


@dataclass(frozen=True)
class Times:
    """Times of the seeds of one method to each of several targets, (targets, seeds)."""

    least: Floats  # the time, or the budget where the target is not reached
    most: Floats  # the time, or infinity

    @property
    def reached(self) -> npt.NDArray[np.bool_]:
        hits: npt.NDArray[np.bool_] = np.isfinite(self.most)
        return hits


def times_of(curves: pd.DataFrame, censor: pd.Series[float], targets: Floats, metric: str) -> Times:
    """Times to targets of one method on one problem, seeds ascending."""
    first = curves.iloc[0]
    end = censor.loc[(first["problem"], first["method"])].sort_index().to_numpy(np.float64)
    most = np.stack([first_times(at, value, targets, metric) for at, value in by_seed(curves)], axis=1)
    return Times(np.where(np.isfinite(most), most, end), most)


def ratio_bounds(other: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Bounds on the ratio of median times over the first axis, from (least, most) times of each."""
    (other_least, other_most), (least, most) = [
        (quantile(low, 0.5), quantile(high, 0.5)) for low, high in (other, reference)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(np.isinf(most), 0.0, other_least / most)
        high = np.where(np.isinf(other_most), np.inf, other_most / least)
    # 0 / 0, both there at once: neither is the faster.
    return np.nan_to_num(low, nan=1.0, posinf=np.inf), np.nan_to_num(high, nan=1.0, posinf=np.inf)


def own_target(final: Floats) -> Integers:
    """Which seed's final value is the best that at least half of the seeds have, along the first axis."""
    worst_first = np.argsort(np.where(np.isnan(final), -np.inf, final), axis=0)
    middle: Integers = worst_first[(len(final) - 1) // 2]
    return middle


def _resamples(seeds: tuple[list[int], list[int]], count: int, rng_seed: int) -> tuple[Integers, Integers]:
    """Indices into the seeds of the other method and of the reference, (seeds, resamples)."""
    rng = np.random.default_rng(rng_seed)
    first = rng.integers(len(seeds[0]), size=(len(seeds[0]), count))
    if seeds[0] == seeds[1]:
        return first, first  # same split, initialisation and batches: their luck is shared
    return first, rng.integers(len(seeds[1]), size=(len(seeds[1]), count))


def _verdict(low: float, high: float) -> tuple[float, str]:
    """A number and whether it is exact (""), a lower bound (">"), an upper one ("<") or nothing ("?")."""
    if low == high and np.isfinite(low):
        return low, ""
    if np.isinf(high):
        return (low, ">") if low > 0 else (float("nan"), "?")
    return (high, "<") if low == 0 else (float("nan"), "?")


def _compare(
    other: pd.DataFrame,
    reference: pd.DataFrame,
    censor: pd.Series[float],
    target: float | None,
    margin: float,
    resamples: int,
    level: float,
) -> dict[Hashable, object]:
    """One row of the table, without its names."""
    if target is not None:
        targets = np.array([target], np.float64)
        mine, its = (times_of(frame, censor, targets, "test_accuracy") for frame in (reference, other))
        rows = compare_at(its, mine, (_seeds(other), _seeds(reference)), targets, resamples, level)
        return rows.iloc[0].to_dict()
    final: Floats = np.asarray(last_values(reference), np.float64)
    targets = final - margin
    mine, its = (times_of(frame, censor, targets, "test_accuracy") for frame in (reference, other))
    chosen = int(own_target(final))

    def row_of(ours: Integers) -> Integers:
        picked: Integers = np.take_along_axis(ours, own_target(final[ours])[None], axis=0)[0]
        return picked

    low, high = np.full(1, np.nan), np.full(1, np.nan)
    if min(mine.least.shape[1], its.least.shape[1]) > 1:
        theirs, ours = _resamples((_seeds(other), _seeds(reference)), resamples, rng_seed=0)
        row = row_of(ours)
        low, high = _percentiles(
            (its.least[row, theirs], its.most[row, theirs]), (mine.least[row, ours], mine.most[row, ours]),
            level,
        )  # fmt: skip
    one = Times(mine.least[[chosen]], mine.most[[chosen]]), Times(its.least[[chosen]], its.most[[chosen]])
    return _rows(targets[[chosen]], *one, low, high).iloc[0].to_dict()


def compare_at(
    its: Times,
    mine: Times,
    seeds: tuple[list[int], list[int]],
    targets: Floats,
    resamples: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """Rows of the table, one a given target, without their names.

    Parameters
    ----------
    its, mine : times to these targets of the other method and of the reference.
    seeds : theirs, ascending.
    targets : test accuracies.
    resamples, level : of the bootstrap.
    """
    low, high = np.full(len(targets), np.nan), np.full(len(targets), np.nan)
    if min(mine.least.shape[1], its.least.shape[1]) > 1:
        theirs, ours = _resamples(seeds, resamples, rng_seed=0)
        drawn = [
            tuple(np.moveaxis(side[:, which], 1, 0) for side in (times.least, times.most))
            for times, which in ((its, theirs), (mine, ours))
        ]  # (seeds, targets, resamples)
        low, high = _percentiles((drawn[0][0], drawn[0][1]), (drawn[1][0], drawn[1][1]), level)
    return _rows(targets, mine, its, low, high)


def _seeds(curves: pd.DataFrame) -> list[int]:
    return sorted(curves["seed"].unique().tolist())


def _percentiles(
    other: tuple[Floats, Floats], reference: tuple[Floats, Floats], level: float
) -> tuple[Floats, Floats]:
    """Percentile interval over the last axis of the resampled ratio's bounds."""
    lows, highs = (np.moveaxis(np.atleast_2d(side), -1, 0) for side in ratio_bounds(other, reference))
    return quantile(lows, (1 - level) / 2), quantile(highs, (1 + level) / 2)


def _rows(targets: Floats, mine: Times, its: Times, low: Floats, high: Floats) -> pd.DataFrame:
    """The columns from the target on, from the times of the reference and of the other method."""
    bounds = ratio_bounds((its.least.T, its.most.T), (mine.least.T, mine.most.T))
    verdicts = [_verdict(float(least), float(most)) for least, most in zip(*bounds, strict=True)]
    bound = [word for _, word in verdicts]
    return pd.DataFrame({
        "target": targets, "speedup": [value for value, _ in verdicts], "low": low, "high": high,
        "censored": [word != "" for word in bound], "bound": bound, "n_seeds": its.least.shape[1],
        "n_reached": its.reached.sum(axis=1), "n_seeds_reference": mine.least.shape[1],
        "n_reached_reference": mine.reached.sum(axis=1),
    })  # fmt: skip


def check_reference(runs: pd.DataFrame, reference: str) -> None:
    """Raise InputError unless the reference is among the methods of these finished runs."""
    present = sorted(runs["method"].unique())
    if reference not in present:
        there = present or "none has finished"
        raise InputError(f"no finished run of {reference!r}", key="reference", allowed=there)


def speedup_table(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str = "fds",
    target: float | None = None,
    against: str = "seconds",
    margin: float = 0.0,
    resamples: int = 4000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Speedup of the reference over every other method, on every problem that has the reference.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS. Unfinished runs are left out.
    reference : the method that is compared with the others.
    target : test accuracy in [0, 1]; by default the reference's own final one, problem by problem.
    against : seconds, inner_steps or gradient_equivalents.
    margin : how far below its own final accuracy the default target lies. With 0, a method that ends just
        as good gets there in half of its seeds by luck alone.
    resamples : of the bootstrap.
    level : of the interval.

    Returns
    -------
    problem, method, reference, target; speedup (more than 1: the reference is faster) with low and high,
    its interval (NaN with a single seed, high infinite where it has no upper end); censored, whether
    speedup is only a bound, and bound, which: ">" a lower one (the method never gets there), "<" an upper
    one (the reference does not), "?" none (neither does: speedup is NaN); seeds, and seeds that reached.

    Raises
    ------
    InputError
        The reference has no finished run on any problem, or the target is no fraction.
    """
    if target is not None and not 0 < target <= 1:
        raise InputError(f"target accuracy {target!r}", key="target", allowed="a fraction above 0, at most 1")
    runs, reports = settled(runs), settled(reports)
    check_reference(runs, reference)
    curves, censor = anytime(reports, "test_accuracy", against, runs), ends(runs, against)
    rows = []
    for problem, here in curves.groupby("problem", sort=False):
        own = here[here["method"] == reference]
        if own.empty:
            continue
        for method, other in here.groupby("method", sort=False):
            if method != reference:
                names: dict[Hashable, object] = {"problem": problem, "method": method, "reference": reference}
                rows.append(names | _compare(other, own, censor, target, margin, resamples, level))
    return pd.DataFrame(rows, columns=COLUMNS)


def as_text(value: float, bound: str = "") -> str:
    """A speedup as it is printed: ``12x``, ``1.4x``, ``> 15x``."""
    if bound == "?" or np.isnan(value):
        return "no verdict"
    if np.isinf(value):
        return "infinite"
    digits = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"
    return f"{bound} {digits}x" if bound else f"{digits}x"


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str = "fds",
    target: float | None = None,
    margin: float = 0.0,
    style: str = "paper",
) -> look.Figure:
    """Horizontal bars, one a method, one panel a problem; open and hatched where only a bound is known."""
    table = speedup_table(reports, runs, reference, target, margin=margin)
    if table.empty:
        raise look.CannotDraw(f"{look.label(reference)} has no other method to be compared with")
    problems = list(table["problem"].unique())
    bars = [int((table["problem"] == problem).sum()) for problem in problems]
    columns = 2 if len(problems) > 1 and max(bars) > look.CROWD else 1
    rows = -(-len(problems) // columns)
    # In bars, with room for a title; problems that stand beside each other have the same.
    heights = [0.3 + max(bars[i * columns : (i + 1) * columns]) for i in range(rows)]
    with look.page(style) as page:
        height = page.panel * ((0.11 if columns == 1 else 0.09) * sum(heights) + 0.16 * rows + 0.15)
        canvas, axes = look.panels(
            rows, columns, page.width * (1.35 if columns > 1 else 1.0), height, sharex=True,
            height_ratios=heights,
        )  # fmt: skip
        limits, flat = _limits(table), [ax for row in axes for ax in row]
        for ax, problem in zip(flat, problems, strict=False):
            _panel(ax, table[table["problem"] == problem], limits, page)
        for ax in flat[len(problems) :]:
            ax.set_axis_off()
        lowest = flat[(rows - 1) * columns]
        lowest.set_xlabel(_axis_label(table, reference))
        if columns > 1:
            lowest.xaxis.label.set_x(1.1)
            for ax in flat[len(problems) - columns : len(problems)]:
                ax.tick_params(labelbottom=True)
    return look.Figure("speedup", canvas, table, _caption(table, runs, reference, target, margin))


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: every finite number and 1, with room on the right for arrows and text."""
    shown = table[["speedup", "low", "high"]].to_numpy(np.float64).ravel()
    shown = np.append(shown[np.isfinite(shown) & (shown > 0)], 1.0)
    low, high = shown.min() / 1.25, shown.max() * 1.1
    return float(low), float(high * (high / low) ** 0.25)


def _axis_label(table: pd.DataFrame, reference: str) -> str:
    name, targets = look.label(reference), table["target"].unique()
    goal = f"{100 * targets[0]:.1f} % test accuracy" if len(targets) == 1 else "the test accuracy above"
    return f"times longer than {name} needs to reach {goal}"


def _panel(ax: Axes, table: pd.DataFrame, limits: tuple[float, float], page: look.Page) -> None:
    """Bars of one problem, the slowest on top."""
    rows = table.sort_values("speedup", na_position="first").to_dict("records")
    for y, row in enumerate(rows):
        _bar(ax, y, row, limits, page)
    ax.set_xscale("log")
    ax.set_xlim(*limits)
    ax.set_ylim(-0.65, len(rows) - 0.35)
    ax.set_yticks(range(len(rows)), [look.label(str(row["method"])) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] / limits[0] < 300 else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.axvline(1.0, color="black", linewidth=page.line * 0.7, zorder=1.5)
    target = table["target"].iloc[0]
    goal = "no target: the reference has no accuracy" if np.isnan(target) else f"to {100 * target:.1f} %"
    ax.set_title(f"{table['problem'].iloc[0]} ({goal})", loc="left")


def _bar(ax: Axes, y: int, row: dict[Hashable, Any], limits: tuple[float, float], page: look.Page) -> None:
    """One bar from 1 to the speedup, its interval, and its value printed right of both."""
    value, low, high = (float(row[k]) for k in ("speedup", "low", "high"))
    bound, color = str(row["bound"]), look.look(str(row["method"])).color
    tip = 1.0
    if np.isfinite(value):
        tip = max(value, 1.0)
        fill: dict[str, Any] = {"color": color}
        if bound:
            fill = {"facecolor": "white", "edgecolor": color, "hatch": "////"}
        ax.barh(y, value - 1.0, left=1.0, height=0.62, zorder=2, linewidth=page.line * 0.6, **fill)
    if bound == ">":
        tip = _arrow(ax, y, value, value * _stretch(limits, 0.05), color, page)
    elif np.isfinite(low):
        tip = max(tip, _interval(ax, y, low, high, limits, page))
    ax.annotate(as_text(value, bound), (tip, y), xytext=(page.small * 0.5, 0), textcoords="offset points",
                va="center", fontsize=page.small, gid=f"value:{row['method']}")  # fmt: skip


def _stretch(limits: tuple[float, float], part: float) -> float:
    """The factor that is this part of the axis long."""
    return float((limits[1] / limits[0]) ** part)


def _interval(
    ax: Axes, y: int, low: float, high: float, limits: tuple[float, float], page: look.Page
) -> float:
    """A line from low to high, with an arrow where it has no end on the right; returns where it ends."""
    low, last = max(low, limits[0]), limits[1] / _stretch(limits, 0.1)
    top = min(high, last)
    if top < high:
        _arrow(ax, y, low, top, "black", page)
    else:
        ax.plot([low, top], [y, y], color="black", linewidth=page.line, zorder=3, path_effects=_rim(page))
    caps = [low, top] if top == high else [low]
    ax.plot(caps, [y] * len(caps), "|", color="black", markersize=page.marker * 1.3, zorder=3,
            path_effects=_rim(page))  # fmt: skip
    return top


def _rim(page: look.Page) -> list[AbstractPathEffect]:
    """A thin white rim: an interval must show on a black bar too."""
    return [withStroke(linewidth=page.line * 2.2, foreground="white")]


def _arrow(ax: Axes, y: int, start: float, tip: float, color: str, page: look.Page) -> float:
    """An arrow to the right; returns where it points to."""
    shape = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "linewidth": page.line}
    ax.annotate("", (tip, y), (start, y), arrowprops=shape | {"path_effects": _rim(page)}, zorder=3)
    return tip


def _caption(
    table: pd.DataFrame, runs: pd.DataFrame, reference: str, target: float | None, margin: float
) -> str:
    name = look.label(reference)
    counts = [*table["n_seeds"], *table["n_seeds_reference"]]
    if target is not None:
        goal = f"{100 * target:g} % test accuracy"
    else:
        less = f", less {100 * margin:g} points" if margin else ""
        goal = f"{name}'s own final incumbent test accuracy (median over seeds{less})"
    words = [
        f"Median time of each method over that of {name} to {goal}; right of 1, {name} is faster. "
        f"Over {captions.seeds(counts)}."
    ]
    words.append(("Lines: " if max(counts) > 1 else "") + captions.interval(counts))
    if (table["bound"] == ">").any():
        words.append("Hatched, with an arrow: not reached in the median run within its budget (lower bound).")
    if (table["bound"] == "<").any():
        words.append(f"Hatched, marked '<': {name} itself did not get there in its median run (upper bound).")
    if (table["bound"] == "?").any():
        words.append("No verdict: neither got there.")
    return " ".join([*words, captions.protocol(runs), *captions.left_out(runs)])
