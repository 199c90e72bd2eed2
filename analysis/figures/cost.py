"""What each method spent until it stopped: a row of panels a problem, one a quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..looks import Looks
from ..stats.costs import spent
from ..stats.frames import NoAnswer
from . import captions
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
    "products": Quantity("products", "Hessian-vector"),
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
    order = [m for members in looks.kinds(dict.fromkeys(table["method"])).values() for m in members]
    here = {
        p: [m for m in order if ((table["problem"] == p) & (table["method"] == m)).any()] for p in problems
    }
    with page_of(style) as page:
        bars = [len(methods) + 0.8 for methods in here.values()]
        height = page.panel * (0.075 * sum(bars) + 0.25 * len(problems) + 0.1)
        canvas, axes = panels(
            len(problems), len(names), page.width * 1.35, height, height_ratios=bars, sharey="row"
        )
        for row, problem in zip(axes, problems, strict=True):
            for ax, name in zip(row, names, strict=True):
                own = table[(table["problem"] == problem) & (table["quantity"] == name)]
                _panel(ax, own.set_index("method"), here[problem], looks, QUANTITIES[name], page)
                if problem == problems[-1]:
                    ax.set_xlabel(QUANTITIES[name].unit)
            for ax, name in zip(row, names, strict=True):
                head = QUANTITIES[name].title
                ax.set_title(f"{problem}\n{head}" if ax is row[0] else head, loc="left")
    return Figure("cost", canvas, table, _caption(table, runs))


def _panel(
    ax: Axes, own: pd.DataFrame, methods: list[str], looks: Looks, quantity: Quantity, page: Page
) -> None:
    """One quantity on one problem, the first method on top."""
    # Stripes, to read across the panels.
    stripes = [[(0, y - 0.5), (1, y - 0.5), (1, y + 0.5), (0, y + 0.5)] for y in range(0, len(methods), 2)]
    across = ax.get_yaxis_transform()
    ax.add_collection(
        PolyCollection(stripes, color="#F3F3F3", zorder=0, linewidth=0, transform=across), autolim=False
    )
    for y, method in enumerate(methods):
        if method not in own.index:
            continue
        kind = looks[method]
        middle, low, high = (quantity.scale * float(own.loc[method, c]) for c in ("median", "low", "high"))  # type: ignore[arg-type]
        ax.plot([low, high], [y, y], color=kind.color, linewidth=page.line)
        ax.plot(middle, y, marker=kind.marker, color=kind.color, linestyle="", gid=f"spent:{method}")
    ax.set_yticks(range(len(methods)), [looks.label(m) for m in methods])
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    values = quantity.scale * own[["low", "high"]].to_numpy(np.float64)
    positive = values[values > 0]
    if len(positive) and positive.max() > 30 * positive.min():
        ax.set_xscale("log")
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
