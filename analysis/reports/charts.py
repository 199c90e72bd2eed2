"""The page's charts: plotly figures, with values under the pointer and menus that choose what is seen."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup, escape

from ..figures import captions
from ..figures.captions import speedup_text
from ..looks import Look, Looks
from ..stats.bands import bands, largest_shown
from ..stats.curves import AXES, METRICS
from ..stats.frames import NoAnswer, seed_counts, settled
from ..stats.speedup import speedup_table

_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}


@dataclass(frozen=True)
class Chart:
    """A plotly figure as JSON, and menus that choose which of its traces are seen.

    A trace is seen if its ``meta`` is the list of what is chosen, or if it has none. ``axes`` says of each
    choice in the menus what is then changed in the layout.
    """

    figure: Markup
    caption: str
    menus: tuple[tuple[str, tuple[str, ...]], ...] = ()
    axes: Markup = field(default_factory=lambda: _json({}))


def _measured(looks: Looks) -> dict[str, str]:
    """What can be chosen to be drawn upwards, by column."""
    return {"test_metric": f"test {looks.shown().name}", "val_loss": "validation loss"}


_AGAINST = {"seconds": "wall-clock", "inner_steps": "inner steps", "gradient_equivalents": "gradients"}


def anytime_chart(reports: pd.DataFrame, runs: pd.DataFrame) -> Chart:
    """Medians as steps; menus choose the problem, what is measured, and against what.

    Raises NoAnswer where no method has a median.
    """
    looks, figure = Looks.of(runs), go.Figure()
    losses: pd.DataFrame | None = None
    measured = _measured(looks)
    for metric, quantity in measured.items():
        for against, axis in _AGAINST.items():
            data = bands(reports, runs, metric, against).dropna(subset=["median"])
            if metric == "val_loss" and len(data):
                losses = data
            for (problem, method), part in data[data["at"] > 0].groupby(["problem", "method"], sort=False):
                own = looks.shown(problem)
                scale, unit = (own.factor, own.unit) if metric == "test_metric" else (1.0, "")
                _anytime_trace(figure, part, looks[str(method)], [str(problem), quantity, axis], scale, unit)
    if not figure.data:
        raise NoAnswer("no method has a median")
    figure.update_layout(_layout(AXES["seconds"], f"test {looks.shown().axis}"), xaxis_type="log")
    caption = (
        f"Median over {captions.seeds(seed_counts(runs))} of the incumbent, the best so far by validation. "
        f"Under the pointer also {captions.interval(seed_counts(runs))} A click on a name hides its line. "
        f"{captions.curve(reports)} {captions.protocol(runs)}"
    )
    menus = (
        ("Problem", tuple(dict.fromkeys(settled(runs)["problem"]))), ("Measured", tuple(measured.values())),
        ("Against", tuple(_AGAINST.values())),
    )  # fmt: skip
    return Chart(_json(figure.to_plotly_json()), caption, menus, _json(_anytime_axes(losses, looks)))


def _anytime_axes(losses: pd.DataFrame | None, looks: Looks) -> dict[str, dict[str, Any]]:
    """What each choice in the menus changes in the layout."""
    shown, (test, loss) = looks.shown(), _measured(looks).values()
    axes: dict[str, dict[str, Any]] = {
        test: {"yaxis.title.text": f"test {shown.axis}", "yaxis.type": "linear"},
        loss: {"yaxis.title.text": METRICS["val_loss"].label + shown.loss_unit, "yaxis.type": "log"},
    }
    if losses is not None:
        axes[test] |= {"yaxis.autorange": True}
        axes[loss] |= {"yaxis.autorange": False, "yaxis.range": _loss_range(losses)}
    return axes | {name: {"xaxis.title.text": AXES[against]} for against, name in _AGAINST.items()}


def _loss_range(data: pd.DataFrame) -> list[float]:
    """Ends of the axis of losses, as decades, which no schedule that nearly diverged may stretch."""
    high = max(largest_shown(own, "val_loss") for _, own in data.groupby("problem"))
    positive = data.loc[data["median"] > 0, "median"]
    low = float(positive.min()) if len(positive) else high / 10
    return [math.log10(low / 1.2), math.log10(max(min(high, float(data["median"].max())), low * 2) * 1.1)]


def _anytime_trace(
    figure: go.Figure, part: pd.DataFrame, kind: Look, meta: list[str], scale: float, unit: str
) -> None:
    """One line: the points at which it moves, and its end."""
    moves = (part["median"] != part["median"].shift()).to_numpy(copy=True)
    moves[-1] = True
    part = part[moves]
    rows = [[_short(scale * v) for v in row] for row in part[["median", "low", "high"]].to_numpy()]
    told = [
        f"{y:.4g}{unit}" if low is None or high is None else f"{y:.4g}{unit} ({low:.4g} to {high:.4g})"
        for y, low, high in rows
    ]  # fmt: skip
    figure.add_scatter(
        x=[_short(x) for x in part["at"]], y=[row[0] for row in rows], text=told, meta=meta,
        name=str(escape(kind.label)), mode="lines", hovertemplate="%{text} at %{x:.4g}",
        line={"color": kind.color, "dash": _DASHES[kind.dash], "shape": "hv", "width": 2},
    )  # fmt: skip


def _short(value: float) -> float | None:
    """Five digits; None for what JSON cannot hold."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def speedup_chart(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> Chart:
    """Speedups with intervals, the slowest on top; of a method that never got there a bound, an arrow.

    Raises NoAnswer where there is no speedup.
    """
    data = speedup_table(reports, runs, reference)
    data = data.dropna(subset=["speedup"]).sort_values("speedup", kind="stable")
    if data.empty:
        raise NoAnswer("there is no speedup to be drawn")
    looks, figure = Looks.of(runs), go.Figure()
    for row in data.to_dict("records"):
        _speedup_trace(figure, row, looks[str(row["method"])])
    whose = looks.label(reference)
    layout = _layout(f"times longer than {escape(whose)} needs to the problem's target", "")
    most = int(data.groupby("problem").size().max())
    figure.update_layout(layout, xaxis_type="log", height=150 + 24 * most)
    line = {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1}
    figure.update_layout(shapes=[line | {"line": {"dash": "dot", "color": "#888888"}}])
    targets = data.drop_duplicates("problem")
    goals = ", ".join(
        f"{looks.shown(p).text(t)} on {p}" for t, p in zip(targets["target"], targets["problem"], strict=True)
    )
    caption = (
        f"Time of each method over that of {whose} to the problem's target ({goals}, test "
        f"{looks.shown().name}), median of the seeds' ratios, {captions.seeds(data['n_seeds'])}; right of 1, "
        f"{whose} is faster. "
        f"Bars: {captions.ratios(data)} Triangles: not reached within the budget in the median run, so a "
        f"bound. {captions.curve(reports)} {captions.protocol(runs)}"
    )
    problems = tuple(p for p in dict.fromkeys(settled(runs)["problem"]) if (data["problem"] == p).any())
    return Chart(_json(figure.to_plotly_json()), caption, (("Problem", problems),))


