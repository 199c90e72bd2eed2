"""How one gradient-based method got to its schedule, outer step by outer step.

With the signs of its hypergradients and the sizes of its steps.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter

from ..looks import Looks
from ..stats.frames import Floats, NoAnswer
from ..stats.schedules import outer_steps
from . import captions
from .layout import legend_below
from .saving import Figure
from .schedule_axes import hyperparameters, schedule_axes
from .style import Page, page_of, panels

BAR_WIDTH = 0.08  # inches
_SIGNS = {-1: ("#FFFFFF", "negative"), 0: ("#B0B0B0", "zero"), 1: ("#303030", "positive")}


def draw(reports: pd.DataFrame, runs: pd.DataFrame, method: str, style: str = "paper") -> Figure:
    """One method's schedule at every outer step, light to dark, over the signs of its hypergradients.

    One seed is drawn: of each problem, the lowest whose run is complete; of more than ``MOST`` outer steps
    that many, evenly spaced, with the first and the last.
    """
    table, looks = outer_steps(reports, method), Looks.of(runs)
    if table.empty:
        raise NoAnswer(f"{looks.label(method)} has no complete run with a report")
    names = hyperparameters(table)
    problems, columns = list(names), max(map(len, names.values()))
    signed, stepped = (bool(table[column].notna().any()) for column in ("hypergradient", "step_size"))
    rows = [1.0, *([0.55] if signed else []), *([0.6] if stepped else [])]  # heights of one problem's panels
    with page_of(style) as page:
        height = page.panel * (0.75 * sum(rows) * len(problems) + 0.25 + 0.12 * len(problems) * len(rows))
        canvas, axes = panels(
            len(rows) * len(problems), columns, page.width, height, height_ratios=rows * len(problems)
        )
        shade = _shades(table, looks[method].color)
        for i, problem in enumerate(problems):
            block = axes[i * len(rows) : (i + 1) * len(rows)]
            here = table[table["problem"] == problem]
            for j, name in enumerate(names[problem]):
                own = here[here["hyperparameter"] == name]
                _panels([row[j] for row in block], own, name, shade, page, signed, stepped)
            for ax in (ax for row in block for ax in row[len(names[problem]) :]):
                ax.set_axis_off()
            _labels(block, signed, stepped)
            block[0][0].set_title(f"{problem}, seed {here['seed'].iloc[0]}", loc="left", pad=page.font)
        # As wide on a page of many problems as on one of a single one.
        bar = canvas.colorbar(
            shade, ax=[ax for row in axes for ax in row], aspect=height / BAR_WIDTH, pad=0.02
        )
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        bar.set_label("outer step (number)")
        if signed:
            legend_below(canvas, _sign_handles())
    return Figure(f"schedules_{method}", canvas, table, _caption(looks.label(method), signed, stepped, runs))


def _labels(block: list[list[Axes]], signed: bool, stepped: bool) -> None:
    """Labels of one problem's panels, where they do not repeat each other."""
    if signed:
        block[1][0].set_ylabel("outer step\n(number)")
    if stepped:
        block[-1][0].set_ylabel("step size\n(value)")
        block[-1][(len(block[0]) - 1) // 2].set_xlabel("outer step (number)")
    block[-2 if stepped else -1][(len(block[0]) - 1) // 2].set_xlabel(
        "part of the training (share of its steps)"
    )


def _panels(
    column: list[Axes],
    here: pd.DataFrame,
    name: str,
    shade: ScalarMappable,
    page: Page,
    signed: bool,
    stepped: bool,
) -> None:
    """One hyperparameter on one problem: its schedules; below, its hypergradients' signs and step sizes."""
    steps, numbers_ = [], []
    for report, own in here.groupby("report"):
        x = np.repeat(np.append(own["start"].to_numpy(np.float64), own["end"].iloc[-1]), 2)[1:-1]
        steps.append(np.column_stack([x, np.repeat(own["value"].to_numpy(np.float64), 2)]))
        numbers_.append(int(str(report)))
    colors = shade.to_rgba(np.array(numbers_))
    column[0].add_collection(LineCollection(steps, colors=colors, linewidths=page.line * 0.8))
    column[0].margins(y=0.08)
    column[0].autoscale_view()
    schedule_axes(column[0], name)
    if signed:
        _signs(column[1], here)
    if stepped:
        _step_sizes(column[-1], here, page)


def _step_sizes(ax: Axes, here: pd.DataFrame, page: Page) -> None:
    """Step sizes against outer steps, one line a window, the first light and the last dark."""
    last = max(int(here["window"].max()), 1)
    for window, own in here.groupby("window"):
        part = 0.72 * (1 - int(str(window)) / last)
        alone = {"marker": "."} if len(own) == 1 else {}
        ax.plot(own["report"], own["step_size"], color=(part,) * 3, linewidth=page.line * 0.7, **alone)
    sizes = here["step_size"].to_numpy(np.float64)
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if len(sizes):
        ax.set_yscale("log")
        few = np.unique(sizes)
        few = _apart(few[:: -(-len(few) // 4)]) if len(few) <= 12 else few
        ax.yaxis.set_major_locator(FixedLocator(few.tolist()) if len(few) <= 4 else LogLocator(numticks=4))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    first, last = int(here["report"].min()), int(here["report"].max())
    ax.set_xlim(first - 0.5, last + 0.5)
    ax.xaxis.set_major_locator(_whole(first, last, 3))


def _apart(sizes: Floats) -> Floats:
    """Of ascending sizes those a fifth of their whole range above the one before, in logarithms."""
    logs, kept = np.log(sizes), [0]
    for i in range(1, len(sizes)):
        if logs[i] - logs[kept[-1]] >= 0.2 * (logs[-1] - logs[0]):
            kept.append(i)
    return sizes[kept]


def _whole(first: int, last: int, most: int) -> Locator:
    """Ticks at outer steps, which are whole however few they are."""
    few = last - first < most
    return FixedLocator(list(range(first, last + 1))) if few else MaxNLocator(most, integer=True)


def _sign_handles() -> list[Artist]:
    return [
        Patch(facecolor=color, edgecolor="black", label=f"hypergradient {word}")
        for color, word in _SIGNS.values()
    ]


def _shades(table: pd.DataFrame, color: str) -> ScalarMappable:
    """Light to dark in the method's hue; the last step nearly black, so that order survives greyscale."""
    ramp = LinearSegmentedColormap.from_list("steps", ["#C4C4C4", color, "#1A1A1A"])
    return ScalarMappable(Normalize(table["report"].min(), max(table["report"].max(), 1)), ramp)


def _signs(ax: Axes, here: pd.DataFrame) -> None:
    """Signs of the hypergradients, a row an outer step and a column a window; hatched: none recorded."""
    grid = here.pivot_table("hypergradient", "report", "window", dropna=False)
    values: Floats = np.sign(grid.to_numpy(np.float64))
    edges = np.linspace(0, 1, values.shape[1] + 1)
    rows = np.append(grid.index.to_numpy(np.float64), grid.index.max() + 1) - 0.5
    ax.set_facecolor("white")
    ax.patch.set(hatch="xxxx", edgecolor="#999999")
    colors = ListedColormap([color for color, _ in _SIGNS.values()])
    signs = BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3)
    ax.pcolormesh(edges, rows, np.ma.masked_invalid(values), cmap=colors, norm=signs, edgecolors="#888888",
                  linewidth=0.3)  # fmt: skip
    ax.yaxis.set_major_locator(_whole(int(grid.index.min()), int(grid.index.max()), 3))
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _caption(name: str, signed: bool, stepped: bool, runs: pd.DataFrame) -> str:
    words = f"{name}'s schedule at each outer step of one run, first light, last dark."
    if signed:
        words += (
            " Below: the sign of the hypergradient there. Where it is positive, a smaller value lowers the "
            "validation loss; hatched: none was recorded."
        )
    if stepped:
        words += " Below: the size of the step of each window, the first window light, the last dark."
    return f"{words} {captions.protocol(runs)}"
