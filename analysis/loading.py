"""Results for the analysis: the two frames, what could not be read, and what is known of the machines.

One broken record must not cost a study its figures: if the store refuses a folder, its cells are loaded one
by one, those that can be read are kept, and the others are named with the reason.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import PACKED_FILE, RUN_FILE, TRACE_FILE
from hpobench_fds.records.folder import SUITE_FILE, cell_folders, read_suite
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.safe_files import read_plain


@dataclass(frozen=True, eq=False)
class Loaded:
    """A results folder: its frames, its suite as recorded, and the cells that cannot be read."""

    folder: Path
    reports: pd.DataFrame
    runs: pd.DataFrame
    suite: dict[str, Any]
    unreadable: dict[str, str] = field(default_factory=dict)  # problem/method/seed-n: reason


def load(folder: str | Path) -> Loaded:
    """Everything that can be read of a results folder. Raises InputError for a folder that is none."""
    folder = Path(folder)
    suite = read_suite(folder)
    try:
        return Loaded(folder, load_results(folder), load_runs(folder), suite)
    except InputError:
        pass
    frames, unreadable = [], {}
    for cell in cell_folders(folder):
        if not (cell / RUN_FILE).exists():  # not begun
            continue
        try:
            frames.append(_load_cell(folder, cell))
        except InputError as error:
            name = "/".join(cell.parts[-3:])
            unreadable[name] = str(error).replace(f"{cell}{os.sep}", "")
    if not frames:
        name, reason = next(iter(unreadable.items()))
        raise InputError(f"none of its {len(unreadable)} cells can be read: {name}: {reason}", where=folder)
    reports, runs = (pd.concat(part, ignore_index=True) for part in zip(*frames, strict=True))
    return Loaded(folder, reports, runs, suite, unreadable)


def _load_cell(folder: Path, cell: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One cell's frames, by way of a folder that holds it alone. Raises InputError."""
    with tempfile.TemporaryDirectory() as place:
        alone = Path(place)
        copy = alone / cell.relative_to(folder)
        copy.mkdir(parents=True)
        (alone / SUITE_FILE).write_bytes(read_plain(folder / SUITE_FILE))
        for name in (RUN_FILE, TRACE_FILE, PACKED_FILE):
            if (cell / name).exists():
                (copy / name).write_bytes(read_plain(cell / name))
        try:
            return load_results(alone), load_runs(alone)
        except InputError as error:
            raise InputError(str(error).replace(str(copy), str(cell))) from error


def machines(folder: str | Path) -> list[tuple[dict[str, str], int]]:
    """What runs were made on: each distinct machine, software and commit, with how many runs; most first."""
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    for cell in cell_folders(Path(folder)):
        try:
            run = json.loads(read_plain(cell / RUN_FILE))
            found[tuple(_machine(run).items())] += 1
        except (InputError, ValueError, AttributeError, TypeError, OSError):
            continue  # named among the unreadable
    return [(dict(items), count) for items, count in found.most_common()]


def _machine(run: dict[str, Any]) -> dict[str, str]:
    device, software = run.get("device") or {}, run.get("software") or {}
    threads, jobs = device.get("threads"), int(run.get("jobs") or 1)
    told = {
        "device": " ".join(str(device[k]) for k in ("kind", "name") if device.get(k)),
        "threads": "" if threads is None else str(threads),
        "cells at a time": str(jobs),
        **{name: str(version) for name, version in software.items()},
        "commit": str(run.get("commit") or ""),
    }
    return {name: text for name, text in told.items() if text}
