"""Performance profile (Dolan and More, 2002): how often a method is within a factor of the fastest.

An instance is a problem with a seed. The time that counts is the one to the problem's target: the highest
own final accuracy of any method (see ``speedup``), less a margin. A run that does not get there has an
infinite time and stays in the count, as does an instance that no method solves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from . import captions
from . import style as look
from .curves import CELL, Floats, anytime, ends, last_values, settled, time_to_target
from .speedup import own_target

MARGIN = 0.01


def targets(curves: pd.DataFrame, margin: float = MARGIN) -> pd.Series[float]:
    """Test accuracy asked for on each problem; NaN where no method has one."""
    own = last_values(curves).groupby(level=["problem", "method"]).agg(_half_reach)
    return own.groupby(level="problem").max() - margin


def _half_reach(values: pd.Series[float]) -> float:
    final: Floats = np.asarray(values, np.float64)
    return float(final[int(own_target(final))])


def times(reports: pd.DataFrame, runs: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Time of every run to its problem's target: problem, method, seed, target, seconds (or infinite)."""
    runs = settled(runs)
    curves, censor = anytime(settled(reports), runs=runs), ends(runs)
    goal = targets(curves, margin)
    rows = []
    for _, curve in curves.groupby(CELL, sort=False):
        cell = curve.iloc[0][CELL].to_list()
        target, end = float(goal.loc[cell[0]]), float(censor.loc[tuple(cell)])
        time, reached = time_to_target(curve, target, end)
        rows.append((*cell, target, time if reached else np.inf))
    return pd.DataFrame(rows, columns=[*CELL, "target", "seconds"])


def profile(table: pd.DataFrame) -> pd.DataFrame:
    """Share of instances on which a method needs at most ``factor`` times the fastest method's time.

    Returns
    -------
    method, factor, share, instances; a row where a share changes, beginning at factor 1. An instance that
    a method did not run counts as one that it does not solve.
    """
    wide = table.pivot_table("seconds", ["problem", "seed"], "method", sort=False)
    seconds = wide.fillna(np.inf).to_numpy(np.float64)
    best = seconds.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(np.isfinite(seconds), np.where(seconds == best, 1.0, seconds / best), np.inf)
    rows = []
    for method, own in zip(wide.columns, ratios.T, strict=True):
        for factor in np.unique(np.append(own[np.isfinite(own)], 1.0)):
            rows.append((method, factor, float((own <= factor).mean()), len(own)))
    return pd.DataFrame(rows, columns=["method", "factor", "share", "instances"])


def draw(
    reports: pd.DataFrame, runs: pd.DataFrame, margin: float = MARGIN, style: str = "paper"
) -> look.Figure:
    """Share of instances solved against the factor over the fastest method, logarithmic."""
    table = times(reports, runs, margin)
    if table["method"].nunique() < 2 or not np.isfinite(table["seconds"]).any():
        raise look.CannotDraw("a profile needs two methods, and one run that reaches its problem's target")
    data = profile(table)
    last = data.groupby("method", sort=False)["share"].last().sort_values(ascending=False, kind="stable")
    right = float(data["factor"].max()) * 1.3
    methods = [str(m) for m in last.index]
    made = look.plan([""], methods)
    with look.page(style) as page:
        height = page.panel * (1.3 if made.kinds is None else made.tall * made.rows)
        canvas, axes = look.panels(made.rows, made.columns, page.width * made.wide, height)
        for ax, panel in zip((ax for row in axes for ax in row), made.panels, strict=False):
            _panel(ax, data, methods, panel.methods, right, page)
            ax.set_title(panel.title if made.kinds else "", loc="left")
        x, y = "time over that of the fastest method", "share of problems and seeds"
        if made.kinds:
            look.share_scale(axes)
        look.label_outer(axes, len(made.panels), x, y)
        look.legend_of(canvas, made, methods, page)
    counts = settled(runs).groupby(["problem", "method"])["seed"].nunique()
    caption = (
        f"Share of the {data['instances'].iloc[0]} instances (problem and seed; {captions.seeds(counts)} a "
        "method and problem) on which a method reached the target within a factor of the fastest method's "
        "time. Target: the best method's own final incumbent test accuracy (median over seeds), less "
        f"{100 * margin:g} points. Runs that never got there stay in the count."
    )
    words = [caption, captions.protocol(runs), *captions.left_out(runs)]
    return look.Figure("profile", canvas, data, " ".join(words))


def _panel(
    ax: Axes, data: pd.DataFrame, methods: list[str], shown: list[str], right: float, page: look.Page
) -> None:
    """Steps of the shown methods over those of the others, in grey."""
    curves = {}
    for method in methods:
        own = data[data["method"] == method]
        curves[method] = [*own["factor"], right], [*own["share"], own["share"].iloc[-1]]
    look.in_grey(ax, [curve for method, curve in curves.items() if method not in shown], page)
    for method in shown:
        kind = look.look(method)
        ax.plot(*curves[method], drawstyle="steps-post", marker=kind.marker, markevery=(0.0, 0.25),
                gid=method, **kind.line())  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(1, right)
    ax.set_ylim(-0.04, 1.04)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right < 30 else (1,), numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.xaxis.set_minor_formatter(NullFormatter())
