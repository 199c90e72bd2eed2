"""How wrong a hypergradient is that sees only the last K steps, or the next one alone, as horizons grow.

From suites in which every method takes one hypergradient of the same training (``truncation.toml``): the
first report of reverse mode through the whole horizon is the truth, seed by seed, so that no noise enters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from . import style as look
from .captions import span
from .curves import Floats
from .schedules import GROUPS, groups

EXACT = ("reverse", "reverse_sharing", "fds")  # adapters, in the order of preference
TRUNCATED, GREEDY = "truncated_reverse", "hd"
LEAST = 3  # numbers of steps, the whole horizon among them, that make a curve

METRICS = {
    "relative": "relative error",
    "cosine": "cosine",
    "signs": "share of equal signs",
}
COLUMNS = ["problem", "method", "kind", "horizon", "last", "share", "hyperparameter", "seed", *METRICS]


def errors(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a run and hyperparameter: how its first hypergradient compares with the exact one of its seed.

    Returns
    -------
    kind : "truncated", or "greedy". The exact one stands among the truncated ones, with no error.
    horizon : inner steps of the training. last : K, the steps that were differentiated through, which is how
        many products the record counts. share : K / horizon. Both NaN where kind is greedy.
    relative : |h - exact| / |exact| over the hyperparameter's windows, Euclidean.
    cosine : of the angle between the two; NaN where h is zero.
    signs : share of windows with the same sign; zero is no sign, and agrees with nothing.

    Hypergradients of exactly zero, or of another schedule, cannot be compared and are left out.
    """
    first = reports[(reports["report"] == 0) & reports["hypergradient"].map(lambda h: np.ndim(h) == 1)]
    rows = []
    for (problem, seed), own in first.groupby(["problem", "seed"], sort=True):
        exact = next((r for a in EXACT for r in own[own["adapter"] == a].to_dict("records")), None)
        if exact is None:
            continue
        others = own[own["adapter"].isin([TRUNCATED, GREEDY])].to_dict("records")
        for row in [exact, *others]:
            if list(row["schedule"]) == list(exact["schedule"]):
                rows += [{"problem": problem, "seed": seed, **found} for found in _compared(row, exact)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(row: dict[Any, Any], exact: dict[Any, Any]) -> list[dict[str, Any]]:
    """One run against the exact one, hyperparameter by hyperparameter."""
    horizon = round(int(row["inner_steps"]) / float(row["fidelity"]))
    greedy = row["adapter"] == GREEDY
    last = float(row["products"]) if row["adapter"] == TRUNCATED else np.nan if greedy else float(horizon)
    found = []
    for name, positions in groups(row["schedule_names"]).items():
        h, truth = (np.asarray(r["hypergradient"], np.float64)[positions] for r in (row, exact))
        if not np.any(truth):
            continue
        found.append({
            "method": row["method"], "kind": "greedy" if greedy else "truncated", "horizon": horizon,
            "last": last, "share": last / horizon, "hyperparameter": name, **compare(h, truth),
        })  # fmt: skip
    return found


def compare(h: Floats, truth: Floats) -> dict[str, float]:
    """Relative error, cosine and share of equal signs of one vector and a true one that is not zero."""
    size, length = float(np.linalg.norm(truth)), float(np.linalg.norm(h))
    return {
        "relative": float(np.linalg.norm(h - truth)) / size,
        "cosine": float(h @ truth) / (length * size) if length > 0 else np.nan,
        "signs": float(np.mean(h * truth > 0)),
    }


TABLE_COLUMNS = ["problem", "kind", "horizon", "last", "share", "hyperparameter", "metric", "low", "median",
                 "high", "seeds"]  # fmt: skip


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over seeds of each metric, by problem, kind and K; two labels of one K are one."""
    rows = []
    keys = ["problem", "kind", "horizon", "hyperparameter", "last", "share"]
    once = table.drop_duplicates([*keys, "seed"])
    for key, own in once.groupby(keys, sort=False, dropna=False):
        for metric in METRICS:
            values = own[metric].dropna().to_numpy(np.float64)
            if len(values):
                low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
                rows.append({**dict(zip(keys, key, strict=True)), "metric": metric, "low": low,
                             "median": median, "high": high, "seeds": len(values)})  # fmt: skip
    return pd.DataFrame(rows, columns=TABLE_COLUMNS).sort_values(["horizon", "last"], kind="stable")


def draw(
    reports: pd.DataFrame, runs: pd.DataFrame, hyperparameter: str = "lr", style: str = "paper"
) -> look.Figure:
    """Error of truncated hypergradients against K / T, a line a horizon; greedy ones at the left edge."""
    everything = summary(errors(reports))
    table = everything[everything["hyperparameter"] == hyperparameter]
    counts = table[table["kind"] == "truncated"].groupby("problem")["last"].nunique()
    table = table[table["problem"].isin(counts.index[counts >= LEAST])]
    if table.empty:
        raise look.CannotDraw(
            f"no problem has hypergradients of {hyperparameter} through the whole horizon and through its "
            f"last K steps for {LEAST - 1} K, of the same schedule"
        )
    problems = list(dict.fromkeys(table["problem"]))
    looks = {problem: _look_of(i, table, problem) for i, problem in enumerate(problems)}
    with look.page(style) as page:
        canvas, axes = look.panels(1, len(METRICS), page.width, page.panel * 1.35)
        for ax, metric in zip(axes[0], METRICS, strict=True):
            for problem, kind in looks.items():
                _line(ax, table[(table["problem"] == problem) & (table["metric"] == metric)], kind, page)
            _frame(ax, metric, table)
        handles: list[Artist] = [
            Line2D([], [], label=kind.label, marker=kind.marker, linewidth=page.line, **kind.line())
            for kind in looks.values()
        ]
        if (table["kind"] == "greedy").any():
            handles.append(Line2D([], [], label="greedy, with the horizon's marker", marker="o",
                                  markerfacecolor="white", color=look.BLACK, linestyle="none"))  # fmt: skip
        look.legend_below(canvas, handles)
    return look.Figure("truncation", canvas, everything, _caption(table, hyperparameter))


_DASHES = ("-", "--", "-.", ":")
_COLORS = (look.SKY, look.BLUE, look.BLACK, look.VERMILION, look.GREEN, look.PURPLE)
_MARKERS = ("o", "s", "^", "D", "v", "P")


def _look_of(index: int, table: pd.DataFrame, problem: str) -> look.Look:
    horizon = int(table.loc[table["problem"] == problem, "horizon"].iloc[0])
    i = index % len(_COLORS)
    return look.Look(f"{problem}, T = {horizon:,}", _COLORS[i], _MARKERS[i], _DASHES[index % 4])


def _line(ax: Axes, table: pd.DataFrame, kind: look.Look, page: look.Page) -> None:
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
    ax.set_xlabel("K / T")
    ax.set_title(METRICS[metric], loc="left")
    if metric == "relative":
        most = table.loc[table["metric"] == metric, "high"].max()
        if most > 3:  # linear where truncation lies, logarithmic where greedy ones do
            ax.set_yscale("symlog", linthresh=1.0, linscale=1.5)
        ax.set_ylim(-0.05, most * (2 if most > 3 else 1.1))
    else:
        ax.set_ylim(-1.05 if metric == "cosine" else -0.05, 1.05)


def _caption(table: pd.DataFrame, hyperparameter: str) -> str:
    words = (
        f"Hypergradient of the {GROUPS.get(hyperparameter, hyperparameter)} through the last K of T steps "
        "against that through all of them, for the same training and schedule: Euclidean relative error, "
        "cosine, and share of windows with the same sign (a window that K does not reach has none). Median "
        f"over n = {span(table['seeds'])} seeds, and interquartile band."
    )
    greedy = table[(table["kind"] == "greedy") & (table["metric"] == "relative")]
    if len(greedy):
        parts = ", ".join(f"{row.median:.3g} at T = {row.horizon:,}" for row in greedy.itertuples())
        words += (
            " Hollow, at K = 1: greedy, each step's effect on the loss right after it; its relative error "
            f"is {parts}."
        )
    return words
