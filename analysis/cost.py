"""What things cost: of each method, what it spent; of each way to a hypergradient, its time and memory.

``draw`` works on any results. ``draw_engine`` works on what the engine's benchmarks record
(``python -m hpobench_fds.benchmarks.engine``), the file ``tables.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from hpobench_fds.errors import InputError

from . import captions
from . import style as look
from .curves import CELL, Floats, numbers, settled

# ---- what methods spent -------------------------------------------------------------------------------


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
COLUMNS = ["problem", "method", "quantity", "median", "low", "high", "seeds"]


def per_run(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run: problem, method, seed, and the keys of ``QUANTITIES`` (NaN: not known).

    ``training_share`` is known of methods that use no gradients but training's: their inner steps at the
    pace of the leanest such run on the problem, over their clock. What is left of it went into validation
    and thinking. ``memory_bytes`` is the largest of the recorded peaks of the device, or, where none was
    recorded, of what the hypergradients held.
    """
    done = settled(runs)
    names = ("seconds", "inner_steps", "gradient_equivalents", "products")
    table = done[CELL].assign(**{name: numbers(done[name]) for name in names}).reset_index(drop=True)
    clock = table["seconds"].where(table["seconds"] > 0)
    table["equivalents_per_second"] = table["gradient_equivalents"] / clock
    searches = (done["family"] != "gradient").to_numpy()
    steps = table["inner_steps"].where(searches & (table["products"] == 0) & (table["inner_steps"] > 0))
    pace = (clock / steps).groupby(table["problem"]).transform("min")
    table["training_share"] = steps * pace / clock
    return table.merge(_memory(reports), how="left", on=CELL)


def _memory(reports: pd.DataFrame) -> pd.DataFrame:
    extra = reports["extra"].map(lambda e: e.get("hypergradient_bytes") if isinstance(e, dict) else None)
    peak = pd.Series(numbers(reports["peak_memory"]), index=reports.index)
    held = pd.Series(numbers(extra), index=reports.index)
    table = reports[CELL].assign(peak=peak, held=held).groupby(CELL, as_index=False).max()
    table["memory_bytes"] = table["peak"].where(table["peak"] > 0, table["held"])
    return table[[*CELL, "memory_bytes"]]


def spent(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Median over seeds and range of every quantity that is known: ``COLUMNS``, in recorded units."""
    table, rows = per_run(reports, runs), []
    for (problem, method), own in table.groupby(["problem", "method"], sort=False):
        for name in QUANTITIES:
            values = own[name].to_numpy(np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                row = (float(np.median(values)), float(values.min()), float(values.max()), len(values))
                rows.append((problem, method, name, *row))
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """A row of panels a problem, one a quantity; a row a method: median and range over its seeds."""
    table = spent(reports, runs)
    if table.empty:
        raise look.CannotDraw("no run has come to an end, so nothing is known of its cost")
    some = table.groupby("quantity")["median"].max() > 0
    names = [name for name in QUANTITIES if some.get(name, False)]
    if not names:
        raise look.CannotDraw("no cost was recorded")
    problems = list(dict.fromkeys(table["problem"]))
    order = [m for members in look.kinds(dict.fromkeys(table["method"])).values() for m in members]
    here = {
        p: [m for m in order if ((table["problem"] == p) & (table["method"] == m)).any()] for p in problems
    }
    with look.page(style) as page:
        bars = [len(methods) + 0.8 for methods in here.values()]
        height = page.panel * (0.075 * sum(bars) + 0.25 * len(problems) + 0.1)
        canvas, axes = look.panels(
            len(problems), len(names), page.width * 1.35, height, height_ratios=bars, sharey="row"
        )
        for row, problem in zip(axes, problems, strict=True):
            for ax, name in zip(row, names, strict=True):
                own = table[(table["problem"] == problem) & (table["quantity"] == name)]
                _spent_panel(ax, own.set_index("method"), here[problem], QUANTITIES[name], page)
                if problem == problems[-1]:
                    ax.set_xlabel(QUANTITIES[name].unit)
            for ax, name in zip(row, names, strict=True):
                head = QUANTITIES[name].title
                ax.set_title(f"{problem}\n{head}" if ax is row[0] else head, loc="left")
    return look.Figure("cost", canvas, table, _spent_caption(table, runs))


def _spent_panel(
    ax: Axes, own: pd.DataFrame, methods: list[str], quantity: Quantity, page: look.Page
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
        kind = look.look(method)
        middle, low, high = (quantity.scale * float(own.loc[method, c]) for c in ("median", "low", "high"))  # type: ignore[arg-type]
        ax.plot([low, high], [y, y], color=kind.color, linewidth=page.line)
        ax.plot(middle, y, marker=kind.marker, color=kind.color, linestyle="", gid=f"spent:{method}")
    ax.set_yticks(range(len(methods)), [look.label(m) for m in methods])
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    values = quantity.scale * own[["low", "high"]].to_numpy(np.float64)
    positive = values[values > 0]
    if len(positive) and positive.max() > 30 * positive.min():
        ax.set_xscale("log")
        _plain_log(ax.xaxis, 3)
    else:
        ax.set_xlim(0, float(values.max()) * 1.15 or 1.0)
        ax.xaxis.set_major_locator(MaxNLocator(2))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))


def _plain_log(axis: Any, ticks: int) -> None:
    axis.set_major_locator(LogLocator(numticks=ticks))
    axis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))
    axis.set_minor_formatter(NullFormatter())


def _short(x: float) -> str:
    """``20k``, ``1.5M``: the numbers of a narrow axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:g}{letter}"
    return f"{x:g}"


