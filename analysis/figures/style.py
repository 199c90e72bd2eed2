"""One place for the look of every figure: page sizes, matplotlib's defaults, panels and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from hpobench_fds.errors import InputError


@dataclass(frozen=True)
class Page:
    """Sizes that a figure needs, in inches and points."""

    width: float
    panel: float  # height of one panel
    line: float
    marker: float
    font: float
    small: float  # font size of ticks, legends and notes inside a panel


_PAGES = {
    "paper": Page(width=5.5, panel=2.3, line=1.3, marker=4.0, font=8.0, small=7.0),
    "slides": Page(width=12.0, panel=4.6, line=2.6, marker=8.0, font=17.0, small=14.0),
}
STYLES = tuple(_PAGES)


@contextmanager
def page_of(style: str = "paper") -> Iterator[Page]:
    """Set matplotlib's defaults for a style while a figure is made; restores them after."""
    if style not in _PAGES:
        raise InputError(f"unknown style {style!r}", allowed=STYLES)
    sizes = _PAGES[style]
    font = sizes.font
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": font,
        "axes.titlesize": font,
        "axes.labelsize": font,
        "xtick.labelsize": sizes.small,
        "ytick.labelsize": sizes.small,
        "legend.fontsize": sizes.small,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": font / 16,
        "axes.linewidth": font / 12,
        "lines.linewidth": sizes.line,
        "lines.markersize": sizes.marker,
        "hatch.linewidth": font / 12,
        "figure.constrained_layout.use": True,
        "mathtext.default": "regular",
    }
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change a published figure
        mpl.rcParams.update(settings)
        yield sizes


def panels(
    rows: int, columns: int, width: float, height: float, **keywords: Any
) -> tuple[Canvas, list[list[Axes]]]:
    """A figure without pyplot's global state, and its axes as rows of columns."""
    canvas = bare(width, height)
    return canvas, canvas.subplots(rows, columns, squeeze=False, **keywords).tolist()


def bare(width: float, height: float) -> Canvas:
    """A figure without axes and without pyplot's global state."""
    canvas = Canvas(figsize=(width, height))
    FigureCanvasAgg(canvas)
    return canvas


# What matplotlib itself writes at a logarithmic axis.
_OF_AN_AXIS = re.compile(r"\$\\mathdefault\{([-0-9.^{}\u2212]|\\times)*\}\$")


def literal_dollars(canvas: Canvas) -> None:
    """A name may hold two dollars, between which matplotlib would read mathematics: it shall not."""
    for text in canvas.findobj(Text):
        assert isinstance(text, Text)
        if "$" in text.get_text() and not _OF_AN_AXIS.fullmatch(text.get_text()):
            text.set_parse_math(False)


def grid_shape(count: int, widest: int = 3) -> tuple[int, int]:
    """Rows and columns for ``count`` small multiples, at most ``widest`` beside each other."""
    columns = min(count, 2 if count == 4 else widest)
    return -(-count // columns), columns


def label_outer(axes: list[list[Axes]], used: int, x: str, y: str) -> None:
    """Axis labels, shared by the first ``used`` small multiples if there are several; hides the rest."""
    flat = [ax for row in axes for ax in row]
    for ax in flat[used:]:
        ax.set_axis_off()
    if used == 1:
        flat[0].set_xlabel(x)
        flat[0].set_ylabel(y)
        return
    columns = len(axes[0])
    middle = (min(columns, used) - 1) // 2
    lowest = max(i for i in range(used) if i % columns == middle)
    # Not the figure's own label: a legend outside the panels would be laid over it.
    flat[lowest].set_xlabel(x)
    if min(columns, used) % 2 == 0:
        flat[lowest].xaxis.label.set_x(1.1)  # between the two in the middle
    canvas = flat[0].get_figure(root=True)
    assert canvas is not None
    canvas.supylabel(y, fontsize=float(mpl.rcParams["axes.labelsize"]))


GREY_LINE = "#BDBDBD"
"""Of lines of methods that are not in colour."""


def in_grey(ax: Axes, curves: Iterable[tuple[Any, Any]], sizes: Page, steps: bool = True) -> None:
    """The curves (x, y) of methods that have their colour in another panel."""
    lines = []
    for x, y in curves:
        points = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
        if steps:
            points = np.column_stack([np.repeat(points[:, 0], 2)[1:], np.repeat(points[:, 1], 2)[:-1]])
        lines.append(points)
    if not lines:
        return
    # One collection, not a line each: twenty methods on five problems are hundreds.
    ax.add_collection(LineCollection(lines, colors=GREY_LINE, linewidths=sizes.line * 0.6, zorder=1.2))


def shade_steps(ax: Axes, x: Any, low: Any, high: Any, color: str) -> None:
    """The band between two step functions; ``fill_between`` takes ten times as long."""
    x, low, high = (np.asarray(side, np.float64) for side in (x, low, high))
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    if len(x) < 2:
        return
    edge = np.repeat(x, 2)[1:]
    there, back = np.repeat(low, 2)[:-1], np.repeat(high, 2)[:-1]
    outline = np.column_stack([np.append(edge, edge[::-1]), np.append(there, back[::-1])])
    ax.add_collection(PolyCollection([outline], color=color, alpha=0.11, linewidth=0))


NARROW = 0.5
"""Decades below which an axis has evenly spaced ticks, although it is logarithmic."""


def plain_log(axis: Any, ticks: int) -> None:
    """A logarithmic axis with few ticks, in plain numbers; of few decades not only their ends.

    To be called once the axis has its limits.
    """
    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low) if low > 0 else np.inf
    between = (1, 2, 5) if decades < 1.2 else (1, 3) if decades < 1.9 else (1,)
    if decades < NARROW:  # of 1, 2 and 5 there may be one alone, for which a logarithm has all between
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=between, numticks=ticks))
    axis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axis.set_minor_formatter(NullFormatter())


def short(x: float) -> str:
    """``20k``, ``1.5M``: the numbers of a narrow axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:g}{letter}"
    return f"{x:g}"
