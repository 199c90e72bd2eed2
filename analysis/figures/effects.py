"""Effect sizes: by how much each method ended above or below the reference, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..looks import BLACK, Looks, Shown
from ..stats.effects import OUTCOMES, effects
from ..stats.intervals import LEAST
from . import captions, matrix
from .dots import Dot, dot, name_rows, stripes
from .layout import legend_below
from .saving import Figure
from .style import Page, page_of, panels

MEASURES = {
    "final_test_metric": "retrained test {of}", "incumbent_test_metric": "test {of} in hand",
}  # fmt: skip


def draw(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds", style: str = "paper") -> Figure:
    """A panel a problem, a row a method, the best on top; the reference is the line at 0.

    Raises NoAnswer where nothing can be compared.
    """
    table, looks = effects(reports, runs, reference), Looks.of(runs)
    problems = list(dict.fromkeys(table["problem"]))
    if matrix.is_crowded(len(problems), len(table)):
        canvas = matrix.draw(_matrix(table, looks), looks, style)
        return Figure("effects", canvas, table, _caption(table, runs, looks, crowded=True))
    columns = 1 if len(problems) == 1 else 2
    rows = -(-len(problems) // columns)
    sizes = [int((table["problem"] == p).sum()) for p in problems]
    heights = [1.2 + max(sizes[i * columns : (i + 1) * columns]) for i in range(rows)]
    with page_of(style) as page:
        height = page.panel * (0.075 * sum(heights) + 0.2 * rows + 0.15)
        canvas, axes = panels(rows, columns, page.width, height, height_ratios=heights)
        flat = [ax for row in axes for ax in row]
        for ax, problem in zip(flat, problems, strict=False):
            own = table[table["problem"] == problem].sort_values("difference", ascending=False, kind="stable")
            _panel(ax, own, looks, looks.shown(problem), page, columns == 1)
            whose = looks.label(own["reference"].iloc[0])
            ax.set_title(
                problem if len(problems) > 1 else f"{problem}: better than {whose} is right of 0", loc="left"
            )
        for ax in flat[len(problems) :]:
            ax.set_axis_off()
        for ax in flat[max(0, len(problems) - columns) : len(problems)]:
            ax.set_xlabel(_axis(table, looks, columns))
        legend_below(canvas, _handles(table, page), columns=3)
    return Figure("effects", canvas, table, _caption(table, runs, looks))


def _matrix(table: pd.DataFrame, looks: Looks) -> matrix.Matrix:
    """Who ended highest in the mean of the shades on top; told apart in bold."""
    cells = table.assign(
        shade=_shade(table["difference"]), bold=table["outcome"].isin(OUTCOMES.values()),
        text=[matrix.or_dash(100 * value, sign=True) for value in table["difference"]],
    )  # fmt: skip
    ticks = {float(_shade(d / 100)): f"{d:+g}" if d else "0" for d in (-50, -5, 0, 5, 50)}
    whose = table["reference"].unique()
    name = looks.label(whose[0]) if len(whose) == 1 else "the best"
    measure = MEASURES[str(table["measure"].iloc[0])].format(of="metric")
    label = f"{measure} less that of {name} (points, or hundredths of a bit)"
    order = matrix.by_mean_shade(cells, ascending=False)
    return matrix.of_cells(cells, order, matrix.APART, -1.0, label, ticks)


def _shade(difference: Any) -> Any:
    """Of fractions: linear within half a point, logarithmic beyond, 1 at fifty points."""
    size = np.log1p(200 * np.abs(difference)) / np.log1p(100)
    return np.clip(np.sign(difference) * size, -1, 1)


def _axis(table: pd.DataFrame, looks: Looks, columns: int) -> str:
    shown, measure = looks.shown(), str(table["measure"].iloc[0])
    whose = table["reference"].unique()
    name = looks.label(whose[0]) if len(whose) == 1 else "the best"
    step = shown.step or "its unit"
    if columns > 1:  # room for the half of a page
        return f"{shown.name} less that\nof {name} ({step})"
    return f"{MEASURES[measure].format(of=shown.name)} less that of {name} ({step})"


def _panel(ax: Axes, own: pd.DataFrame, looks: Looks, shown: Shown, page: Page, wide: bool) -> None:
    by = abs(shown.factor)
    rows = own.to_dict("records")
    stripes(ax, len(rows))
    values = by * own[["difference", "low", "high", "least", "most"]].to_numpy(np.float64)
    limits = _limits(ax, values, wide)
    for y, row in enumerate(rows):
        interval = bool(np.isfinite(row["low"]))
        low, high = (row["low"], row["high"]) if interval else (row["least"], row["most"])
        kind, told = looks[str(row["method"])], row["outcome"] in ("above", "below")
        one = Dot(by * row["difference"], by * low, by * high, kind.color, interval, "", told)
        dot(ax, y, one, limits, page, f"effect:{row['method']}")
    ax.axvline(0, color=BLACK, linewidth=page.line * 0.7, zorder=1.5)
    name_rows(ax, [looks.label(row["method"]) for row in rows])


def _limits(ax: Axes, values: Any, wide: bool) -> tuple[float, float]:
    """Ends of the axis; with differences far beyond the middle ones it is linear about 0 alone."""
    known = values[np.isfinite(values)]
    if not len(known):
        return -1.0, 1.0
    size = np.abs(values[:, 0][np.isfinite(values[:, 0])])
    middle = max(float(np.median(size)) if len(size) else 1.0, 1e-3)
    low, high = min(float(known.min()), 0.0), max(float(known.max()), 0.0)
    room = 0.05 * (high - low) or 1.0
    if max(-low, high) > 10 * middle:
        unit = 10.0 ** np.floor(np.log10(middle)) * (
            5 if middle / 10 ** np.floor(np.log10(middle)) >= 3 else 2
        )
        ax.set_xscale("symlog", linthresh=unit, linscale=1.4)
        ticks = [0.0, *(s * unit * f for f in ((1, 5, 25, 125) if wide else (1, 20)) for s in (-1, 1))]
        low, high = low * 1.25 - 0.1 * unit, high * 1.25 + 0.1 * unit
        shown = [t for t in ticks if low <= t <= high]
        shown += [
            s * unit / 2 for s in (-1, 1) if wide and s * unit not in shown and low <= s * unit / 2 <= high
        ]
        ax.set_xticks(shown)
        ax.minorticks_off()
        ax.axvspan(-unit, unit, color="#EAF2F8", zorder=0.1, linewidth=0, gid="linear")
    else:
        low, high = low - room, high + room
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlim(low, high)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+.3g}" if x else "0"))
    return low, high


def _handles(table: pd.DataFrame, page: Page) -> list[Any]:
    told = table["outcome"].isin(["above", "below"])
    found = []
    if told.any():
        found.append(
            Line2D([], [], marker="o", color=BLACK, linestyle="none", label="difference told by a test")
        )
    if not told.all():
        found.append(Line2D([], [], marker="o", color=BLACK, markerfacecolor="white", linestyle="none",
                            label="not told apart"))  # fmt: skip
    if table["low"].notna().any():
        found.append(
            Line2D([], [], color=BLACK, linewidth=page.line * 1.1, label="95 % interval, all together")
        )
    if table["low"].isna().any():
        found.append(
            Line2D([], [], color=BLACK, linewidth=page.line * 0.6, label="range of the seeds (no interval)")
        )
    return found


_DOTS = (
    "Intervals are those of signed ranks that hold together over the problem's methods at 95 %; where there "
    "are too few seeds for them, the thin line is the range of the seeds. Where the middle of an axis is "
    "shaded, it is linear there and logarithmic beyond."
)
_TABLE = "In points, of bits a token in hundredths; intervals are in the table beside the figure."


def _caption(table: pd.DataFrame, runs: pd.DataFrame, looks: Looks, crowded: bool = False) -> str:
    named = dict.fromkeys((str(p), str(r)) for p, r in zip(table["problem"], table["reference"], strict=True))
    whose = dict.fromkeys(looks.label(r) for _, r in named)
    seeds, compared, needed = table["seeds"], int(table["compared"].max()), int(table["needed"].max())
    where, told, rest = ("(violet)", "Bold", _TABLE) if crowded else ("(right of 0)", "Filled", _DOTS)
    words = [
        f"By how much each method ended above {', '.join(whose)} {where} or below, seed by seed: Hodges and "
        f"Lehmann's median of the differences over {captions.seeds(seeds)} in common. {told}: told apart by "
        f"a signed-rank test at the 5 % level with Holm's correction over {compared} "
        f"comparison{'' if compared == 1 else 's'}, for which {needed} seeds are the fewest. {rest}"
    ]
    if seeds.min() < LEAST:
        words.append(f"From fewer than {LEAST} common seeds nothing is claimed.")
    return " ".join([*words, *captions.protocol_and_rest(runs)])