def _spent_caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
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
    return " ".join([*words, captions.protocol(runs), *captions.left_out(runs)])


# ---- what hypergradients cost -------------------------------------------------------------------------

MODES = {
    "forward": look.Look("forward (FDS)", look.VERMILION, "o", "-"),
    "reverse, checkpointed": look.Look("reverse, checkpointed", look.PURPLE, "D", "--"),
    "reverse, full": look.Look("reverse, full", look.BLUE, "s", "-."),
}
TABLES = {"horizon": "Memory against horizon", "hyperparameters": "Cost against hyperparameters"}
_NEEDED = ("model", "horizon", "hyperparameters", "mode", "trainings", "bytes", "ending")


def engine_file(folder: str | Path) -> Path | None:
    """The engine's tables in a folder that holds them and no results of a suite."""
    folder = Path(folder)
    found = folder / "tables.json"
    return found if found.is_file() and not (folder / "suite.json").exists() else None


def load_engine(path: str | Path) -> tuple[dict[str, pd.DataFrame], str]:
    """The two tables of hypergradients' cost, by what they are drawn against, and where they were measured.

    Raises InputError for a file that is none.
    """
    path = Path(path)
    path = path / "tables.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_bytes())
        tables = {
            against: pd.DataFrame(content["tables"].get(title, [])) for against, title in TABLES.items()
        }
        where = str(content["where"])
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"no tables of the engine's benchmarks: {type(error).__name__}: {error}"
        raise InputError(problem, where=path) from error
    for against, table in tables.items():
        missing = set(_NEEDED) - set(table.columns)
        if len(table) and missing:
            problem = f"the table lacks {', '.join(sorted(missing))}"
            raise InputError(problem, where=path, key=TABLES[against])
    return {a: t[t["ending"] == "ok"] for a, t in tables.items() if len(t)}, where


def draw_engine(path: str | Path, style: str = "paper") -> list[look.Figure]:
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
    return [_engine_figure(table, against, where, style) for against, table in tables.items() if len(table)]


def _engine_figure(table: pd.DataFrame, against: str, where: str, style: str) -> look.Figure:
    models, modes = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["mode"]))
    table = table.assign(megabytes=numbers(table["bytes"]) / 1e6)
    with look.page(style) as page:
        canvas, axes = look.panels(len(models), 2, page.width, page.panel * len(models))
        for row, model in zip(axes, models, strict=True):
            own = table[table["model"] == model]
            for ax, measure in zip(row, ("megabytes", "trainings"), strict=True):
                for mode in modes:
                    _engine_line(ax, own[own["mode"] == mode], against, measure, mode)
                _engine_axes(ax, numbers(own[measure]), measure)
            row[0].set_title(_engine_title(own, against), loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("horizon (inner steps)" if against == "horizon" else "hyperparameters (number)")
        handles = [_handle(mode, page) for mode in modes]
        look.legend_below(canvas, handles, columns=3)
    return look.Figure(f"engine_{against}", canvas, table, _engine_caption(table, against, where))


def _look(mode: str) -> look.Look:
    return MODES.get(mode, look.look(mode))


def _handle(mode: str, page: look.Page) -> Any:
    kind = _look(mode)
    return Line2D([], [], label=kind.label, marker=kind.marker, linewidth=page.line, **kind.line())


def _engine_line(ax: Axes, own: pd.DataFrame, against: str, measure: str, mode: str) -> None:
    """One mode; bars from the lowest to the highest of the timed rounds."""
    own = own.sort_values(against)
    x, y, kind = numbers(own[against]), numbers(own[measure]), _look(mode)
    if measure == "trainings" and {"trainings_low", "trainings_high"} <= set(own.columns):
        low, high = numbers(own["trainings_low"]), numbers(own["trainings_high"])
        ax.vlines(x, low, high, color=kind.color, alpha=0.6)
    ax.plot(x, y, marker=kind.marker, gid=f"{measure}:{mode}", **kind.line())


def _engine_axes(ax: Axes, values: Floats, measure: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylabel("memory held (MB)" if measure == "megabytes" else "time (plain trainings)")
    _plain_log(ax.xaxis, 6)
    if ax.get_xlim()[1] < 100 * ax.get_xlim()[0]:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    low, high = float(values.min()), float(values.max())
    if measure == "trainings":
        ax.set_ylim(min(1.0, low / 1.3), high * 1.8)
        ax.axhline(1.0, color="black", linewidth=0.6, zorder=1.5)
    narrow = ax.get_ylim()[1] / ax.get_ylim()[0] < 300
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _short(y)))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _engine_title(own: pd.DataFrame, against: str) -> str:
    other = "hyperparameters" if against == "horizon" else "horizon"
    amounts: Sequence[Any] = sorted(set(own[other]))
    text = f"{amounts[0]}" if len(amounts) == 1 else f"{amounts[0]} to {amounts[-1]}"
    model = own["model"].iloc[0]
    return f"{model}, {text} hyperparameters" if against == "horizon" else f"{model}, horizon {text}"


def _engine_caption(table: pd.DataFrame, against: str, where: str) -> str:
    varied = "the horizon" if against == "horizon" else "the number of hyperparameters"
    words = (
        f"One hypergradient by each mode, against {varied}: what it holds beside the training itself, and "
        "its time over that of a plain training of the same schedule, timed in turns in one process"
    )
    ranged = {"trainings_low", "trainings_high"} <= set(table.columns) and (
        numbers(table["trainings_low"]) < numbers(table["trainings_high"])
    ).any()
    return f"{words}{' (bars: lowest to highest round)' if ranged else ''}. Measured with {where}."
