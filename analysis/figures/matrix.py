"""Methods by problems as numbers on colours: where rows of dots would fill pages."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure as Canvas

from ..looks import Looks, contrast
from ..stats.frames import Flags, Floats
from .ends import shortened
from .style import Page, page_of, panels

MOST = 60
"""Rows of dots, of all problems together, that a figure has; of more there is a table."""
SOONER = LinearSegmentedColormap.from_list("sooner", ["#08519C", "#6BAED6", "#EFF3FF"])
APART = LinearSegmentedColormap.from_list("apart", ["#B35806", "#F7F7F7", "#542788"])
"""Of times (dark is soon) and of differences (orange below, violet above): told apart by the colour-blind."""


@dataclass(frozen=True)
class Matrix:
    """What a figure shows: [methods, problems] each.

    texts : what stands in each cell. shades : its colour, from ``low`` to ``high``; NaN: none.
    bold : which texts stand out. ticks : of the colours, value and text.
    """

    methods: list[str]
    problems: list[str]
    texts: list[list[str]]
    shades: Floats
    bold: Flags
    colors: Colormap
    low: float
    high: float
    label: str
    ticks: dict[float, str]


NONE = "\u2013"


def of_cells(
    table: pd.DataFrame,
    methods: Iterable[Hashable],
    colors: Colormap,
    low: float,
    label: str,
    ticks: dict[float, str],
) -> Matrix:
    """Rows in the order of ``methods``, columns in that in which the table first has the problems.

    table : method, problem, shade (NaN: no colour; from ``low`` to the last of ``ticks``), text, bold. A cell
        without a row is a dash.
    """
    shades = table.pivot_table("shade", "method", "problem", sort=False, dropna=False)
    shades = shades.reindex(index=list(methods), columns=list(dict.fromkeys(table["problem"])))
    cells = {(one["method"], one["problem"]): one for one in table.to_dict("records")}
    at = [[cells.get((m, p), {}) for p in shades] for m in shades.index]
    return Matrix(
        [str(m) for m in shades.index], [str(p) for p in shades],
        [[str(one.get("text", NONE)) for one in row] for row in at], shades.to_numpy(np.float64),
        np.array([[bool(one.get("bold", False)) for one in row] for row in at]), colors, low, max(ticks),
        label, ticks,
    )  # fmt: skip


def of_ratios(table: pd.DataFrame, label: str) -> Matrix:
    """How many times the least on its problem each value is; who has most values, and the least, on top.

    table : method, problem, value; NaN is a dash.
    """
    shade = np.log10(table["value"] / table.groupby("problem")["value"].transform("min"))
    own = table.assign(shade=shade, bold=shade == 0, text=[or_dash(value) for value in table["value"]])
    by = own.groupby("method", sort=False)["shade"].agg(["count", "mean"])
    order = by.sort_values(["count", "mean"], ascending=[False, True], kind="stable").index
    return of_cells(own, order, SOONER, 0.0, label, {0.0: "1", 1.0: "10", 2.0: "100"})


def by_mean_shade(table: pd.DataFrame, ascending: bool) -> list[Hashable]:
    """The methods of cells by the mean of their shades."""
    mean = table.groupby("method", sort=False)["shade"].mean()
    return list(mean.sort_values(ascending=ascending, kind="stable").index)


def or_dash(value: float, sign: bool = False) -> str:
    return narrow(value, sign) if np.isfinite(value) else NONE


def is_crowded(problems: int, rows: int) -> bool:
    """Whether so many rows of dots, in panels of so many problems, are too many to be read."""
    return problems > 2 and rows > MOST


def draw(matrix: Matrix, looks: Looks, style: str) -> Canvas:
    """The table, problems on top, the scale of its colours below."""
    with page_of(style) as page:
        return _drawn(matrix, looks, page)


def _drawn(matrix: Matrix, looks: Looks, page: Page) -> Canvas:
    names = [shortened(looks.label(m)) for m in matrix.methods]
    letter = page.small / 72
    height = 1.75 * letter * len(names) + 0.62 * letter * max(map(len, matrix.problems)) + 6 * letter
    canvas, ((ax,),) = panels(1, 1, page.width, height)
    scale = ScalarMappable(Normalize(matrix.low, matrix.high), matrix.colors)
    ax.imshow(np.ma.masked_invalid(matrix.shades), cmap=matrix.colors, norm=scale.norm, aspect="auto")
    _texts(ax, matrix, scale, page)
    ax.set_xticks(range(len(matrix.problems)), matrix.problems, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.xaxis.tick_top()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    long = 0.75 * page.width / letter  # about as the table is wide
    bar = canvas.colorbar(scale, ax=ax, location="bottom", fraction=letter / height, aspect=long, pad=0.01)
    bar.set_ticks(list(matrix.ticks), labels=list(matrix.ticks.values()))
    bar.set_label(matrix.label, fontsize=float(mpl.rcParams["axes.labelsize"]))
    bar.outline.set_visible(False)  # type: ignore[operator]
    return canvas


def _texts(ax: Axes, matrix: Matrix, scale: ScalarMappable, page: Page) -> None:
    for i, row in enumerate(matrix.texts):
        for j, text in enumerate(row):
            known = bool(np.isfinite(matrix.shades[i, j]))
            under = mpl.colors.to_hex(scale.to_rgba(matrix.shades[i, j])) if known else "#FFFFFF"
            color = max(("#000000", "#FFFFFF"), key=lambda one, under=under: contrast(one, under))
            ax.text(
                j, i, text, ha="center", va="center", fontsize=page.small, color=color if known else
                "#767676", weight="bold" if matrix.bold[i, j] else "normal", gid="cell",
            )  # fmt: skip


def narrow(value: float, sign: bool = False) -> str:
    """``480``, ``3.9k``, ``12k``; with a sign ``-0.3``, ``+34``, ``-8k``: four letters at most."""
    size, letter = next(((s, n) for s, n in ((1e6, "M"), (1e3, "k")) if abs(value) >= 0.9995 * s), (1.0, ""))
    scaled = value / size
    digits = 0 if abs(scaled) >= 9.95 or (sign and letter) else 1
    text = f"{scaled:+.{digits}f}" if sign else f"{scaled:.{digits}f}"
    return f"{'0' if not float(text) else text}{letter}".replace("-", "\u2212")
