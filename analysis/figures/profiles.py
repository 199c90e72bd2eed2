"""Performance profile: how often a method is within a factor of the fastest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import BLACK, REST, Looks
from ..stats.frames import NoAnswer, flag, seed_counts
from ..stats.profiles import WIDEST, profile, scores, times
from ..stats.way import chosen
from . import captions
from .ends import End, label_ends, panels_with_names
from .saving import Figure
from .style import Page, in_grey, page_of
from .way import UNITS


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    against: str = "seconds",
    style: str = "paper",
    name: str = "profile",
) -> Figure:
    """Share of instances solved against the factor over the fastest method, logarithmic."""
    table, looks = times(reports, runs, against), Looks.of(runs)
    if table["method"].nunique() < 2 or not np.isfinite(table["seconds"]).any():
        raise NoAnswer("a profile needs two methods, and one run that reaches a target of its problem")
    data = profile(table)
    last = data.groupby("method", sort=False)["share"].last().sort_values(ascending=False, kind="stable")
    right = float(data["factor"].max()) * 1.15
    methods = [str(m) for m in last.index]
    ranked = scores(table)
    coloured = [m for m in chosen(reports, runs, looks.kind_of) if m in methods]
    floor = [m for m in _floor(ranked, runs) if m not in coloured]
    coloured += floor
    ends = [
        End(float(last[m]), looks.label(m), _color(m, coloured, floor, looks), m in coloured)
        for m in [*coloured, *(m for m in methods if m not in coloured)]
    ]
    with page_of(style) as page:
        canvas, axes = panels_with_names(1, 1, page, page.panel * 1.4, [end.text for end in ends])
        ax = axes[0][0]
        _panel(ax, data, methods, coloured, looks, right, page)
        for line in ax.lines:
            if line.get_gid() in floor:
                line.set_color(BLACK)
        ax.set_title("How often each method is among the soonest, within a factor", loc="left")
        ax.set_xlabel(f"{UNITS[against]} over those of the fastest method (times)")
        ax.set_ylabel("targets reached by then (%)")
        unnamed = label_ends(canvas, ax, ends, page)
    caption = (
        f"Share of the {data['instances'].iloc[0]} instances (problem, target and seed; "
        f"{captions.seeds(seed_counts(runs))} a method and problem), problems weighing the same, on which a "
        f"method reached the target within a factor of the fastest method's {UNITS[against]}. Runs that "
        f"never got there, and failed ones, stay in the count. {_scores(ranked, looks)} "
        f"{captions.curve(reports)}"
    )
    if floor:
        caption += f" Black: {looks.label(floor[0])}, the best of those that search nothing."
    if unnamed:
        caption += f" Grey, without room for a name: {', '.join(unnamed)}."
    words = [caption, *captions.protocol_and_rest(runs)]
    return Figure(name, canvas, data, " ".join(words))


def _color(method: str, coloured: list[str], floor: list[str], looks: Looks) -> str:
    return BLACK if method in floor else looks[method].color if method in coloured else REST


def _floor(ranked: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Of the methods that search nothing the one with the highest score, if there are any."""
    fixed = set(runs.loc[~flag(runs, "searches"), "method"])
    return [str(m) for m in ranked["method"] if m in fixed][:1]


def _scores(ranked: pd.DataFrame, looks: Looks) -> str:
    """The areas under the curves, as a sentence."""
    texts = []
    for row in ranked.to_dict("records"):
        interval = np.isfinite(row["low"])
        low, high = (row["low"], row["high"]) if interval else (row["least"], row["most"])
        texts.append(f"{looks.label(row['method'])} {row['score']:.2f} ({low:.2f} to {high:.2f})")
    kind = "95 % interval" if interval else "min to max of the seeds"
    return (
        f"Area under a seed's own curve up to {WIDEST:g}x, logarithmic, median over seeds ({kind}): "
        f"{', '.join(texts)}."
    )


def _panel(
    ax: Axes,
    data: pd.DataFrame,
    methods: list[str],
    shown: list[str],
    looks: Looks,
    right: float,
    page: Page,
) -> None:
    """Steps of the methods in colour, the first on top, over those of the others in grey."""
    curves = {}
    for method in methods:
        own = data[data["method"] == method]
        curves[method] = [*own["factor"], right], [*own["share"], own["share"].iloc[-1]]
    in_grey(ax, [curve for method, curve in curves.items() if method not in shown], page)
    for method in reversed(shown):
        ax.plot(*curves[method], drawstyle="steps-post", gid=method, **looks[method].line())
    ax.set_xscale("log")
    ax.set_xlim(1, max(right, 1.1))
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}"))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right < 300 else (1,), numticks=9))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.xaxis.set_minor_formatter(NullFormatter())
