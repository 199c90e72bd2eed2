"""Mean ranks of the methods over problems, with the critical difference of Nemenyi's test.

A method's score on a problem is the median test accuracy of its last incumbents; a finished seed without
one counts as 0. Ranks, Friedman's test and the critical difference follow Demsar (2006), "Statistical
comparisons of classifiers over multiple data sets": two methods differ at level alpha if their mean ranks
differ by more than q_alpha sqrt(k (k + 1) / (6 N)), k methods, N problems.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from hpobench_fds.errors import InputError

from . import captions
from . import style as look
from .curves import anytime, last_values, settled

LEVEL = 0.05


def scores(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Median last incumbent test accuracy: a row a problem, a column a method, NaN where it did not run."""
    curves = anytime(settled(reports), runs=settled(runs))
    last = last_values(curves).fillna(0.0).reset_index()
    order = [list(dict.fromkeys(curves[key])) for key in ("problem", "method")]
    wide = last.pivot_table("value", "problem", "method", aggfunc="median")
    return wide.reindex(index=order[0], columns=order[1])


def mean_ranks(table: pd.DataFrame) -> pd.Series[float]:
    """Mean rank of each column over the rows of ``scores``, 1 the best, ties shared; best first."""
    if table.isna().any(axis=None):
        raise InputError("ranks need every method on every problem")
    return table.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def critical_difference(methods: int, problems: int, level: float = LEVEL) -> float:
    """Nemenyi's critical difference of two mean ranks."""
    q = stats.studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * problems)))


def friedman(table: pd.DataFrame) -> float:
    """p-value of Friedman's test that all methods are alike; NaN below three methods or two problems."""
    if table.shape[1] < 3 or len(table) < 2:
        return float("nan")
    return float(stats.friedmanchisquare(*table.to_numpy(np.float64).T).pvalue)


def alike(ranks: pd.Series[float], difference: float) -> list[tuple[int, int]]:
    """Largest runs (first, last position) of sorted ranks that lie within the critical difference."""
    values = ranks.to_numpy(np.float64)
    found: list[tuple[int, int]] = []
    for first, value in enumerate(values):
        last = int(np.searchsorted(values, value + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """Critical-difference diagram: methods on a scale of mean ranks, bars join those that may be alike."""
    table = scores(reports, runs)
    left_out = [str(m) for m in table.columns[table.isna().any()]]
    table = table.drop(columns=left_out)
    if len(table) < 2 or table.shape[1] < 2:
        raise look.CannotDraw("ranks need two problems and two methods that ran on all of them")
    ranks = mean_ranks(table)
    difference = critical_difference(len(ranks), len(table))
    groups = alike(ranks, difference)
    with look.page(style) as page:
        half = -(-len(ranks) // 2)
        height = page.panel * (0.35 + 0.11 * half + 0.07 * len(groups))
        canvas, axes = look.panels(1, 1, page.width, height)
        _diagram(axes[0][0], ranks, groups, difference, page)
    data = pd.DataFrame({"method": ranks.index, "mean_rank": ranks.to_numpy(np.float64)})
    data = data.assign(critical_difference=difference, problems=len(table))
    return look.Figure("ranks", canvas, data, _caption(table, difference, left_out, runs))


def _diagram(
    ax: Axes, ranks: pd.Series[float], groups: list[tuple[int, int]], difference: float, page: look.Page
) -> None:
    """Best rank on the left; names of the better half on the left, of the others on the right."""
    values, k = ranks.to_numpy(np.float64), len(ranks)
    thin: dict[str, Any] = {"color": "black", "linewidth": page.line * 0.7}
    half, depth = -(-k // 2), 1.0 + 0.6 * len(groups)
    for i, (method, rank) in enumerate(zip(map(str, ranks.index), values.tolist(), strict=True)):
        left, kind = i < half, look.look(method)
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
        ax.annotate(str(tick), (tick, 0.25), ha="center", va="bottom", fontsize=page.small)
    ax.set_axis_off()


def _caption(table: pd.DataFrame, difference: float, left_out: list[str], runs: pd.DataFrame) -> str:
    p = friedman(table)
    counts = settled(runs).groupby(["problem", "method"])["seed"].nunique()
    words = [
        f"Mean rank over {len(table)} problems by median incumbent test accuracy ({captions.seeds(counts)}), "
        "1 the best. Methods that a "
        f"bar joins do not differ at the 5 % level (Nemenyi, critical difference {difference:.2f})."
    ]
    if np.isfinite(p):
        words.append(f"Friedman's test that all are alike: p = {p:.2g}.")
    if left_out:
        words.append(f"Left out, as not run on every problem: {', '.join(map(look.label, left_out))}.")
    return " ".join([*words, captions.protocol(runs), *captions.left_out(runs)])
