"""Time and memory of a hypergradient by each mode, as the engine's benchmarks recorded them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import BLUE, PURPLE, VERMILION, Look, look_by_rule
from ..stats.engine_tables import load_engine
from ..stats.frames import Floats, numbers
from .layout import handle, legend_below
from .saving import Figure
from .style import page_of, panels, plain_log, short

MODES = {
    "forward": Look("forward (FDS)", VERMILION, "o", "-"),
    "reverse, checkpointed": Look("reverse, checkpointed", PURPLE, "D", "--"),
    "reverse, full": Look("reverse, full", BLUE, "s", "-."),
}


def draw(path: str | Path, style: str = "paper") -> list[Figure]:
    """Memory and time of a hypergradient by each mode: against the horizon, and against their number.

    Parameters
    ----------
    path : ``tables.json`` of the engine's benchmarks, or its folder.
    style : paper or slides.

    Returns
    -------
    The figures ``engine_horizon`` and ``engine_hyperparameters``, as far as their tables are there.
    """
    tables, where = load_engine(path)
    return [_figure(table, against, where, style) for against, table in tables.items() if len(table)]


def _figure(table: pd.DataFrame, against: str, where: str, style: str) -> Figure:
    models, modes = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["mode"]))
    table = table.assign(megabytes=numbers(table["bytes"]) / 1e6)
    with page_of(style) as page:
        canvas, axes = panels(len(models), 2, page.width, page.panel * len(models))
        for row, model in zip(axes, models, strict=True):
            own = table[table["model"] == model]
            for ax, measure in zip(row, ("megabytes", "trainings"), strict=True):
                for mode in modes:
                    _line(ax, own[own["mode"] == mode], against, measure, mode)
                _axes(ax, numbers(own[measure]), measure)
            row[0].set_title(_title(own, against), loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("horizon (inner steps)" if against == "horizon" else "hyperparameters (number)")
        legend_below(canvas, [handle(_look(mode), page) for mode in modes], columns=3)
    return Figure(f"engine_{against}", canvas, table, _caption(table, against, where))


def _look(mode: str) -> Look:
    return MODES.get(mode, look_by_rule(mode))


def _line(ax: Axes, own: pd.DataFrame, against: str, measure: str, mode: str) -> None:
    """One mode; bars from the lowest to the highest of the timed rounds."""
    own = own.sort_values(against)
    x, y, kind = numbers(own[against]), numbers(own[measure]), _look(mode)
    if measure == "trainings" and {"trainings_low", "trainings_high"} <= set(own.columns):
        low, high = numbers(own["trainings_low"]), numbers(own["trainings_high"])
        ax.vlines(x, low, high, color=kind.color, alpha=0.6)
    ax.plot(x, y, marker=kind.marker, gid=f"{measure}:{mode}", **kind.line())


def _axes(ax: Axes, values: Floats, measure: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylabel("memory held (MB)" if measure == "megabytes" else "time (plain trainings)")
    plain_log(ax.xaxis, 6)
    if ax.get_xlim()[1] < 100 * ax.get_xlim()[0]:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    low, high = float(values.min()), float(values.max())
    if measure == "trainings":
        ax.set_ylim(min(1.0, low / 1.3), high * 1.8)
        ax.axhline(1.0, color="black", linewidth=0.6, zorder=1.5)
    narrow = ax.get_ylim()[1] / ax.get_ylim()[0] < 300
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y)))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _title(own: pd.DataFrame, against: str) -> str:
    other = "hyperparameters" if against == "horizon" else "horizon"
    amounts: Sequence[Any] = sorted(set(own[other]))
    text = f"{amounts[0]}" if len(amounts) == 1 else f"{amounts[0]} to {amounts[-1]}"
    model = own["model"].iloc[0]
    return f"{model}, {text} hyperparameters" if against == "horizon" else f"{model}, horizon {text}"


def _caption(table: pd.DataFrame, against: str, where: str) -> str:
    varied = "the horizon" if against == "horizon" else "the number of hyperparameters"
    words = (
        f"One hypergradient by each mode, against {varied}: what it holds beside the training itself, and "
        "its time over that of a plain training of the same schedule, timed in turns in one process"
    )
    ranged = {"trainings_low", "trainings_high"} <= set(table.columns) and (
        numbers(table["trainings_low"]) < numbers(table["trainings_high"])
    ).any()
    return f"{words}{' (bars: lowest to highest round)' if ranged else ''}. Measured with {where}."
