"""Performance profile: how often a method is within a factor of the fastest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import Looks
from ..stats.frames import NoAnswer, seed_counts
from ..stats.profiles import WIDEST, profile, scores, times
from . import captions
from .layout import legend_of, plan
from .saving import Figure
from .style import Page, in_grey, label_outer, page_of, panels, share_scale


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Share of instances solved against the factor over the fastest method, logarithmic."""
    table, looks = times(reports, runs), Looks.of(runs)
    if table["method"].nunique() < 2 or not np.isfinite(table["seconds"]).any():
        raise NoAnswer("a profile needs two methods, and one run that reaches a target of its problem")
    data = profile(table)
    last = data.groupby("method", sort=False)["share"].last().sort_values(ascending=False, kind="stable")
    right = float(data["factor"].max()) * 1.3
    methods = [str(m) for m in last.index]
    made = plan([""], methods, looks)
    with page_of(style) as page:
        height = page.panel * (1.3 if made.kinds is None else made.tall * made.rows)
        canvas, axes = panels(made.rows, made.columns, page.width * made.wide, height)
        for ax, panel in zip((ax for row in axes for ax in row), made.panels, strict=False):
            _panel(ax, data, methods, panel.methods, looks, right, page)
            ax.set_title(panel.title if made.kinds else "", loc="left")
        x, y = "time over that of the fastest method", "share of problems, targets and seeds"
        if made.kinds:
            share_scale(axes)
        label_outer(axes, len(made.panels), x, y)
        legend_of(canvas, made, methods, looks, page)
    caption = (
        f"Share of the {data['instances'].iloc[0]} instances (problem, target and seed; "
        f"{captions.seeds(seed_counts(runs))} a method and problem) on which a method reached the target "
        "within a factor of the fastest method's time. Runs that never got there, and failed ones, stay in "
        "the count. "
        f"{_scores(table, looks)} {captions.curve(reports)}"
    )
    words = [caption, *captions.protocol_and_rest(runs)]
    return Figure("profile", canvas, data, " ".join(words))


def _scores(table: pd.DataFrame, looks: Looks) -> str:
    """The areas under the curves, as a sentence."""
    texts = []
    for row in scores(table).to_dict("records"):
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
    """Steps of the shown methods over those of the others, in grey."""
    curves = {}
    for method in methods:
        own = data[data["method"] == method]
        curves[method] = [*own["factor"], right], [*own["share"], own["share"].iloc[-1]]
    in_grey(ax, [curve for method, curve in curves.items() if method not in shown], page)
    for method in shown:
        kind = looks[method]
        ax.plot(*curves[method], drawstyle="steps-post", marker=kind.marker, markevery=(0.0, 0.25),
                gid=method, **kind.line())  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(1, right)
    ax.set_ylim(-0.04, 1.04)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right < 30 else (1,), numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.xaxis.set_minor_formatter(NullFormatter())
