"""One self-contained HTML page of a results folder: verdict, tables, every figure, how to run it again.

Nothing on it comes from the network. It is written in one piece, and the same results make the same page
but for the date.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from hpobench_fds.records.safe_files import write_atomic, writing

from .. import loading
from ..figures.catalogue import REFERENCE, draw_frames
from ..looks import Looks
from ..stats.frames import failures, seed_counts, settled
from ..stats.intervals import LEAST
from . import sentences
from .grids import floor_grid, verdict_grid
from .page_data import AGAINST, as_json
from .run_again import run_again
from .suite_toml import as_toml
from .templating import contents, template
from .worked import Worked

REPORT_FILE = "report.html"
NO_ROOM = "choose another folder for temporary files with TMPDIR"
TITLES = {
    "anytime": "How far each method had come while it spent",
    "times": "What each method needs to the targets, in gradients",
    "times_seconds": "What each method needs to the targets, in seconds",
    "effects": "How much better or worse each method ended",
    "profile": "How often each method is among the soonest",
    "speedup": "Time to the problem's target, over the reference's",
    "speedup_curve": "The same for every target",
    "schedules": "The schedules that methods ended with",
    "cost": "What each method spent",
    "ranks": "Mean ranks over problems",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: an image as a data URI, and what it shows."""

    name: str
    title: str
    caption: str
    image: str


@dataclass(frozen=True)
class Card:
    """One problem on the page: a sentence, what is wrong with its runs, its charts, and more sentences."""

    problem: str
    lead: str
    flags: list[str]
    sentences: list[str]


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
    folder: Path,
    *,
    reference: str = REFERENCE,
    command: str | None = None,
    now: datetime | None = None,
    home: str | None = None,
    loaded: loading.Loaded | None = None,
    worked: Worked | None = None,
) -> str:
    """The page as text.

    Parameters
    ----------
    home : address of the page of all suites, where this one is part of a site.
    loaded, worked : the folder's content, and what is said of it, where they are known already.

    Raises
    ------
    InputError : a folder without results.
    """
    loaded = loaded or loading.load(folder)
    reports, runs = loaded.reports, loaded.runs
    pictures, missing = _pictures(reports, runs, reference)
    worked = worked or Worked.of(reports, runs, reference, loaded.retrained)
    machines, name = loading.machines(folder), str(loaded.suite["name"])
    known = {
        "name": name,
        "home": home,
        "date": (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        "lead": worked.lead,
        "flags": flags(runs, loaded.unreadable),
        "facts": _facts(folder, runs),
        "sentences": worked.told,
        "cards": _cards(runs, worked),
        "verdict": verdict_grid(worked.verdict, worked.looks),
        "floor": floor_grid(worked.floors, worked.looks),
        "against": AGAINST,
        "cells": _runs(runs)[:MOST_RUNS],
        "count": len(runs),
        "troubles": _troubles(runs, loaded.unreadable),
        "commands": [command] if command else run_again(name, machines),
        "suite": as_toml(loaded.suite),
        "data": as_json(worked.data),
        "style": contents("report.css"),
        "script": contents("report.js"),
    }
    return _with_room(known, pictures, missing)


def _with_room(known: Mapping[str, Any], pictures: list[Picture], missing: Mapping[str, str]) -> str:
    """The page with as many pictures as the rest of it leaves room for."""
    page = template("report.html.j2")
    room = MOST_BYTES - len(page.render(**known, pictures=[], missing=missing).encode())
    heavy = _within({one.name: len(one.image) for one in pictures}, room)
    return page.render(
        **known, pictures=[one for one in pictures if one.name not in heavy],
        missing={**missing, **dict.fromkeys(heavy, TOO_HEAVY)},
    )  # fmt: skip


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
    budgets |= {f"{g:,.0f} gradients" for g in runs["budget_gradient_equivalents"].dropna()}
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


def flags(runs: pd.DataFrame, unreadable: Mapping[str, str]) -> list[str]:
    """What a reader has to know before any number: exploratory, failed, unfinished or unreadable runs."""
    looks = Looks.of(runs)
    told = sentences.exploratory(runs)
    told += [
        f"Failed: {looks.label(m)} in {count} of {all_} runs." for m, (count, all_) in failures(runs).items()
    ]
    unfinished = int(runs["status"].isin(["running", "interrupted"]).sum())
    told += (
        [f"Unfinished, and left out: {unfinished} run{'' if unfinished == 1 else 's'}."] if unfinished else []
    )
    return told + ([f"Unreadable: {len(unreadable)}, listed under the runs."] if unreadable else [])


def _cards(runs: pd.DataFrame, worked: Worked) -> list[Card]:
    """A card a problem with runs that came to an end."""
    done, looks = settled(runs), Looks.of(runs)
    problems = [str(p) for p in dict.fromkeys(done["problem"])]
    cards = []
    for problem in problems:
        here = done[done["problem"] == problem]
        seeds = seed_counts(here)
        flags = [f"{looks.label(m)}: {count} of {all_} failed" for m, (count, all_) in failures(here).items()]
        if seeds.min() < LEAST:
            flags.append(f"exploratory: {seeds.min()} seed{'' if seeds.min() == 1 else 's'}")
        cards.append(Card(problem, worked.leads.get(problem, ""), flags, worked.told_of.get(problem, [])))
    return cards


def _runs(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a run, those that failed first."""
    rows, looks = [], Looks.of(runs)
    runs = runs.sort_values("status", key=lambda status: status != "failed", kind="stable")
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


# --------------------------------------------------------------------------------------------- figures


def _pictures(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str
) -> tuple[list[Picture], dict[str, str]]:
    """Every figure that the results can fill; and why the others cannot."""
    with writing(Path(tempfile.gettempdir()), NO_ROOM), tempfile.TemporaryDirectory() as folder:
        drawn = draw_frames(
            reports, runs, Path(folder), formats=("png",), reference=reference, skip_faults=True
        )
        images = {path.stem: path.read_bytes() for path in drawn if path.suffix == ".png"}
    pictures = [
        Picture(
            name, TITLES.get(name, name.replace("_", " ").capitalize()), drawn.captions[name],
            f"data:image/webp;base64,{base64.b64encode(_webp(image)).decode()}",
        )
        for name, image in images.items()
    ]  # fmt: skip
    return pictures, drawn.skipped


MOST_PIXELS = 16_383
MOST_BYTES = 2_900_000  # of the page
MOST_RUNS = 600  # that have a row
TOO_HEAVY = "it would make the page too heavy: hpobench figures draws it"


def _within(sizes: Mapping[str, int], most: int) -> list[str]:
    """Names of the images to be left off, the largest of one method's first, so that the rest has room."""
    rest, left_off = dict(sizes), list[str]()
    while rest and sum(rest.values()) > most:
        own = [name for name in rest if name.startswith("schedules_")] or list(rest)
        largest = max(own, key=lambda name: rest[name])
        del rest[largest]
        left_off.append(largest)
    return left_off


def _webp(image: bytes, colors: int = 128) -> bytes:
    """A PNG without loss to the eye, which no figure's colours exceed, at a third of its size."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(image)) as picture:
        longest = max(picture.size)
        if longest > MOST_PIXELS:  # of a side, in this format
            picture = picture.resize([max(1, side * MOST_PIXELS // longest) for side in picture.size])
        flat = picture.convert("RGB").quantize(colors, dither=Image.Dither.NONE).convert("RGB")
        flat.save(small, "WEBP", lossless=True, quality=40)
    return small.getvalue()
