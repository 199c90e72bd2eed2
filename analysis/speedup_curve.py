"""The speedup against the accuracy that is asked for: one target may be a lucky choice, a curve is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from . import style as look
from .curves import anytime, ends, settled
from .speedup import compare_all, speedup_table


def table(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", count: int = 40, resamples: int = 1000
) -> pd.DataFrame:
    """``speedup.speedup_table`` at ``count`` test accuracies a problem, evenly spaced.

    They run from the lowest that an incumbent of the reference has to its own target (see ``speedup``).
    Problems on which the reference has none, or no other method ran, are absent.
    """
    rows = speedup_table(reports, runs, reference, resamples=1)
    own = rows.groupby("problem", sort=False)["target"].first()
    runs = settled(runs)
    curves, censor = anytime(settled(reports), runs=runs), ends(runs)
    pieces = []
    for problem, top in own.dropna().items():
        here = curves[curves["problem"] == problem]
        bottom = here.loc[here["method"] == reference, "value"].min()
        for target in np.unique(np.linspace(bottom, top, count)):
            pieces.append(compare_all(here, censor, reference, float(target), 0.0, resamples))
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame()


def draw(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", style: str = "paper"
) -> look.Figure:
    """One panel a problem; a line turns thin and dotted where it is only a lower bound."""
    data = table(reports, runs, reference)
    if data.empty or not np.isfinite(data["speedup"]).any():
        raise look.CannotDraw(f"{look.label(reference)} reaches nothing that another method can be asked for")
    problems, methods = list(data["problem"].unique()), list(data["method"].unique())
    with look.page(style) as page:
        rows, columns = look.grid_shape(len(problems))
        height = page.panel * rows * (1.15 if columns < 3 else 0.9)
        canvas, axes = look.panels(rows, columns, page.width, height)
        for ax, problem in zip((ax for row in axes for ax in row), problems, strict=False):
            here = data[data["problem"] == problem]
            for method in methods:
                _line(ax, here[here["method"] == method], method, page)
            _frame(ax, page)
            ax.set_title(problem, loc="left")
        name = look.label(reference)
        look.label_outer(axes, len(problems), "test accuracy asked for (%)", f"times longer than {name}")
        look.legend_below(canvas, look.method_handles(methods, page))
    caption = (
        f"How many times longer than {name} each method needs to a given test accuracy, up to {name}'s own "
        "final one (medians over seeds; band: 95 % bootstrap interval). Fine dots without markers: the "
        "median run never got there within its budget, so the line is a lower bound."
    )
    return look.Figure("speedup_curve", canvas, data, caption)


def _line(ax: Axes, own: pd.DataFrame, method: str, page: look.Page) -> None:
    kind = look.look(method)
    x, y = 100 * own["target"], own["speedup"].where(own["speedup"] > 0)
    exact = own["bound"] == ""
    band = exact & np.isfinite(own["high"]) & (own["low"] > 0)
    ax.fill_between(x, own["low"], own["high"], where=band, color=kind.color, alpha=0.15, linewidth=0)
    if exact.any():
        ax.plot(x, y.where(exact), marker=kind.marker, markevery=(0.05, 0.25), gid=f"exact:{method}",
                **kind.line())  # fmt: skip
    bound = y.where(own["bound"] == ">")
    ax.plot(x, bound, color=kind.color, linestyle=(0, (1, 1.5)), linewidth=page.line,
            gid=f"bound:{method}")  # fmt: skip


def _frame(ax: Axes, page: look.Page) -> None:
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}x"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.axhline(1.0, color="black", linewidth=page.line * 0.7, zorder=1.5)
