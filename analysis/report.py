"""One self-contained HTML page of a results folder: verdict, tables, every figure, how to run it again.

Nothing on it comes from the network. It is written in one piece, and the same results make the same page
but for the date.
"""

from __future__ import annotations

import base64
import json
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hpobench_fds.errors import InputError
from hpobench_fds.store import RUN_FILE, write_atomic

from . import anytime, captions, conclusions, curves, loading, speedup, tables
from . import style as look
from .figures import REFERENCE, draw_frames

REPORT_FILE = "report.html"
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_TITLES = {
    "anytime": "Test accuracy against wall-clock",
    "speedup": "Time to the reference's final accuracy",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: an image, or a chart with values under the pointer."""

    name: str
    title: str
    caption: str
    image: str | None = None  # a data URI
    chart: Markup | None = None


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
        verdict=_verdict(reports, runs, reference),
        pictures=pictures,
        missing=missing,
        cells=_cells(runs),
        troubles=_troubles(runs, loaded.unreadable),
        command=command or f"hpobench run {shlex.quote(loaded.suite['name'])}.toml",
        suite=suite,
        plotly=Markup(get_plotlyjs()) if any(picture.chart for picture in pictures) else None,
    )


# ------------------------------------------------------------------------------------------- what was run


def _facts(folder: Path, runs: pd.DataFrame) -> list[tuple[str, str]]:
    """What was run and where, as (name, text)."""
    records = [json.loads(path.read_bytes()) for path in sorted(folder.glob(f"cells/*/*/seed-*/{RUN_FILE}"))]

    def each(pick: Any) -> str:
        return ", ".join(
            dict.fromkeys(str(value) for record in records if (value := pick(record)) is not None)
        )

    states = runs["status"].value_counts()
    budgets = {f"{s:g} s" for s in runs["budget_seconds"].dropna()}
    budgets |= {f"{s:,.0f} inner steps" for s in runs["budget_steps"].dropna()}
    return [
        ("Problems", ", ".join(dict.fromkeys(runs["problem"]))),
        ("Methods", ", ".join(look.label(str(m)) for m in dict.fromkeys(runs["method"]))),
        ("Seeds", ", ".join(str(seed) for seed in sorted(set(runs["seed"])))),
        ("Budget of a run", ", ".join(sorted(budgets)) or "none recorded"),
        ("Runs", ", ".join(f"{count} {state}" for state, count in states.items())),
        ("Device", each(lambda r: r.get("device", {}).get("name"))),
        ("Threads of a run", each(lambda r: r.get("device", {}).get("threads"))),
        ("Runs side by side", each(lambda r: r.get("jobs"))),
        ("Software", each(lambda r: _software(r.get("software", {})))),
        ("Commit", each(lambda r: r.get("commit")) or "not recorded"),
    ]


def _software(versions: Mapping[str, str]) -> str:
    return " ".join(f"{name} {version}" for name, version in versions.items())


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
            _chart_caption(name, runs, reference) if name in charts else drawn.captions[name],
            None if name in charts else images[name], charts.get(name),
        )
        for name in names
    ]  # fmt: skip
    return pictures, drawn.skipped


def _chart_caption(name: str, runs: pd.DataFrame, reference: str) -> str:
    done = curves.settled(runs)
    seeds = captions.seeds(done.groupby(["problem", "method"])["seed"].nunique())
    whose = look.label(reference)
    text = {
        "anytime": "Median test accuracy of the incumbent, the best so far by validation, {}. Values and "
        "95 % bootstrap intervals under the pointer; a click on a name hides its line.",
        "speedup": f"Median time of each method over that of {whose} to {whose}'s own final test accuracy, "
        f"{{}}; right of 1, {whose} is faster. Bars: 95 % bootstrap intervals. Triangles: not reached within "
        "the budget in the median run, so a bound.",
    }[name]
    return f"{text.format(seeds)} {captions.protocol(runs)}"


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _anytime_chart(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> Markup:
    """Medians against wall-clock, with values under the pointer; a menu chooses the problem."""
    data = anytime.draw(reports, runs).data.dropna(subset=["median"])
    data = data[data["at"] > 0]
    problems = list(dict.fromkeys(data["problem"]))
    figure = go.Figure()
    for (problem, method), part in data.groupby(["problem", "method"], sort=False):
        style = look.look(str(method))
        figure.add_scatter(
            x=part["at"], y=100 * part["median"], name=style.label, visible=problem == problems[0],
            mode="lines", line={"color": style.color, "dash": _DASHES[style.dash], "shape": "hv", "width": 2},
            meta=str(problem), customdata=100 * part[["low", "high"]],
            hovertemplate="%{y:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f}) at %{x:.3g} s",
        )  # fmt: skip
    figure.update_layout(_layout("seconds of the method's own time", "test accuracy (%)"), xaxis_type="log")
    if len(problems) > 1:
        figure.update_layout(updatemenus=[_menu(figure, problems)])
    return _html(figure)


def _menu(figure: go.Figure, problems: list[str]) -> dict[str, Any]:
    buttons = [
        {"label": p, "method": "update", "args": [{"visible": [trace.meta == p for trace in figure.data]}]}
        for p in problems
    ]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.12, "yanchor": "bottom"}


def _speedup_chart(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> Markup:
    """Speedups with intervals; of a method that never got there a bound, with an arrow."""
    speedup.check_reference(runs, reference)
    data = speedup.draw(reports, runs, reference=reference).data.dropna(subset=["speedup"])
    figure = go.Figure()
    several = len(set(data["problem"])) > 1
    for row in data.to_dict("records"):
        style = look.look(str(row["method"]))
        name = style.label + (f", {row['problem']}" if several else "")
        bound = str(row["bound"]) if isinstance(row["bound"], str) else ""
        high = f"{row['high']:.3g}" if pd.notna(row["high"]) and row["high"] != float("inf") else "no end"
        shape = {">": "triangle-right", "<": "triangle-left"}.get(bound, "circle")
        told = f"{name}: {bound}{row['speedup']:.3g} times (95 % interval {row['low']:.3g} to {high})"
        told += f"<br>{row['n_reached']} of {row['n_seeds']} seeds got there<extra></extra>"
        figure.add_scatter(
            x=[row["speedup"]], y=[name], mode="markers", showlegend=False, hovertemplate=told,
            marker={"color": style.color, "size": 12, "symbol": shape},
            error_x=None if bound else _bars(row),
        )  # fmt: skip
    figure.add_vline(x=1, line_dash="dot", line_color="#888")
    label = f"times as long as {look.label(reference)} to its final test accuracy"
    height = 140 + 26 * len(data)
    figure.update_layout(_layout(label, ""), xaxis_type="log", height=height, yaxis_autorange="reversed")
    return _html(figure)


def _bars(row: Mapping[Any, Any]) -> dict[str, Any]:
    finite = pd.notna(row["high"]) and row["high"] != float("inf")
    above = row["high"] - row["speedup"] if finite else 0.0
    return {"type": "data", "symmetric": False, "array": [above], "arrayminus": [row["speedup"] - row["low"]]}


def _layout(x: str, y: str) -> dict[str, Any]:
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False}
    return {
        "xaxis": {"title": x, **grid}, "yaxis": {"title": y, "automargin": True, **grid},
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#777"}, "height": 440,
        "margin": {"l": 50, "r": 10, "t": 30, "b": 40},
        "legend": {"orientation": "h", "y": -0.28, "yanchor": "top"},
    }  # fmt: skip


def _html(figure: go.Figure) -> Markup:
    config = {"responsive": True, "displayModeBar": False}
    name = f"chart-{len(figure.data)}-{figure.layout.height}"
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=name))


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
