"""Wins, ties and losses of every pair of methods over the problems.

On each problem two methods are compared seed by seed (same split, initialisation and batches) by the last
incumbent's test accuracy, a finished seed without one counting as 0: paired t-test, two-sided, p-values
corrected by Holm's method over all pairs of that problem. A difference that is not significant is a tie.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from scipy import stats

from . import captions
from . import style as look
from .curves import Floats, anytime, last_values, settled

LEVEL = 0.05


def holm(p: Floats) -> Floats:
    """Holm's step-down correction: adjusted p-values in the given order."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def paired_p(difference: Floats) -> float:
    """p-value of the two-sided paired t-test; 1 where nothing can be said or nothing differs."""
    n = len(difference)
    if n < 2 or not difference.any():
        return 1.0
    if np.ptp(difference) <= 1e-12 * np.abs(difference).max():
        # The same in every seed. Accuracies of few test examples are coarse, so that this says no more than
        # the signs do.
        return float(0.5 ** (n - 1))
    t = difference.mean() / (difference.std(ddof=1) / np.sqrt(n))
    return float(2 * stats.t.sf(abs(t), n - 1))


def duels(reports: pd.DataFrame, runs: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """One row a problem and pair: problem, method, other, difference, seeds, p, result.

    ``difference`` is the mean of method - other over their common seeds (accuracy, fractions), ``p`` is
    corrected, ``result`` is win, tie or loss of ``method``.
    """
    curves = anytime(settled(reports), runs=settled(runs))
    methods = list(dict.fromkeys(curves["method"]))
    last = last_values(curves).fillna(0.0)
    pieces = []
    for problem in dict.fromkeys(curves["problem"]):
        own = last[last.index.get_level_values("problem") == problem].reset_index()
        wide = own.pivot_table("value", "seed", "method")
        rows = []
        for one, other in combinations([m for m in methods if m in wide.columns], 2):
            both = wide[[one, other]].dropna().to_numpy(np.float64)
            if len(both):
                gap = both[:, 0] - both[:, 1]
                rows.append((problem, one, other, float(gap.mean()), len(gap), paired_p(gap)))
        table = pd.DataFrame(rows, columns=["problem", "method", "other", "difference", "seeds", "p"])
        pieces.append(table.assign(p=holm(table["p"].to_numpy(np.float64))))
    table = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=["difference", "p"])
    sign = np.where(table["p"] < level, np.sign(table["difference"].to_numpy(np.float64)), 0.0)
    return table.assign(result=np.select([sign > 0, sign < 0], ["win", "loss"], "tie"))


def matrix(table: pd.DataFrame) -> pd.DataFrame:
    """(wins, ties, losses) of the row's method against the column's, over problems; both orders."""
    back = table.rename(columns={"method": "other", "other": "method"})
    back = back.assign(result=back["result"].map({"win": "loss", "loss": "win", "tie": "tie"}))
    both = pd.concat([table, back])
    for result in ("win", "tie", "loss"):
        both[result] = (both["result"] == result).astype(int)
    return both.groupby(["method", "other"], sort=False, as_index=False)[["win", "tie", "loss"]].sum()


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """Matrix of wins / ties / losses of the row over the column, the method with the best balance on top."""
    table = duels(reports, runs)
    if table.empty:
        raise look.CannotDraw("wins and losses need two methods with a common seed on one problem")
    counts = matrix(table)
    balance = counts.assign(net=counts["win"] - counts["loss"]).groupby("method", sort=False)["net"].sum()
    methods = [str(m) for m in balance.sort_values(ascending=False, kind="stable").index]
    with look.page(style) as page:
        side = page.width * min(1.0, 0.32 + 0.12 * len(methods))
        canvas, axes = look.panels(1, 1, side, page.panel * (0.5 + 0.14 * len(methods)))
        ax = axes[0][0]
        # Five characters, each about 0.6 of the font size wide; the panel has about 2/3 of the width.
        size = min(page.small, 72 * side * 2 / 3 / len(methods) / (5 * 0.6))
        shades, most = np.full((len(methods), len(methods)), np.nan), int(table["problem"].nunique())
        for row in counts.itertuples():
            i, j = methods.index(str(row.method)), methods.index(str(row.other))
            shades[i, j] = int(row.win) - int(row.loss)  # type: ignore[arg-type]
            text = f"{row.win}/{row.tie}/{row.loss}"
            if most == 1:
                text = "win" if row.win else "loss" if row.loss else "tie"
            ax.annotate(text, (j, i), ha="center", va="center", fontsize=size)
        colors = LinearSegmentedColormap.from_list("duel", [look.ORANGE, "#FFFFFF", look.SKY])
        ax.imshow(np.ma.masked_invalid(shades), cmap=colors, vmin=-most, vmax=most, aspect="auto")
        names = [look.label(m) for m in methods]
        turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(names)), names, **(turn if len(names) <= 8 else {"rotation": 90}))
        ax.set_yticks(range(len(names)), names)
        ax.set_facecolor("#EEEEEE")
        ax.grid(visible=False)
        words = "the row" if most == 1 else "wins/ties/losses of the row"
        ax.set_title(f"{words}\nagainst the column", loc="left")
    return look.Figure("duels", canvas, counts, _caption(table, runs))


def _caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    count = table["problem"].nunique()
    words = (
        f"Over {count} problem{'' if count == 1 else 's'}: incumbent test accuracy, seed by seed (common "
        f"seeds: {captions.seeds(table['seeds'])}), paired t-test at the 5 % level with Holm's correction "
        "over the pairs of a problem; not significant is a tie."
    )
    single = ["A single common seed is always a tie."] if table["seeds"].min() < 2 else []
    return " ".join([words, *single, captions.protocol(runs), *captions.left_out(runs)])
