"""Wins, ties and losses of every pair of methods over the problems, as a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from ..looks import ORANGE, SKY, Looks
from ..stats.comparisons import duels, matrix
from ..stats.frames import NoAnswer
from ..stats.intervals import LEAST
from . import captions
from .saving import Figure
from .style import page_of, panels


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Matrix of wins / ties / losses of the row over the column, the method with the best balance on top."""
    table, looks = duels(reports, runs), Looks.of(runs)
    if table.empty:
        raise NoAnswer("wins and losses need two methods with a common seed on one problem")
    counts = matrix(table)
    balance = counts.assign(net=counts["win"] - counts["loss"]).groupby("method", sort=False)["net"].sum()
    methods = [str(m) for m in balance.sort_values(ascending=False, kind="stable").index]
    with page_of(style) as page:
        side = page.width * min(1.0, 0.32 + 0.12 * len(methods))
        canvas, axes = panels(1, 1, side, page.panel * (0.5 + 0.14 * len(methods)))
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
        colors = LinearSegmentedColormap.from_list("duel", [ORANGE, "#FFFFFF", SKY])
        ax.imshow(np.ma.masked_invalid(shades), cmap=colors, vmin=-most, vmax=most, aspect="auto")
        names = [looks.label(m) for m in methods]
        turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(names)), names, **(turn if len(names) <= 8 else {"rotation": 90}))
        ax.set_yticks(range(len(names)), names)
        ax.set_facecolor("#EEEEEE")
        ax.grid(visible=False)
        words = "the row" if most == 1 else "wins/ties/losses of the row"
        ax.set_title(f"{words}\nagainst the column", loc="left")
    return Figure("duels", canvas, counts, _caption(table, runs))


def _caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    count = table["problem"].nunique()
    words = (
        f"Over {count} problem{'' if count == 1 else 's'}: incumbent test accuracy, seed by seed (common "
        f"seeds: {captions.seeds(table['seeds'])}), signed-rank test at the 5 % level with Holm's "
        "correction over all pairs and problems; not significant is a tie."
    )
    single = [f"Fewer than {LEAST} common seeds are always a tie."] if table["seeds"].min() < LEAST else []
    return " ".join([words, *single, *captions.protocol_and_rest(runs)])
