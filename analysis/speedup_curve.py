"""The speedup against the accuracy that is asked for: one target may be a lucky choice, a curve is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from . import captions
from . import style as look
from .curves import Floats, anytime, ends, last_values, settled
from .speedup import COLUMNS, check_reference, compare_at, own_target, times_of


def table(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", count: int = 40, resamples: int = 500
) -> pd.DataFrame:
    """``speedup.speedup_table`` at ``count`` test accuracies a problem, evenly spaced.

    They run from the lowest that an incumbent of the reference has to its own target (see ``speedup``).
    Problems on which the reference has none, or no other method ran, are absent.
    """
    runs = settled(runs)
    check_reference(runs, reference)
    curves, censor = anytime(settled(reports), runs=runs), ends(runs)
    pieces = []
    for problem, here in curves.groupby("problem", sort=False):
        own = here[here["method"] == reference]
        final: Floats = np.asarray(last_values(own), np.float64)
        top = final[own_target(final)] if len(final) else np.nan
        if np.isnan(top):
            continue
        targets = np.unique(np.linspace(own["value"].min(), top, count))
        mine, seeds = times_of(own, censor, targets, "test_accuracy"), sorted(own["seed"].unique().tolist())
        for method, other in here[here["method"] != reference].groupby("method", sort=False):
            its = times_of(other, censor, targets, "test_accuracy")
            both = sorted(other["seed"].unique().tolist()), seeds
            found = compare_at(its, mine, both, targets, resamples)
            pieces.append(found.assign(problem=problem, method=method, reference=reference)[COLUMNS])
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=COLUMNS)


def draw(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", style: str = "paper"
) -> look.Figure:
    """One panel a problem; a line turns thin and dotted where it is only a lower bound."""
    data = table(reports, runs, reference)
    if data.empty or not np.isfinite(data["speedup"]).any():
        raise look.CannotDraw(f"{look.label(reference)} reaches nothing that another method can be asked for")
    problems, methods = list(data["problem"].unique()), list(data["method"].unique())
    made = look.plan(problems, methods)
    with look.page(style) as page:
        height = page.panel * made.rows * made.tall
        canvas, axes = look.panels(made.rows, made.columns, page.width * made.wide, height)
        for ax, panel in zip((ax for row in axes for ax in row), made.panels, strict=False):
            here = data[data["problem"] == panel.problem]
            known = here[(here["speedup"] > 0) & (here["bound"] == "")]
            rest = known[~known["method"].isin(panel.methods)].groupby("method", sort=False)
            curves = [(100 * own["target"], own["speedup"]) for _, own in rest]
            look.in_grey(ax, curves, page, steps=False)
            for method in panel.methods:
                _line(ax, here[here["method"] == method], method, page, min(1.0, made.tall))
            _frame(ax, here, page)
            ax.set_title(panel.title, loc="left")
        name = look.label(reference)
        if made.kinds:
            look.share_scale(axes)
        look.label_outer(axes, len(made.panels), "test accuracy asked for (%)", f"times longer than {name}")
        look.legend_of(canvas, made, methods, page)
    return look.Figure("speedup_curve", canvas, data, _caption(data, runs, name))


def _caption(data: pd.DataFrame, runs: pd.DataFrame, name: str) -> str:
    counts = [*data["n_seeds"].unique(), *data["n_seeds_reference"].unique()]
    words = [
        f"How many times longer than {name} each method needs to a given test accuracy, up to {name}'s own "
        f"final one: medians over {captions.seeds(counts)}. Band: {captions.interval(counts)} Fine dots "
        "without markers: the median run never got there within its budget, so the line is a lower bound."
    ]
    return " ".join([*words, captions.protocol(runs), *captions.left_out(runs)])


def _line(ax: Axes, own: pd.DataFrame, method: str, page: look.Page, size: float) -> None:
    kind = look.look(method)
    x, y = 100 * own["target"], own["speedup"].where(own["speedup"] > 0)
    exact = own["bound"] == ""
    band = exact & np.isfinite(own["high"]) & (own["low"] > 0)
    ax.fill_between(x, own["low"], own["high"], where=band, color=kind.color, alpha=0.15, linewidth=0)
    if exact.any():
        ax.plot(x, y.where(exact), marker=kind.marker, markersize=page.marker * size,
                markevery=(0.05, 0.25), gid=f"exact:{method}",
                **kind.line())  # fmt: skip
    bound = y.where(own["bound"] == ">")
    ax.plot(x, bound, color=kind.color, linestyle=(0, (1, 1.5)), linewidth=page.line,
            gid=f"bound:{method}")  # fmt: skip


def _frame(ax: Axes, here: pd.DataFrame, page: look.Page) -> None:
    """The same axes for all panels of a problem."""
    ax.set_yscale("log")
    exact = here.loc[here["bound"] == "", ["low", "high"]].to_numpy(np.float64).ravel()
    shown = np.concatenate([exact, here["speedup"].to_numpy(np.float64), np.array([1.0])])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    low, high = float(shown.min()) / 1.2, float(shown.max()) * 1.2
    ax.set_ylim(low, high)
    targets = 100 * here["target"].to_numpy(np.float64)
    room = 0.05 * float(np.ptp(targets)) or 1.0
    ax.set_xlim(targets.min() - room, targets.max() + room)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,), numticks=7))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}x"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.axhline(1.0, color="black", linewidth=page.line * 0.7, zorder=1.5)
