"""The speedup against the accuracy that is asked for: one target may be a lucky choice, a curve is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import Look, Looks
from ..stats.frames import NoAnswer
from ..stats.speedup import speedup_curve
from . import captions
from .layout import legend_of, plan
from .saving import Figure
from .style import Page, in_grey, label_outer, page_of, panels, share_scale


def draw(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", style: str = "paper") -> Figure:
    """One panel a problem; a line turns thin and dotted where it is only a lower bound."""
    data, looks = speedup_curve(reports, runs, reference), Looks.of(runs)
    if data.empty or not np.isfinite(data["speedup"]).any():
        raise NoAnswer(
            f"{looks.label(reference)} and another method have no target that both can be asked for"
        )
    problems, methods = list(data["problem"].unique()), list(data["method"].unique())
    made = plan(problems, methods, looks)
    with page_of(style) as page:
        height = page.panel * made.rows * made.tall
        canvas, axes = panels(made.rows, made.columns, page.width * made.wide, height)
        for ax, panel in zip((ax for row in axes for ax in row), made.panels, strict=False):
            here = data[data["problem"] == panel.problem]
            known = here[(here["speedup"] > 0) & (here["bound"] == "")]
            rest = known[~known["method"].isin(panel.methods)].groupby("method", sort=False)
            factor = looks.shown(panel.problem).factor
            curves = [(factor * own["target"], own["speedup"]) for _, own in rest]
            in_grey(ax, curves, page, steps=False)
            for method in panel.methods:
                own = here[here["method"] == method].assign(at=factor * here["target"])
                _line(ax, own, method, looks[method], page, min(1.0, made.tall))
            _frame(ax, here.assign(at=factor * here["target"]), page)
            ax.set_title(panel.title, loc="left")
        name = looks.label(reference)
        if made.kinds:
            share_scale(axes)
        label_outer(
            axes, len(made.panels), f"test {looks.shown().axis} asked for", f"times longer than {name}"
        )
        legend_of(canvas, made, methods, looks, page)
    return Figure("speedup_curve", canvas, data, _caption(data, reports, runs, name))


def _caption(data: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, name: str) -> str:
    words = [
        f"How many times longer than {name} each method needs to a given test accuracy, up to the best "
        "median that any method came to: median of the seeds' ratios, "
        f"{captions.seeds(data['n_seeds'])} in common. Band: {captions.ratios(data)} They do not hold "
        "together over accuracies. Fine dots without markers: the median run never got there within its "
        "budget, so the line is a lower bound."
    ]
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])


def _line(ax: Axes, own: pd.DataFrame, method: str, kind: Look, page: Page, size: float) -> None:
    x, y = own["at"], own["speedup"].where(own["speedup"] > 0)
    exact = own["bound"] == ""
    ends = [captions.ends(row)[:2] for row in own.to_dict("records")]
    low, high = np.array(ends, np.float64).reshape(-1, 2).T
    band = exact & np.isfinite(high) & (low > 0)
    ax.fill_between(x, low, high, where=band, color=kind.color, alpha=0.15, linewidth=0)
    if exact.any():
        ax.plot(x, y.where(exact), marker=kind.marker, markersize=page.marker * size,
                markevery=(0.05, 0.25), gid=f"exact:{method}",
                **kind.line())  # fmt: skip
    bound = y.where(own["bound"] == ">")
    ax.plot(x, bound, color=kind.color, linestyle=(0, (1, 1.5)), linewidth=page.line,
            gid=f"bound:{method}")  # fmt: skip


def _frame(ax: Axes, here: pd.DataFrame, page: Page) -> None:
    """The same axes for all panels of a problem."""
    ax.set_yscale("log")
    known = here[here["bound"] == ""].to_dict("records")
    exact = np.array([captions.ends(row)[:2] for row in known], np.float64).ravel()
    shown = np.concatenate([exact, here["speedup"].to_numpy(np.float64), np.array([1.0])])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    low, high = float(shown.min()) / 1.2, float(shown.max()) * 1.2
    ax.set_ylim(low, high)
    targets = here["at"].to_numpy(np.float64)
    room = 0.05 * float(np.ptp(targets)) or 1.0
    ax.set_xlim(targets.min() - room, targets.max() + room)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,), numticks=7))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}x"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.axhline(1.0, color="black", linewidth=page.line * 0.7, zorder=1.5)