def _speedup_trace(figure: go.Figure, row: Mapping[Any, Any], kind: Look) -> None:
    """One method on one problem."""
    bound = str(row["bound"])
    low, high, interval = captions.ends(row)
    ends = "no interval: a single seed" if math.isnan(low) else (
        f"{'95 % interval' if interval else 'its seeds'} {speedup_text(low)} to "
        f"{speedup_text(high) if math.isfinite(high) else 'no end'}"
    )  # fmt: skip
    told = f"{escape(kind.label)}: {escape(speedup_text(row['speedup'], bound))} ({ends})"
    told += f"<br>{row['n_reached']} of {row['n_seeds']} seeds got there<extra></extra>"
    shape = {">": "triangle-right", "<": "triangle-left"}.get(bound, "circle")
    figure.add_scatter(
        x=[_short(row["speedup"])], y=[str(escape(kind.label))], mode="markers", showlegend=False,
        marker={"color": kind.color, "size": 12, "symbol": shape}, hovertemplate=told,
        meta=[str(row["problem"])], error_x=None if bound else _bars(row),
    )  # fmt: skip


def _bars(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    low, high, _ = captions.ends(row)
    if math.isnan(low):
        return None
    above = _short(high - row["speedup"]) if math.isfinite(high) else 0.0
    below = _short(row["speedup"] - low)
    return {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below]}


def _layout(x: str, y: str) -> dict[str, Any]:
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "automargin": True}
    return {
        "template": "none", "xaxis": {"title": {"text": x}, **grid}, "yaxis": {"title": {"text": y}, **grid},
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
        "font": {"family": "system-ui, sans-serif", "size": 13}, "height": 520,
        "margin": {"l": 60, "r": 10, "t": 20, "b": 50},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
    }  # fmt: skip


def _json(data: Any) -> Markup:
    """Data for a script element, which no text in it can end."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, sort_keys=True)
    return Markup(text.replace("<", "\\u003c"))
