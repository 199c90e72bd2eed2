"""One self-contained HTML page of a results folder: verdict, tables, every figure, how to run it again.

Nothing on it comes from the network. It is written in one piece, and the same results make the same page
but for the date.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup, escape
from PIL import Image
from plotly.offline import get_plotlyjs

from hpobench_fds.errors import InputError
from hpobench_fds.records.folder import write_atomic

from . import anytime, captions, conclusions, curves, loading, speedup, tables
from . import style as look
from .figures import REFERENCE, draw_frames

REPORT_FILE = "report.html"
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_TITLES = {
    "anytime": "The incumbent while the clock runs",
    "speedup": "Time to the reference's final accuracy",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: an image, and for some a chart with values under the pointer in its place."""

    name: str
    title: str
    caption: str
    image: str | None = None  # a data URI; also what is seen where no script runs
    chart: Chart | None = None


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


def write(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    reference: str = REFERENCE,
    command: str | None = None,
) -> Path:
    """Write the report of a results folder; DIR/report.html if ``out`` is not given.

    Parameters
    ----------
    reference : the method that the others are compared with.
    command : what reproduces the results, if it is known better than "hpobench run" on the suite.

    Raises
    ------
    InputError : no results there, or a file that cannot be written.
    """
    folder = Path(folder)
    target = folder / REPORT_FILE if out is None else Path(out)
    page = render(folder, reference=reference, command=command)
    try:
        write_atomic(target, page.encode())
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=target) from error
    return target


def render(
    folder: Path, *, reference: str = REFERENCE, command: str | None = None, now: datetime | None = None
) -> str:
    """The page as text. Raises InputError for a folder without results."""
    loaded = loading.load(folder)
    reports, runs = loaded.reports, loaded.runs
    pictures, missing = _pictures(reports, runs, reference)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    suite = as_toml(loaded.suite)
    return environment.get_template("report.html.j2").render(
        name=loaded.suite["name"],
        date=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        facts=_facts(folder, runs),
        sentences=conclusions.verdict(reports, runs, reference),
        findings=_findings(reports, runs, reference),
        verdict=_verdict(reports, runs, reference),
        pictures=pictures,
        missing=missing,
        cells=_cells(runs),
        troubles=_troubles(runs, loaded.unreadable),
        command=command or f"hpobench run {shlex.quote(loaded.suite['name'])}.toml",
        suite=suite,
        plotly=_packed(get_plotlyjs()) if any(picture.chart for picture in pictures) else None,
    )


# ------------------------------------------------------------------------------------------- what was run


def _facts(folder: Path, runs: pd.DataFrame) -> list[tuple[str, str]]:
    """What was run and where, as (name, text)."""
    machines = [machine for machine, _ in loading.machines(folder)]

    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(machine[name] for machine in machines if name in machine))

    known = ("device", "threads", "cells at a time", "commit")
    software = (" ".join(f"{k} {v}" for k, v in m.items() if k not in known) for m in machines)
    states = runs["status"].value_counts()
    budgets = {f"{s:g} s" for s in runs["budget_seconds"].dropna()}
    budgets |= {f"{s:,.0f} inner steps" for s in runs["budget_steps"].dropna()}
    return [
        ("Problems", ", ".join(dict.fromkeys(runs["problem"]))),
        ("Methods", ", ".join(look.label(str(m)) for m in dict.fromkeys(runs["method"]))),
        ("Seeds", ", ".join(str(seed) for seed in sorted(set(runs["seed"])))),
        ("Budget of a run", ", ".join(sorted(budgets)) or "none recorded"),
        ("Runs", ", ".join(f"{count} {state}" for state, count in states.items())),
        ("Device", each("device")),
        ("Threads of a run", each("threads")),
        ("Runs side by side", each("cells at a time")),
        ("Software", "; ".join(dict.fromkeys(software))),
        ("Commit", each("commit") or "not recorded"),
    ]


