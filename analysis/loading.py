"""Results for the analysis: the two frames, what could not be read, and what is known of the machines.

One broken record must not cost a study its figures: if the store refuses a folder, its cells are loaded one
by one, those that can be read are kept, and the others are named with the reason.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hpobench_fds.errors import InputError
from hpobench_fds.store import RUN_FILE, SUITE_FILE, load_results, load_runs, read_suite


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
    for cell in _cells(folder):
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


def _cells(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob(f"cells/*/*/seed-*/{RUN_FILE}")):
        yield path.parent


def _load_cell(folder: Path, cell: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One cell's frames, by way of a folder that holds it alone. Raises InputError."""
    with tempfile.TemporaryDirectory() as place:
        alone = Path(place)
        (alone / SUITE_FILE).symlink_to((folder / SUITE_FILE).resolve())
        link = alone / cell.relative_to(folder)
        link.parent.mkdir(parents=True)
        link.symlink_to(cell.resolve(), target_is_directory=True)
        try:
            return load_results(alone), load_runs(alone)
        except InputError as error:
            raise InputError(str(error).replace(str(link), str(cell))) from error


def machines(folder: str | Path) -> list[tuple[dict[str, str], int]]:
    """What runs were made on: each distinct machine, software and commit, with how many runs; most first."""
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    for cell in _cells(Path(folder)):
        try:
            run = json.loads((cell / RUN_FILE).read_bytes())
            found[tuple(_machine(run).items())] += 1
        except (ValueError, AttributeError, TypeError, OSError):
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
