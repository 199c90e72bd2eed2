"""By what a rounding grows on the way through each training that was differentiated."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from hpobench_fds.soundness import ILL

from ..looks import BLACK, Look, Looks
from ..stats.conditioning import conditioned
from ..stats.frames import NoAnswer
from . import captions
from .layout import legend_below, method_handles
from .saving import Figure
from .style import Page, grid_shape, label_outer, page_of, panels

BOUND = ILL  # in single precision
X, Y = "outer step (number)", "growth of a difference (ratio)"


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Growth against outer steps, a line a run; above the panel, where hypergradients overflowed."""
    table, looks = conditioned(reports), Looks.of(runs)
    if not table["growth"].notna().any():
        raise NoAnswer("no report says by what differences grew on the way to its hypergradient")
    problems, methods = list(dict.fromkeys(table["problem"])), list(dict.fromkeys(table["method"]))
    rows, columns = grid_shape(len(problems))
    with page_of(style) as page:
        canvas, axes = panels(rows, columns, page.width, page.panel * rows * 1.25)
        flat = [ax for row in axes for ax in row]
        for ax, problem in zip(flat, problems, strict=False):
            _panel(ax, table[table["problem"] == problem], looks, page)
            ax.set_title(problem, loc="left")
        for ax in flat[len(problems) :]:
            ax.set_axis_off()
        label_outer(axes, len(problems), X, Y)
        lost = Line2D([], [], label="overflow: no hypergradient", marker="x", color=BLACK, linestyle="none")
        bound = Line2D([], [], label=f"ill conditioned above {BOUND:g}", color="#707070", linestyle=":")
        handles = [*method_handles(methods, looks, page), bound]
        legend_below(canvas, [*handles, *([lost] if (table["soundness"] == "overflow").any() else [])])
    return Figure("conditioning", canvas, table, _caption(table, looks))


def _panel(ax: Axes, here: pd.DataFrame, looks: Looks, page: Page) -> None:
    ax.set_yscale("log")
    ax.axhline(BOUND, color="#707070", linestyle=":", linewidth=page.line * 0.8, zorder=1)
    for (method, _), own in here.groupby(["method", "seed"], sort=False):
        _run(ax, own, looks[str(method)], page)
    seen = here["growth"].dropna()
    seen = seen[seen > 0]
    if len(seen):
        ax.set_ylim(min(float(seen.min()), 1.0) / 2, max(float(seen.max()), BOUND) * 4)
    reports = here["report"].to_numpy(np.float64)
    ax.set_xlim(reports.min() - 0.5, reports.max() + 0.5)
    ax.yaxis.set_major_locator(LogLocator(numticks=6))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _run(ax: Axes, own: pd.DataFrame, look: Look, page: Page) -> None:
    at, growth = own["report"].to_numpy(np.float64), own["growth"].to_numpy(np.float64)
    kind = look.line()
    ax.plot(at, growth, linewidth=page.line * 0.7, marker=look.marker, markersize=page.marker * 0.6,
            alpha=0.8, gid=look.label, **kind)  # fmt: skip
    lost = at[(own["soundness"] == "overflow").to_numpy()]
    if len(lost):  # at the panel's upper edge, whatever its scale
        where, top = ax.get_xaxis_transform(), np.full(len(lost), 0.96)
        kind = {"color": look.color, "markersize": page.marker, "gid": f"lost:{look.label}"}
        ax.plot(lost, top, "x", transform=where, **kind)


def _caption(table: pd.DataFrame, looks: Looks) -> str:
    parts = []
    for method, own in table.groupby("method", sort=False):
        ill, lost = ((own["soundness"] == kind).sum() for kind in ("ill conditioned", "overflow"))
        parts.append(
            f"{looks.label(str(method))} {ill} of {len(own)}" + (f", and {lost} lost" if lost else "")
        )
    return (
        "By what a difference between two trainings grows on its way to the end, a line a run: of a tangent "
        "since its window closed, or of the adjoint on its way back. A hypergradient in single precision may "
        f"be that of rounding where it is above {BOUND:g} (dotted). Ill conditioned are {'; '.join(parts)}. "
        f"n = {captions.span(table.groupby(['problem', 'method'])['seed'].nunique())} seeds."
    )
