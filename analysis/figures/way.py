"""How far each method had come while it spent: share of the way to the best, against gradients and seconds.

The axis of shares is logarithmic in what is left of the way, so that the last tenth, where methods differ,
has
half of the picture; its lines are the problem's targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ..looks import Looks
from ..stats.curves import AXES
from ..stats.frames import Floats, flag, settled
from ..stats.target_times import target_times
from ..stats.targets import HEADLINE, SHARES
from ..stats.way import chosen, ranking, way_bands
from . import captions
from .ends import label_ends, panels_with_names, shortened, wide_title
from .layout import legend_below, method_handles, rest_handle
from .saving import Figure
from .step_lines import best_floor, line_ends, log_limits, step_lines
from .style import Page, grid_shape, label_outer, page_of, panels, plain_log, short

UNITS = {"gradient_equivalents": "gradients", "seconds": "seconds", "inner_steps": "inner steps"}
LOWEST, HIGHEST = -0.05, 0.995  # of the shares that the axis holds; what lies beyond stands at its end
FEW = 3
"""Of more problems than these each has a small panel, and one legend names the lines."""


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    axes: Sequence[str] = ("gradient_equivalents", "seconds"),
    reference: str = "fds",
    style: str = "paper",
    name: str = "anytime",
) -> Figure:
    """A row a problem, a column an axis; of more than ``FEW`` problems a small panel each, on the first axis.

    Raises NoAnswer where no method came further than the start.
    """
    looks = Looks.of(runs)
    table = way_bands(reports, runs, axes)
    problems = list(dict.fromkeys(table["problem"]))
    axes = axes if len(problems) <= FEW else axes[:1]
    table = table[table["against"].isin(axes)]
    order = ranking(reports, runs)
    done = settled(runs).drop_duplicates("method")
    searches = dict(zip(map(str, done["method"]), flag(done, "searches"), strict=True))
    coloured = [m for m in chosen(reports, runs, looks.kind_of, reference, most=4) if searches[m]]
    coloured = coloured or order[:4]
    # Within a problem, the order of the ranking: labels without room are those of the last.
    rank = {m: i for i, m in enumerate(order)}
    table = table.sort_values("method", key=lambda names: names.map(rank), kind="stable")
    with page_of(style) as page:
        painted = _rows if len(problems) <= FEW else _grid
        canvas, unnamed = painted(table, problems, axes, coloured, searches, looks, page, reports, runs)
    return Figure(name, canvas, table, _caption(table, reports, runs, coloured, unnamed, looks))


def remaining(share: Floats) -> Floats:
    """Decades of what is left of the way: 0 at the start, 1 at 90 %, 2 at 99 %."""
    left: Floats = -np.log10(1 - np.minimum(share, 1 - 1e-9))
    return left


def _inverse(left: Floats) -> Floats:
    share: Floats = 1 - 10.0 ** -np.asarray(left, np.float64)
    return share


def _rows(
    table: pd.DataFrame, problems: list[str], axes: Sequence[str], coloured: list[str],
    searches: dict[str, bool], looks: Looks, page: Page, reports: pd.DataFrame, runs: pd.DataFrame,
) -> tuple[Canvas, list[str]]:  # fmt: skip
    """A row a problem with names at the ends of its lines."""
    tall = 1.45 if len(problems) == 1 else 1.25
    names = [looks.label(m) for m in dict.fromkeys(table["method"])]
    names += [f"{looks.label(m)}, no search" for m, one in searches.items() if not one]
    canvas, grid = panels_with_names(
        len(problems), len(axes), page, page.panel * tall * len(problems), names, sharey="row"
    )
    for row, problem in zip(grid, problems, strict=True):
        here = table[table["problem"] == problem]
        for ax, against in zip(row, axes, strict=True):
            _panel(ax, here[here["against"] == against], coloured, searches, looks, page, against)
            ax.set_xlabel(AXES[against] if row is grid[-1] else "")
        own = looks.shown(problem)
        start, top = (own.factor * float(here[side].iloc[0]) for side in ("start", "top"))
        row[0].set_ylabel(
            f"way from {start:.{own.digits}f} to {top:.{own.digits}f}{own.unit} {own.name} (%)\n"
            f"and, in brackets, test {own.axis}"
        )
        row[0].yaxis.set_major_formatter(_accuracies(here, own))
        wide_title(row[0], _title(problem, reports, runs, axes[0], looks))
    unnamed: list[str] = []
    for row, problem in zip(grid, problems, strict=True):
        own_table = _shares(table[(table["problem"] == problem) & (table["against"] == axes[-1])])
        ends = line_ends(own_table, coloured, best_floor(own_table, searches), looks, several=False)
        unnamed += label_ends(canvas, row[-1], ends, page)
    return canvas, unnamed


def _grid(
    table: pd.DataFrame, problems: list[str], axes: Sequence[str], coloured: list[str],
    searches: dict[str, bool], looks: Looks, page: Page, reports: pd.DataFrame, runs: pd.DataFrame,
) -> tuple[Canvas, list[str]]:  # fmt: skip
    """A small panel a problem, one legend."""
    rows, columns = grid_shape(len(problems))
    canvas, grid = panels(rows, columns, page.width, page.panel * 0.75 * rows + 0.3 * page.panel, sharey=True)
    for ax, problem in zip((ax for row in grid for ax in row), problems, strict=False):
        here = table[table["problem"] == problem]
        _panel(ax, here, coloured, searches, looks, page, axes[0])
        ax.set_title(problem, loc="left", fontsize=page.small)
    label_outer(grid, len(problems), AXES[axes[0]], "way from the start to the best (%)")
    floors = [m for m, one in searches.items() if not one]
    methods = [m for m in coloured if (table["method"] == m).any()]
    handles = [
        *method_handles(methods, looks, page, markers=False),
        *rest_handle(table, coloured, floors, page),
    ]
    legend_below(canvas, handles, columns=3)
    return canvas, []


def _panel(
    ax: Axes, here: pd.DataFrame, coloured: list[str], searches: dict[str, bool], looks: Looks, page: Page,
    against: str,
) -> None:  # fmt: skip
    shares = _shares(here)
    step_lines(ax, shares, coloured, best_floor(shares, searches), looks, page)
    ax.set_yscale("function", functions=(remaining, _inverse))
    ax.set_ylim(LOWEST - 0.03, 1 - 0.8 * (1 - HIGHEST))
    ax.yaxis.set_major_locator(FixedLocator([0.0, *SHARES]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}"))
    ax.axhline(HEADLINE, color="#B0B0B0", linewidth=page.line * 0.8, zorder=1.1, gid="target")
    ax.set_xscale("log")
    if limits := log_limits(here.loc[here["median"].notna(), "at"]):
        ax.set_xlim(*limits)
    plain_log(ax.xaxis, 5)
    ax.xaxis.set_minor_formatter(NullFormatter())


def _shares(here: pd.DataFrame) -> pd.DataFrame:
    """The shares in the place of the values, moved to the ends of the axis where they lie beyond."""
    names = {"median": "share", "low": "share_low", "high": "share_high"}
    return here.assign(**{name: here[share].clip(LOWEST, HIGHEST) for name, share in names.items()})


def _accuracies(here: pd.DataFrame, own: Any) -> FuncFormatter:
    """Shares as ticks, each with the value of the metric that it is."""
    start, top = float(here["start"].iloc[0]), float(here["top"].iloc[0])
    return FuncFormatter(
        lambda y, _: f"{100 * y:.0f} ({own.factor * (start + y * (top - start)):.{own.digits}f})"
    )


def _title(problem: str, reports: pd.DataFrame, runs: pd.DataFrame, against: str, looks: Looks) -> str:
    """What the median runs needed to the headline target, the soonest first: the story in two lines."""
    times = target_times(reports[reports["problem"] == problem], runs[runs["problem"] == problem], against)
    own = times[times["headline"].astype(bool) & (times["bound"] == "") & np.isfinite(times["median"])]
    own = own.sort_values("median", kind="stable")
    if own.empty:
        return problem
    shown = list(zip(own["method"], own["median"], strict=True))
    mine = [pair for pair in shown if pair[0] == "fds"]
    told = shown[:4] if not mine or mine[0] in shown[:4] else [*shown[:3], *mine]
    share, target = own["share"].iloc[0], float(own["target"].iloc[0])
    goal = f"{100 * share:.0f} % of the way" if np.isfinite(share) else looks.shown(problem).text(target)
    words = [f"{looks.label(m)} {short(float(f'{t:.2g}'))}" for m, t in told]
    while len(words) > 2 and len(", ".join(words)) > WIDE:
        del words[-2 if mine else -1]
    first = f"{shortened(problem)}: {UNITS[against]} to {goal}, in the median run"
    return f"{first}\n{', '.join(words)}"


WIDE = 68
"""Characters of a title that have room on a page."""


def _caption(
    table: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, coloured: list[str], unnamed: list[str],
    looks: Looks,
) -> str:  # fmt: skip
    counts = table["seeds"].unique()
    several = table["problem"].nunique() > FEW
    words = [
        "How far the incumbent, the best so far by validation, has come of the way from the test "
        "accuracy of the "
        "initial schedule (or guessing) to the best median that any method came to; what is left of "
        "the way is "
        f"logarithmic. Lines: median over {captions.seeds(counts)}. Bands, of the methods in colour: "
        + captions.interval(counts),
        "In colour: FDS and the methods of each kind that came furthest; grey: the others"
        + ("." if several else ", named at their ends."),
        "Dashed, level: the best method that searches nothing; its marker: when it was there. A seed "
        "without a "
        "report yet counts as the worst, so a line starts where more than half have one; a failed "
        "run keeps what "
        "it had. Thin ends: all runs had stopped.",
    ]
    if unnamed:
        words.append(f"Grey, without room for a name: {', '.join(dict.fromkeys(unnamed))}.")
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])
