"""Critical-difference diagram: methods by their mean ranks, bars over those that may be alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..looks import Looks
from ..stats.frames import NoAnswer, seed_counts
from ..stats.ranks import alike, critical_difference, friedman, mean_ranks, scores
from . import captions
from .saving import Figure
from .style import Page, page_of, panels

MOST_NAMED = 25
"""Ranks that all have a number at the axis; of more every fifth has."""


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Critical-difference diagram: methods on a scale of mean ranks, bars join those that may be alike."""
    table, looks = scores(reports, runs), Looks.of(runs)
    left_out = [str(m) for m in table.columns[table.isna().any()]]
    table = table.drop(columns=left_out)
    if len(table) < 2 or table.shape[1] < 2:
        raise NoAnswer("ranks need two problems and two methods that ran on all of them")
    ranks = mean_ranks(table)
    difference = critical_difference(len(ranks), len(table))
    groups = alike(ranks, difference)
    with page_of(style) as page:
        half = -(-len(ranks) // 2)
        height = page.panel * (0.35 + 0.11 * half + 0.07 * len(groups))
        canvas, axes = panels(1, 1, page.width, height)
        _diagram(axes[0][0], ranks, looks, groups, difference, page)
    data = pd.DataFrame({"method": ranks.index, "mean_rank": ranks.to_numpy(np.float64)})
    data = data.assign(critical_difference=difference, problems=len(table))
    return Figure("ranks", canvas, data, _caption(table, difference, left_out, runs))


def _diagram(
    ax: Axes,
    ranks: pd.Series[float],
    looks: Looks,
    groups: list[tuple[int, int]],
    difference: float,
    page: Page,
) -> None:
    """Best rank on the left; names of the better half on the left, of the others on the right."""
    values, k = ranks.to_numpy(np.float64), len(ranks)
    thin: dict[str, Any] = {"color": "black", "linewidth": page.line * 0.7}
    half, depth = -(-k // 2), 1.0 + 0.6 * len(groups)
    for i, (method, rank) in enumerate(zip(map(str, ranks.index), values.tolist(), strict=True)):
        left, kind = i < half, looks[method]
        y = -depth - (i if left else k - 1 - i)
        edge = 0.8 if left else k + 0.2
        ax.plot([rank, rank, edge], [0, y, y], **thin)
        ax.plot(rank, 0, marker=kind.marker, color=kind.color, zorder=3)
        text = f"{kind.label}  {rank:.2f}" if left else f"{rank:.2f}  {kind.label}"
        ax.annotate(text, (edge, y), xytext=(-3 if left else 3, 0), textcoords="offset points", va="center",
                    ha="right" if left else "left", fontsize=page.small)  # fmt: skip
    for i, (first, last) in enumerate(groups):
        y = -0.6 * (i + 1)
        ax.plot([values[first] - 0.05, values[last] + 0.05], [y, y], color="black", linewidth=page.line * 2.5,
                solid_capstyle="butt", gid="alike")  # fmt: skip
    ax.plot([1, 1 + difference], [1.3, 1.3], marker="|", **thin)
    ax.annotate(f"critical difference {difference:.2f}", (1, 1.3), xytext=(0, 3), textcoords="offset points",
                fontsize=page.small)  # fmt: skip
    ax.set_xlim(0.8 - 0.32 * k, k + 0.2 + 0.32 * k)
    ax.set_ylim(-depth - half + 0.3, 2.4)
    ax.plot([1, k], [0, 0], **thin)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, 0.2], **thin)
        if k <= MOST_NAMED or tick == 1 or tick % 5 == 0:
            ax.annotate(str(tick), (tick, 0.25), ha="center", va="bottom", fontsize=page.small)
    ax.set_axis_off()


def _caption(table: pd.DataFrame, difference: float, left_out: list[str], runs: pd.DataFrame) -> str:
    p = friedman(table)
    words = [
        f"Mean rank over {len(table)} problems by median incumbent test accuracy "
        f"({captions.seeds(seed_counts(runs))}), 1 the best. Methods that a "
        f"bar joins do not differ at the 5 % level (Nemenyi, critical difference {difference:.2f})."
    ]
    if np.isfinite(p):
        words.append(f"Friedman's test that all are alike: p = {p:.2g}.")
    if left_out:
        named = ", ".join(map(Looks.of(runs).label, left_out))
        words.append(f"Left out, as not run on every problem or failed on one: {named}.")
    return " ".join([*words, *captions.protocol_and_rest(runs)])
