"""How far exact ways to one hypergradient agree: forward mode and reverse mode, in the run's own precision.

From any suite that runs several of ``EXACT`` on one problem. Methods that step by the hypergradient's sign go
the same way until a sign differs, so that whole runs can be compared, outer step by outer step.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from . import style as look
from .captions import span
from .curves import CELL, Floats
from .schedules import GROUPS, groups

EXACT = ("reverse", "reverse_sharing", "fds")  # adapters
METRICS = {"relative": "relative difference", "signs": "equal signs (%)"}
COLUMNS = ["problem", "seed", "report", "one", "other", "steps", "hyperparameter", "windows", *METRICS]
FLOOR = 1e-9  # where a difference of nothing is drawn


def differences(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of runs, outer step and hyperparameter, wherever both had the same schedule and horizon.

    Returns
    -------
    one, other : the two methods. steps : inner steps of that outer step. windows : of the hyperparameter.
    relative : |a - b| / |b| over them, Euclidean, b being the other's; 0 if they are equal.
    signs : share of windows with the same sign, zero being a sign of its own.
    """
    steps = reports.groupby(CELL)["inner_steps"].diff().fillna(reports["inner_steps"])
    own = reports.assign(steps=steps.astype(int))
    own = own[own["adapter"].isin(EXACT) & own["hypergradient"].map(lambda h: np.ndim(h) == 1)]
    same = ["problem", "seed", "report", "steps", "training"]
    own = own.assign(training=own["schedule"].map(tuple))
    own = own[own.duplicated(same, keep=False)]
    rows: list[dict[str, Any]] = []
    for key, cells in own.groupby(same, sort=True):
        there = sorted(cells.to_dict("records"), key=lambda row: -EXACT.index(row["adapter"]))
        where = dict(zip(same[:-1], key[:-1], strict=True))
        for one, other in combinations(there, 2):
            rows += [{**where, **found} for found in _compared(one, other)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(one: dict[Any, Any], other: dict[Any, Any]) -> list[dict[str, Any]]:
    found = []
    for name, positions in groups(one["schedule_names"]).items():
        mine, its = (np.asarray(row["hypergradient"], np.float64)[positions] for row in (one, other))
        found.append({
            "one": one["method"], "other": other["method"], "hyperparameter": name, "windows": len(mine),
            **compare(mine, its),
        })  # fmt: skip
    return found


def compare(a: Floats, b: Floats) -> dict[str, float]:
    """Relative difference and share of equal signs of two vectors."""
    apart, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    return {
        "relative": 0.0 if apart == 0 else apart / size if size > 0 else np.inf,
        "signs": float(np.mean(np.sign(a) == np.sign(b))),
    }


TABLE_COLUMNS = ["problem", "report", "hyperparameter", "metric", "low", "median", "high", "pairs"]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Median and range over pairs and seeds of each metric, by problem, outer step and hyperparameter."""
    rows = []
    for key, own in table.groupby(["problem", "hyperparameter", "report"], sort=False):
        for metric in METRICS:
            values = own[metric].to_numpy(np.float64)
            row = (float(values.min()), float(np.median(values)), float(values.max()), len(values))
            rows.append((key[0], key[2], key[1], metric, *row))
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """A row a problem: relative difference and share of equal signs, a line a hyperparameter."""
    table = differences(reports)
    if table.empty:
        raise look.CannotDraw(
            f"no two of {', '.join(EXACT)} have hypergradients of the same problem, seed and schedule"
        )
    numbers = summary(table)
    problems, names = list(dict.fromkeys(table["problem"])), list(dict.fromkeys(table["hyperparameter"]))
    with look.page(style) as page:
        canvas, axes = look.panels(len(problems), 2, page.width, page.panel * (len(problems) + 0.25))
        for row, problem in zip(axes, problems, strict=True):
            own = numbers[numbers["problem"] == problem]
            for ax, metric in zip(row, METRICS, strict=True):
                _panel(ax, own[own["metric"] == metric], metric, names, page)
                ax.set_title(f"{problem}\n" * (ax is row[0]) + METRICS[metric], loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("outer step")
        handles = [
            Line2D([], [], label=kind.label, linewidth=page.line, marker=kind.marker, **kind.line())
            for kind in (_look(name, names) for name in names)
        ]
        look.legend_below(canvas, handles)
    return look.Figure("agreement", canvas, numbers, _caption(table))


_LOOKS = ((look.BLACK, "o", "-"), (look.ORANGE, "s", "--"), (look.SKY, "^", "-."), (look.GREEN, "D", ":"))


def _look(name: str, names: list[str]) -> look.Look:
    return look.Look(GROUPS.get(name, name), *_LOOKS[names.index(name) % len(_LOOKS)])


def _panel(ax: Axes, table: pd.DataFrame, metric: str, names: list[str], page: look.Page) -> None:
    for name in names:
        own, kind = table[table["hyperparameter"] == name].sort_values("report"), _look(name, names)
        if own.empty:
            continue
        at = own["report"].to_numpy(np.float64)
        low, middle, high = (own[side].to_numpy(np.float64) for side in ("low", "median", "high"))
        if metric == "signs":
            low, middle, high = 100 * low, 100 * middle, 100 * high
        else:
            low, middle, high = (np.maximum(side, FLOOR) for side in (low, middle, high))
        ax.vlines(at, low, high, color=kind.color, alpha=0.4, linewidth=page.line)
        ax.plot(at, middle, marker=kind.marker, gid=f"agreement:{name}", **kind.line())
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if metric == "signs":
        ax.set_ylim(-5, 105)
    else:
        ax.set_yscale("log")


def _caption(table: pd.DataFrame) -> str:
    pairs = table.drop_duplicates(["one", "other"])[["one", "other"]].to_dict("records")
    named = "; ".join(f"{look.label(p['one'])} and {look.label(p['other'])}" for p in pairs)
    windows = table["windows"].to_numpy(np.float64)
    same = float((table["signs"] * windows).sum())
    worst = table[np.isfinite(table["relative"])]["relative"]
    seeds = table.groupby("problem")["seed"].nunique()
    return (
        f"Hypergradients of the same training by two exact ways ({named}), while both follow the same "
        f"schedule: median and range over pairs and n = {span(seeds)} seeds, {span(table['steps'])} inner "
        f"steps an outer step. In all, {same:.0f} of {windows.sum():.0f} signs are equal; the relative "
        f"difference is {worst.median():.1g} in the median and at most {worst.max():.1g} (none is drawn at "
        f"{FLOOR:g})."
    )
