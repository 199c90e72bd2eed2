"""The speedup against the accuracy that is asked for: one target may be a lucky choice, a curve is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..looks import REST, Look, Looks
from ..stats.frames import NoAnswer
from ..stats.speedup import speedup_curve
from ..stats.way import chosen
from . import captions
from .ends import End, label_ends, panels_with_names
from .layout import legend_below, method_handles, rest_handle
from .saving import Figure
from .style import Page, grid_shape, in_grey, label_outer, page_of, panels


def draw(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", style: str = "paper") -> Figure:
    """One panel a problem; a line turns thin and dotted where it is only a lower bound."""
    data, looks = speedup_curve(reports, runs, reference), Looks.of(runs)
    if data.empty or not np.isfinite(data["speedup"]).any():
        raise NoAnswer(
            f"{looks.label(reference)} and another method have no target that both can be asked for"
        )
    problems, methods = list(data["problem"].unique()), [str(m) for m in data["method"].unique()]
    coloured = [m for m in chosen(reports, runs, looks.kind_of, reference, most=6) if m in methods]
    few, name = len(problems) <= FEW, looks.label(reference)
    with page_of(style) as page:
        if few:
            names = [looks.label(m) for m in methods]
            height = page.panel * (1.4 if len(problems) == 1 else 1.15) * len(problems)
            canvas, axes = panels_with_names(len(problems), 1, page, height, names)
        else:
            rows, columns = grid_shape(len(problems))
            canvas, axes = panels(rows, columns, page.width, page.panel * (0.75 * rows + 0.3))
        unnamed: list[str] = []
        for ax, problem in zip((ax for row in axes for ax in row), problems, strict=False):
            here = data[data["problem"] == problem]
            here = here.assign(at=looks.shown(problem).factor * here["target"])
            _panel(ax, here, coloured, looks, page)
            ax.set_title(problem, loc="left", fontsize=page.font if few else page.small)
        label_outer(
            axes, len(problems), f"test {looks.shown().axis} asked for", f"time over that of {name} (times)"
        )
        for row, problem in zip(axes, problems, strict=True) if few else ():
            unnamed += label_ends(
                canvas, row[0], _ends(data[data["problem"] == problem], coloured, looks), page
            )
        if not few:
            handles = method_handles(coloured, looks, page, markers=False)
            legend_below(canvas, [*handles, *rest_handle(data, coloured, [], page)], columns=3)
    return Figure("speedup_curve", canvas, data, _caption(data, reports, runs, name, unnamed))


FEW = 3
"""Of more problems than these each has a small panel, and one legend names the lines."""


def _panel(ax: Axes, here: pd.DataFrame, coloured: list[str], looks: Looks, page: Page) -> None:
    known = here[(here["speedup"] > 0) & (here["bound"] == "")]
    rest = known[~known["method"].isin(coloured)].groupby("method", sort=False)
    in_grey(ax, [(own["at"], own["speedup"]) for _, own in rest], page, steps=False)
    for method in reversed(coloured):
        own = here[here["method"] == method]
        if len(own):
            _line(ax, own, method, looks[method], page)
    _frame(ax, here, page)


def _ends(here: pd.DataFrame, coloured: list[str], looks: Looks) -> list[End]:
    """Names at the last speedup of each method that has one."""
    known = here[np.isfinite(here["speedup"].astype(float)) & (here["speedup"] > 0)]
    last = known.groupby("method", sort=False)["speedup"].last()
    order = sorted(map(str, last.index), key=lambda m: m not in coloured)
    return [
        End(float(last[m]), looks.label(m), looks[m].color if m in coloured else REST, m in coloured)
        for m in order
    ]


def _caption(
    data: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, name: str, unnamed: list[str]
) -> str:
    words = [
        f"How many times longer than {name} each method needs to a given test accuracy, up to the best "
        "median that any method came to: median of the seeds' ratios, "
        f"{captions.seeds(data['n_seeds'])} in common. Band: {captions.ratios(data)} They do not hold "
        "together over accuracies. Fine dots: the median run never got there within its "
        "budget, so the line is a lower bound."
    ]
    if unnamed:
        words.append(f"Grey, without room for a name: {', '.join(dict.fromkeys(unnamed))}.")
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])


def _line(ax: Axes, own: pd.DataFrame, method: str, kind: Look, page: Page) -> None:
    x, y = own["at"], own["speedup"].where(own["speedup"] > 0)
    exact = own["bound"] == ""
    ends = [captions.ends(row)[:2] for row in own.to_dict("records")]
    low, high = np.array(ends, np.float64).reshape(-1, 2).T
    band = exact & np.isfinite(high) & (low > 0)
    ax.fill_between(x, low, high, where=band, color=kind.color, alpha=0.11, linewidth=0)
    if exact.any():
        ax.plot(x, y.where(exact), gid=f"exact:{method}", **kind.line())
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
    ax.set_xlim(targets.min() - room, targets.max())
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 30 else (1,), numticks=7))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}x"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.axhline(1.0, color="black", linewidth=page.line * 0.7, zorder=1.5)
