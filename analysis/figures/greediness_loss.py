"""Test accuracy lost by not looking to the end: one panel a problem, one line a method."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..looks import BLACK, Looks
from ..stats.greediness import KINDS, losses
from . import captions
from .captions import kinds_named
from .layout import legend_below
from .saving import Figure
from .style import Page, grid_shape, label_outer, page_of, panels


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Test accuracy lost to greediness: one panel a problem, one line a method."""
    table, looks = losses(reports, runs), Looks.of(runs)
    problems = list(table["problem"].unique())
    most = int(table.groupby("problem").size().max())
    with page_of(style) as page:
        rows, columns = grid_shape(len(problems), widest=2)
        height = page.panel * (0.35 + 0.1 * most) * rows + 0.25 * page.panel
        canvas, axes = panels(rows, columns, page.width, height)
        for ax, problem in zip((ax for row in axes for ax in row), problems, strict=False):
            _panel(ax, table[table["problem"] == problem], looks, page)
            ax.set_title(str(problem), loc="left")
        label_outer(
            axes,
            len(problems),
            f"final test {looks.shown().name} minus the best non-greedy's ({looks.shown().step})",
            "",
        )
        handles = [
            Line2D([], [], label=kind, color=BLACK, marker="o", linestyle="none",
                   markerfacecolor=_face(kind, BLACK), markersize=page.marker * 1.3)
            for kind in KINDS if (table["kind"] == kind).any()
        ]  # fmt: skip
        legend_below(canvas, handles)
    return Figure("greediness_loss", canvas, table, _caption(table, runs))


def _panel(ax: Axes, table: pd.DataFrame, looks: Looks, page: Page) -> None:
    # Those that see the whole horizon stand on top, greedy ones and truncated ones below, the worst first.
    ordered = table.assign(last=table["kind"] == KINDS[-1]).sort_values(["last", "difference"], kind="stable")
    factor = abs(looks.shown(table["problem"].iloc[0]).factor)
    for y, row in enumerate(ordered.to_dict("records")):
        kind = looks[str(row["method"])]
        value, low, high = (factor * float(row[k]) for k in ("difference", "low", "high"))
        if np.isfinite(low):
            ax.plot([low, high], [y, y], color=kind.color, linewidth=page.line, solid_capstyle="butt")
        ax.plot(value, y, marker=kind.marker, color=kind.color, markersize=page.marker * 1.3,
                markerfacecolor=_face(str(row["kind"]), kind.color), gid=f"loss:{row['method']}")  # fmt: skip
    ax.axvline(0, color=BLACK, linewidth=page.line * 0.6)
    ax.set_yticks(range(len(ordered)), [looks.label(m) for m in ordered["method"]])
    ax.set_ylim(-0.6, len(ordered) - 0.4)
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(4))


def _face(kind: str, color: str) -> str:
    """Greedy methods are filled, truncated ones grey within, others hollow."""
    return {"greedy": color, "truncated": "#C8C8C8"}.get(kind, "white")


def _caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    looks = Looks.of(runs)
    best = table.groupby("problem", sort=False)["reference"].agg(lambda names: names.mode().iloc[0])
    named = ", ".join(f"{looks.label(method)} on {problem}" for problem, method in best.items())
    words = (
        "Test accuracy after retraining on training and validation data, minus that of the best non-greedy "
        f"method ({named}), seed by seed: the typical difference (Hodges and Lehmann) over n = "
        f"{captions.span(table['seeds'])} seeds. Bars: {captions.interval(table['seeds'])} Greedy methods "
        f"left of 0: lost to greediness.{kinds_named(table, looks)}"
    )
    own = runs[runs["problem"].isin(table["problem"]) & runs["method"].isin(table["method"])]
    return " ".join([words, *captions.left_out(own)])
