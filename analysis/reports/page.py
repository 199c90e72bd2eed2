"""One self-contained HTML page of a results folder: verdict, tables, every figure, how to run it again.

Nothing on it comes from the network. It is written in one piece, and the same results make the same page
but for the date.
"""

from __future__ import annotations

import base64
import gzip
import io
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image
from plotly.offline import get_plotlyjs

from hpobench_fds.errors import InputError
from hpobench_fds.records.safe_files import write_atomic, writing

from .. import loading
from ..figures.catalogue import REFERENCE, draw_frames
from ..looks import Looks
from ..stats.floor import floor_table as floors_of
from ..stats.frames import NoAnswer, settled
from ..stats.verdict_table import verdict_table
from . import floor_table, sentences, tables
from .charts import Chart, anytime_chart, speedup_chart
from .suite_toml import as_toml

REPORT_FILE = "report.html"
NO_ROOM = "choose another folder for temporary files with TMPDIR"
_TITLES = {
    "anytime": "The incumbent while the clock runs",
    "speedup": "Time to the problem's target, over the reference's",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: an image, and for some a chart with values under the pointer in its place."""

    name: str
    title: str
    caption: str
    image: str | None = None  # a data URI; also what is seen where no script runs
    chart: Chart | None = None


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
    with writing(target, "choose another file with --out"):
        write_atomic(target, page.encode())
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
        sentences=sentences.verdict(reports, runs, reference),
        findings=_findings(reports, runs, reference),
        verdict=_verdict(reports, runs, reference, loaded.retrained),
        floor=_floor(reports, runs),
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
    machines, looks = [machine for machine, _ in loading.machines(folder)], Looks.of(runs)

    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(machine[name] for machine in machines if name in machine))

    known = ("device", "threads", "cells at a time", "commit")
    software = (" ".join(f"{k} {v}" for k, v in m.items() if k not in known) for m in machines)
    states = runs["status"].value_counts()
    budgets = {f"{s:g} s" for s in runs["budget_seconds"].dropna()}
    budgets |= {f"{s:,.0f} inner steps" for s in runs["budget_steps"].dropna()}
    return [
        ("Problems", ", ".join(dict.fromkeys(runs["problem"]))),
        ("Methods", ", ".join(looks.label(m) for m in dict.fromkeys(runs["method"]))),
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
    told = sentences.by_problem(reports, runs, reference)
    return told if len(told) > 1 else {}


def _cells(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a run."""
    rows, looks = [], Looks.of(runs)
    for row in runs.to_dict("records"):
        final = row["final_test_metric"]
        rows.append({
            "problem": row["problem"], "method": looks.label(row["method"]), "seed": row["seed"],
            "status": "skipped" if row["stopped"] == "skipped" else row["status"],
            "ended": row["stopped"] or "",
            "reports": row["reports"], "seconds": f"{row['seconds']:.1f}",
            "final": "" if pd.isna(final) else looks.shown(row["problem"]).text(final, 2),
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


def _verdict(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str, retrained: pd.DataFrame | None
) -> dict[str, Any] | None:
    """The table of results, as headings, rows and a footnote."""
    if not len(settled(runs)):
        return None
    table, looks = verdict_table(reports, runs, reference, retrained=retrained), Looks.of(runs)
    rows = tables.cells(table, looks)
    several = len({problem for problem, _, _ in rows}) > 1  # else its column says nothing
    return {
        "headings": [*(["Problem"] if several else []), *tables.headings(table, looks)],
        "names": 1 + several,  # columns of words, before those of numbers
        "rows": [{"best": best, "texts": [*([p] if several else []), *texts]} for p, best, texts in rows],
        "note": tables.footnote(table),
    }


def _floor(reports: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any] | None:
    """The table of times to beat the floor; None where no problem has one."""
    table = floors_of(reports, runs)
    if table.empty:
        return None
    rows = floor_table.rows(table, Looks.of(runs))
    several = len({problem for problem, _, _ in rows}) > 1
    return {
        "headings": [*(["Problem"] if several else []), "Floor", *floor_table.HEADINGS],
        "names": 2 + several,
        "rows": [[*([problem] if several else []), own, *texts] for problem, own, texts in rows],
    }


# --------------------------------------------------------------------------------------------- figures


def _pictures(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str
) -> tuple[list[Picture], dict[str, str]]:
    """Every figure that the results can fill, those with charts first; and why the others cannot."""
    makers: dict[str, Callable[[], Chart]] = {
        "anytime": lambda: anytime_chart(reports, runs),
        "speedup": lambda: speedup_chart(reports, runs, reference),
    }
    charts = {}
    for name, make in makers.items():
        try:
            charts[name] = make()
        except (NoAnswer, InputError):
            continue  # drawn below, where the reason is told
    with writing(Path(tempfile.gettempdir()), NO_ROOM), tempfile.TemporaryDirectory() as folder:
        drawn = draw_frames(
            reports, runs, Path(folder), formats=("png",), reference=reference, skip_faults=True
        )
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
