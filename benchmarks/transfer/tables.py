"""How wide an answer's retrainings spread, how often they diverge, and what becomes of it elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from hpobench_fds.analysis.figures.style import bare, page_of
from hpobench_fds.analysis.looks import look_by_rule
from hpobench_fds.analysis.results.studies import markdown as table_of
from hpobench_fds.benchmarks.transfer.retrainings import HOME

HEADINGS = ["method", "test accuracy (%)", "from, to", "spread (points)", "diverged (%)"]


def markdown(table: pd.DataFrame, problem: str, draws: int, made: str) -> str:
    """The page of a problem: a table a target, the best first; ``made`` says by what."""
    lines = [f"# Answers on {problem}, trained again", "", made, ""]
    lines += [
        "Each run's last incumbent, trained from scratch on training and validation data; fresh draws of",
        f"each answer on each target: {draws}. An accuracy is the median over the seeds of the mean over all",
        "draws; from, to: the least and the greatest seed; the spread is the standard deviation over draws",
        "that did not diverge, the median over the seeds.",
    ]
    for target, own in table.groupby("target", sort=False):
        rows = [
            [
                look_by_rule(str(row.method)).label, f"{row.median:.1f}", f"{row.low:.1f} to {row.high:.1f}",
                f"{row.spread:.2f}", f"{100 * row.diverged:.0f}",
            ]
            for row in own.sort_values("median", ascending=False, kind="stable").itertuples()
        ]  # fmt: skip
        lines += ["", f"## {str(target).capitalize()}", "", table_of(HEADINGS, rows)]
    return "\n".join([*lines, "", "![Answers at home and elsewhere](transfer.png)", ""])


def draw(table: pd.DataFrame, path: Path) -> None:
    """A panel a target, a row a method, the best at home on top: medians over seeds with their ends.

    Axes begin below all but the lowest methods, which an arrow stands for.
    """
    home = table[table["target"] == HOME].sort_values("median", kind="stable")
    order = {str(name): row for row, name in enumerate(home["method"])}
    targets = list(dict.fromkeys(table["target"]))
    with page_of() as sizes:
        canvas = bare(1.9 + 1.9 * len(targets), 0.6 + 0.17 * len(order))
        panels = canvas.subplots(1, len(targets), sharey=True, squeeze=False)[0]
        for ax, target in zip(panels, targets, strict=True):
            own = table[table["target"] == target]
            at = own["method"].map(order)
            ax.hlines(at, own["low"], own["high"], color="#56B4E9", linewidth=sizes.line)
            ax.plot(own["median"], at, "o", color="#0072B2", markersize=sizes.marker)
            floor = max(0.0, float(np.quantile(own["median"], 0.2)) - 5.0)
            room = 0.05 * (own["high"].max() - floor)
            below = at[own["median"] < floor]
            ax.plot(
                [floor + room / 2] * len(below), below, "<", color="#0072B2", markersize=sizes.marker * 0.8
            )
            ax.set(title=target, xlabel="test accuracy (%)", xlim=(floor, own["high"].max() + room))
        panels[0].set_yticks(list(order.values()), [look_by_rule(name).label for name in order])
        canvas.savefig(path, dpi=200)
