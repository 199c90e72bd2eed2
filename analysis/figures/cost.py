"""What each method spent until it stopped: a row of panels a problem, one a quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..looks import Looks
from ..stats.costs import spent
from ..stats.frames import NoAnswer
from . import captions, matrix
from .dots import name_rows, stripes
from .saving import Figure
from .style import Page, page_of, panels, plain_log, short


@dataclass(frozen=True)
class Quantity:
    """One thing that is spent, and how an axis names it."""

    title: str
    unit: str
    scale: float = 1.0  # a recorded value times this has the unit


QUANTITIES = {
    "seconds": Quantity("clock", "s"),
    "inner_steps": Quantity("inner steps", "steps"),
    "gradient_equivalents": Quantity("gradients", "equivalents"),
    "products": Quantity("products", "number"),
    "equivalents_per_second": Quantity("pace", "equivalents / s"),
    "training_share": Quantity("training", "% of clock", 100.0),
    "memory_bytes": Quantity("memory", "MB", 1e-6),
}


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """A row of panels a problem, one a quantity; a row a method: median and range over its seeds."""
    table, looks = spent(reports, runs), Looks.of(runs)
    if table.empty:
        raise NoAnswer("no run has come to an end, so nothing is known of its cost")
    some = table.groupby("quantity")["median"].max() > 0
    names = [name for name in QUANTITIES if some.get(name, False)]
    if not names:
        raise NoAnswer("no cost was recorded")
    problems = list(dict.fromkeys(table["problem"]))
    if matrix.is_crowded(len(problems), table.drop_duplicates(["problem", "method"]).shape[0]):
        one = QUANTITIES[names[0]]
        own = table[table["quantity"] == names[0]].rename(columns={"median": "value"})
        own = own.assign(value=one.scale * own["value"].where(own["value"] > 0))
        label = f"{one.title} over that of the cheapest (times); numbers: {one.title} ({one.unit})"
        canvas = matrix.draw(matrix.of_ratios(own, label), looks, style)
        return Figure("cost", canvas, table, f"{_TABLE} {_caption(table, runs)}")
    order = [m for members in looks.kinds(dict.fromkeys(table["method"])).values() for m in members]
    here = {
        p: [m for m in order if ((table["problem"] == p) & (table["method"] == m)).any()] for p in problems
    }
    with page_of(style) as page:
        lines = -(-len(names) // ACROSS)
        bars = [len(here[p]) + 0.8 for p in problems for _ in range(lines)]
        height = page.panel * (0.068 * sum(bars) + 0.34 * len(bars) + 0.09 * len(problems) + 0.05)
        columns = min(len(names), ACROSS)
        canvas, axes = panels(len(bars), columns, page.width, height, height_ratios=bars, sharey="row")
        for i, row in enumerate(axes):
            problem, part = problems[i // lines], names[(i % lines) * ACROSS : (i % lines + 1) * ACROSS]
            for ax, name in zip(row, part, strict=False):
                own = table[(table["problem"] == problem) & (table["quantity"] == name)]
                _panel(ax, own.set_index("method"), here[problem], looks, QUANTITIES[name], page)
                ax.set_xlabel(f"({QUANTITIES[name].unit})")
                ax.set_title(QUANTITIES[name].title, loc="left")
            if i % lines == 0:  # a text of its own: in the first title it would reach over the next one
                row[0].annotate(
                    problem, (0, 1), (0, 2.1 * page.font), "axes fraction", textcoords="offset points"
                )
            for ax in row[len(part) :]:
                ax.set_axis_off()
    return Figure("cost", canvas, table, _caption(table, runs))


_TABLE = "To two digits; ranges over seeds and the other quantities are in the table beside the figure."
ACROSS = 4
"""Panels beside each other, so that texts keep their size on a page."""


def _panel(
    ax: Axes, own: pd.DataFrame, methods: list[str], looks: Looks, quantity: Quantity, page: Page
) -> None:
    """One quantity on one problem, the first method on top."""
    stripes(ax, len(methods))
    values = quantity.scale * own[["low", "high"]].to_numpy(np.float64)
    positive = values[values > 0]
    wide = len(positive) > 0 and float(positive.max()) > 30 * float(positive.min())
    for y, method in enumerate(methods):
        if method not in own.index:
            continue
        kind = looks[method]
        middle, low, high = (quantity.scale * float(own.loc[method, c]) for c in ("median", "low", "high"))  # type: ignore[arg-type]
        if wide and high <= 0:
            # Nothing was spent: there is no place for it on a logarithmic axis.
            ax.annotate("0", (0.0, y), xytext=(3, 0), xycoords=ax.get_yaxis_transform(), va="center",
                        textcoords="offset points", fontsize=page.small, color=kind.color)  # fmt: skip
            continue
        ax.plot([max(low, 1e-12), high], [y, y], color=kind.color, linewidth=page.line)
        ax.plot(middle, y, marker="o", color=kind.color, linestyle="", clip_on=wide, gid=f"spent:{method}")
    name_rows(ax, [looks.label(m) for m in methods])
    if wide:
        ax.set_xscale("log")
        ax.set_xlim(float(positive.min()) / 1.6, float(positive.max()) * 1.6)
        plain_log(ax.xaxis, 3)
    else:
        ax.set_xlim(0, float(values.max()) * 1.15 or 1.0)
        ax.xaxis.set_major_locator(MaxNLocator(2))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))


def _caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    words = [
        f"What each method spent until it stopped: median over {captions.seeds(table['seeds'])}, line: their "
        "range. Gradients: one forward and backward pass counts 1, a Hessian-vector product and a validation "
        "by their share of FLOPs."
    ]
    there = set(table["quantity"])
    if "training_share" in there:
        words.append(
            "Training, of methods without hypergradients: inner steps at the pace of the leanest such run, "
            "over the clock; the rest went into validation and thinking."
        )
    if "memory_bytes" in there:
        words.append("Memory: peak of the device where recorded, else what the hypergradient held.")
    return " ".join([*words, *captions.protocol_and_rest(runs)])