def _findings(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> dict[str, list[str]]:
    """The sentences on each problem, where there are several to be summed up."""
    found = conclusions.findings(reports, runs, reference)
    problems = dict.fromkeys(finding.problem for finding in found)
    if len(problems) < 2:
        return {}
    return {p: [finding.sentence for finding in found if finding.problem == p] for p in problems}


def _cells(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a run."""
    rows = []
    for row in runs.to_dict("records"):
        final = row["final_test_accuracy"]
        rows.append({
            "problem": row["problem"], "method": look.label(str(row["method"])), "seed": row["seed"],
            "status": "skipped" if row["stopped"] == "skipped" else row["status"],
            "ended": row["stopped"] or "",
            "reports": row["reports"], "seconds": f"{row['seconds']:.1f}",
            "final": "" if pd.isna(final) else f"{100 * final:.2f}",
        })  # fmt: skip
    return rows


def _troubles(runs: pd.DataFrame, unreadable: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(run, what, why) of all that failed, was skipped, is unfinished, or cannot be read."""
    found = []
    for row in runs.to_dict("records"):
        name = f"{row['problem']}/{row['method']}/seed-{row['seed']}"
        if row["status"] != "complete":
            found.append((name, str(row["status"]), str(row["reason"] or "")))
        elif row["reason"]:
            found.append((name, str(row["stopped"]), str(row["reason"])))
    return found + [(name, "unreadable", reason) for name, reason in unreadable.items()]


def _verdict(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> dict[str, Any] | None:
    """The table of results, as headings, rows and a footnote."""
    if not len(curves.settled(runs)):
        return None
    table = tables.verdict(reports, runs, reference)
    rows = tables.cells(table)
    several = len({problem for problem, _, _ in rows}) > 1  # else its column says nothing
    return {
        "headings": [*(["Problem"] if several else []), *tables.headings(table)],
        "names": 1 + several,  # columns of words, before those of numbers
        "rows": [{"best": best, "texts": [*([p] if several else []), *texts]} for p, best, texts in rows],
        "note": tables.footnote(table),
    }


# --------------------------------------------------------------------------------------------- figures


def _pictures(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str
) -> tuple[list[Picture], dict[str, str]]:
    """Every figure that the results can fill, those with charts first; and why the others cannot."""
    charts = {}
    for name, make in {"anytime": _anytime_chart, "speedup": _speedup_chart}.items():
        try:
            charts[name] = make(reports, runs, reference)
        except (look.CannotDraw, InputError):
            continue  # drawn below, where the reason is told
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw_frames(reports, runs, Path(folder), formats=("png",), reference=reference)
        images = {path.stem: _data_uri(path) for path in drawn if path.suffix == ".png"}
    names = [*charts, *(name for name in images if name not in charts)]
    pictures = [
        Picture(
            name, _TITLES.get(name, name.replace("_", " ").capitalize()),
            drawn.captions[name], images[name], charts.get(name),
        )
        for name in names if name in images
    ]  # fmt: skip
    return pictures, drawn.skipped


def _data_uri(path: Path) -> str:
    """A PNG in 128 colours, which a figure does not exceed to the eye: a third of its size."""
    small = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "PNG")
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"


def _packed(script: str) -> str:
    """A script as the page carries it, at two fifths of its size; the browser unpacks it."""
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()


_METRICS = {"test_accuracy": "test accuracy", "val_loss": "validation loss"}
_AGAINST = {"seconds": "wall-clock", "inner_steps": "inner steps", "gradient_equivalents": "gradients"}


def _anytime_chart(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> Chart:
    """Medians as steps; menus choose the problem, what is measured, and against what."""
    figure, problems = go.Figure(), list(dict.fromkeys(curves.settled(runs)["problem"]))
    losses: pd.DataFrame | None = None
    for metric, quantity in _METRICS.items():
        percent = metric.endswith("accuracy")
        for against, axis in _AGAINST.items():
            data = anytime.bands(reports, runs, metric, against).dropna(subset=["median"])
            if metric == "val_loss" and len(data):
                losses = data
            for (problem, method), part in data[data["at"] > 0].groupby(["problem", "method"], sort=False):
                _anytime_trace(figure, part, str(method), [str(problem), quantity, axis], percent)
    if not figure.data:
        raise look.CannotDraw("no method has a median")
    figure.update_layout(_layout(curves.AXES["seconds"], "test accuracy (%)"), xaxis_type="log")
    axes: dict[str, dict[str, Any]] = {
        "test accuracy": {"yaxis.title.text": "test accuracy (%)", "yaxis.type": "linear"},
        "validation loss": {"yaxis.title.text": curves.METRICS["val_loss"].label, "yaxis.type": "log"},
    }
    if losses is not None:
        axes["test accuracy"] |= {"yaxis.autorange": True}
        axes["validation loss"] |= {"yaxis.autorange": False, "yaxis.range": _loss_range(losses)}
    axes |= {name: {"xaxis.title.text": curves.AXES[against]} for against, name in _AGAINST.items()}
    done = curves.settled(runs)
    seeds = captions.seeds(done.groupby(["problem", "method"])["seed"].nunique())
    caption = (
        f"Median over {seeds} of the incumbent, the best so far by validation. Median and 95 % bootstrap "
        f"interval under the pointer; a click on a name hides its line. {captions.protocol(runs)}"
    )
    menus = (
        ("Problem", tuple(problems)), ("Measured", tuple(_METRICS.values())),
        ("Against", tuple(_AGAINST.values())),
    )  # fmt: skip
    return Chart(_json(figure.to_plotly_json()), caption, menus, _json(axes))


def _loss_range(data: pd.DataFrame) -> list[float]:
    """Ends of the axis of losses, as decades, which no schedule that nearly diverged may stretch."""
    high = max(anytime.top(own, "val_loss") for _, own in data.groupby("problem"))
    positive = data.loc[data["median"] > 0, "median"]
    low = float(positive.min()) if len(positive) else high / 10
    return [math.log10(low / 1.2), math.log10(max(min(high, float(data["median"].max())), low * 2) * 1.1)]


def _anytime_trace(
    figure: go.Figure, part: pd.DataFrame, method: str, meta: list[str], percent: bool
) -> None:
    """One line: the points at which it moves, and its end."""
    moves = (part["median"] != part["median"].shift()).to_numpy(copy=True)
    moves[-1] = True
    part, kind, scale, unit = (
        part[moves],
        look.look(method),
        100.0 if percent else 1.0,
        " %" if percent else "",
    )
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


def _speedup_chart(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> Chart:
    """Speedups with intervals, the slowest on top; of a method that never got there a bound, an arrow."""
    data = speedup.speedup_table(reports, runs, reference)
    data = data.dropna(subset=["speedup"]).sort_values("speedup", kind="stable")
    if data.empty:
        raise look.CannotDraw("there is no speedup to be drawn")
    figure, problems = go.Figure(), list(dict.fromkeys(curves.settled(runs)["problem"]))
    problems = [problem for problem in problems if (data["problem"] == problem).any()]
    for row in data.to_dict("records"):
        kind, bound = look.look(str(row["method"])), str(row["bound"])
        ends = "no interval: a single seed" if math.isnan(row["low"]) else (
            f"95 % interval {speedup.as_text(row['low'])} to "
            f"{speedup.as_text(row['high']) if math.isfinite(row['high']) else 'no end'}"
        )  # fmt: skip
        told = f"{escape(kind.label)}: {escape(speedup.as_text(row['speedup'], bound))} ({ends})"
        told += f"<br>{row['n_reached']} of {row['n_seeds']} seeds got there<extra></extra>"
        shape = {">": "triangle-right", "<": "triangle-left"}.get(bound, "circle")
        figure.add_scatter(
            x=[_short(row["speedup"])], y=[str(escape(kind.label))], mode="markers", showlegend=False,
            marker={"color": kind.color, "size": 12, "symbol": shape}, hovertemplate=told,
            meta=[str(row["problem"])], error_x=None if bound else _bars(row),
        )  # fmt: skip
    whose = look.label(reference)
    layout = _layout(f"times longer than {escape(whose)} needs to its final test accuracy", "")
    most = int(data.groupby("problem").size().max())
    figure.update_layout(layout, xaxis_type="log", height=150 + 24 * most)
    line = {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1}
    figure.update_layout(shapes=[line | {"line": {"dash": "dot", "color": "#888888"}}])
    caption = (
        f"Median time of each method over that of {whose} to {whose}'s own final test accuracy, over "
        f"{captions.seeds([*data['n_seeds'], *data['n_seeds_reference']])}; right of 1, {whose} is faster. "
        f"Bars: {captions.interval(data['n_seeds'])} Triangles: not reached within the budget in the median "
        f"run, so a bound. {captions.protocol(runs)}"
    )
    return Chart(_json(figure.to_plotly_json()), caption, (("Problem", tuple(problems)),))


def _bars(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    if math.isnan(row["low"]):
        return None
    above = _short(row["high"] - row["speedup"]) if math.isfinite(row["high"]) else 0.0
    below = _short(row["speedup"] - row["low"])
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


# ------------------------------------------------------------------------------------------- once more


def as_toml(suite: Mapping[str, Any]) -> str:
    """A suite as recorded in ``suite.json`` as a suite file, everything written out."""
    lines = [f"name = {_value(suite['name'])}", f"seeds = {_value(suite['seeds'])}"]
    for name, problem in suite["problems"].items():
        lines += ["", f"[problems.{_key(name)}]", *_pairs(problem["config"])]
        lines.append(f"budget = {_value(problem['budget'])}")
    for label, method in suite["methods"].items():
        lines += ["", f"[methods.{_key(label)}]", f"adapter = {_value(method['adapter'])}"]
        lines += _pairs(method["options"])
    return "\n".join(lines) + "\n"


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    return key if key.replace("_", "a").replace("-", "a").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pairs(value)) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)  # a string, a number or a truth value is the same in both
