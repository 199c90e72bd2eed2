"""Incumbents as step functions: a few methods in colour with their bands, the others grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..looks import REST, Looks
from .ends import End
from .style import Page, in_grey, shade_steps


def step_lines(
    ax: Axes, table: pd.DataFrame, coloured: Sequence[str], floor: str | None, looks: Looks, page: Page
) -> None:
    """Lines of ``bands``' rows of one problem: median, low and high against ``at``.

    The floor, a method that searches nothing, is a horizontal line at its last median, with a dot where it
    was
    there. The methods in colour are drawn in reverse order, so that the first lies on top.
    """
    known = table.dropna(subset=["median"])
    rest = known[~known["method"].isin([*coloured, floor])]
    in_grey(ax, [(own["at"], own["median"]) for _, own in rest.groupby("method", sort=False)], page)
    if floor is not None and (known["method"] == floor).any():
        _floor(ax, known[known["method"] == floor], floor, looks, page)
    for i, method in reversed(list(enumerate(coloured))):
        own = known[known["method"] == method]
        if own.empty:
            continue
        kind = looks[method]
        steps: dict[str, Any] = {"drawstyle": "steps-post", **kind.line()}
        shade_steps(ax, own["at"], own["low"], own["high"], kind.color)
        live = own[~own["held"].astype(bool)]
        # The first is the widest, and all have their markers, so that a grey print can be read.
        ax.plot(live["at"], live["median"], label=kind.label, gid=f"median:{method}", marker=kind.marker,
                markersize=page.marker * 0.9, markevery=(0.12 + 0.05 * i, 0.3),
                linewidth=page.line * (1.4 if i == 0 else 1.0), **steps)  # fmt: skip
        if len(live) < len(own):  # all runs had stopped
            held = own.iloc[len(live) - 1 :]
            ax.plot(held["at"], held["median"], alpha=0.5, linewidth=page.line * 0.6, **steps)


def _floor(ax: Axes, own: pd.DataFrame, method: str, looks: Looks, page: Page) -> None:
    level, kind = float(own["median"].iloc[-1]), looks[method]
    ax.axhline(
        level, color=kind.color, linewidth=page.line * 0.8, linestyle=(0, (5, 2)), gid=f"floor:{method}"
    )
    there = own.loc[own["median"] == own["median"].iloc[-1], "at"].iloc[0]
    ax.plot(there, level, marker=kind.marker, color=kind.color, gid=f"floor at:{method}")


def line_ends(
    table: pd.DataFrame, coloured: Sequence[str], floor: str | None, looks: Looks, several: bool
) -> list[End]:
    """Every method's name where its line ends; those in colour first, then the floor, then the best."""
    known = table.dropna(subset=["median"])
    last = known.groupby("method", sort=False)["median"].last()
    ends = [End(float(last[m]), looks.label(m), looks[m].color, True) for m in coloured if m in last]
    if floor is not None and floor in last:
        words = f"{looks.label(floor)}, no search"
        ends.append(End(float(last[floor]), words, looks[floor].color, True))
    others = [str(m) for m in last.index if m not in coloured and m != floor]
    return ends if several else ends + [End(float(last[m]), looks.label(m), REST) for m in others]


def best_floor(table: pd.DataFrame, searches: dict[str, bool]) -> str | None:
    """Of the methods that search nothing, the one with the highest last median; None without any."""
    last = table.dropna(subset=["median"]).groupby("method")["median"].last()
    own = {str(m): float(v) for m, v in last.items() if not searches.get(str(m), True)}
    return max(own, key=lambda m: own[m]) if own else None


def log_limits(at: pd.Series[float]) -> tuple[float, float] | None:
    """Ends of a logarithmic axis of times: the first above 0 and the last."""
    positive = at[at > 0].to_numpy(np.float64)
    if not len(positive) or positive.max() <= positive.min():
        return None
    return float(positive.min()) / 1.15, float(positive.max())
