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

import numpy as np
import pandas as pd
from pydantic import ValidationError

from hpobench_fds.errors import InputError
from hpobench_fds.metrics import METRICS
from hpobench_fds.records.cell_files import PACKED_FILE, RUN_FILE, TRACE_FILE
from hpobench_fds.records.folder import SUITE_FILE, cell_folders, read_suite
from hpobench_fds.records.frames import load_results, load_retrained, load_runs
from hpobench_fds.records.safe_files import read_plain
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace
from hpobench_fds.wording import printable

from .stats.frames import numbers
from .stats.retrained import finals, primary

_CLASSES = {"cifar100": 100} | dict.fromkeys(("digits", "mnist", "fashion_mnist", "cifar10", "svhn"), 10)
"""Numbers of classes by built-in dataset: older records hold the name alone."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A results folder: its frames, its suite as recorded, and the cells that cannot be read.

    Of metrics higher is better: those of which lower is (bits a token) are negated. ``reports`` has the
    primary curve in its test columns, and the ``final_test_metric`` of ``runs`` is the median over the
    referee's draws (``stats.retrained``). ``runs`` has more columns than RUN_COLUMNS: of the problem
    ``targets`` (accuracies that the suite names, or None), ``initial`` (the initial schedule in the order
    of ``schedule_names``, or None); of the run ``commit``, ``machine`` and ``software``, as text.
    """

    folder: Path
    reports: pd.DataFrame
    runs: pd.DataFrame
    suite: dict[str, Any]
    unreadable: dict[str, str] = field(default_factory=dict)  # problem/method/seed-n: reason
    retrained: pd.DataFrame | None = None  # RETRAINED_COLUMNS


def load(folder: str | Path) -> Loaded:
    """Everything that can be read of a results folder. Raises InputError for a folder that is none."""
    folder = Path(folder)
    suite = read_suite(folder)
    (reports, runs, retrained), unreadable = _frames(folder)
    reports, runs, retrained = _better_is_higher(reports, runs, retrained)
    reports = _with_windows(reports, suite)
    runs = _with_origin(_with_problems(runs, suite), folder)
    reports, runs, retrained = _in_print(reports), _in_print(runs), _in_print(retrained)
    runs = finals(runs, retrained)
    return Loaded(folder, primary(reports, runs, retrained), runs, suite, unreadable, retrained)


_TEXTS = ("suite", "problem", "method", "adapter", "family", "reason", "stopped")


def _in_print(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with texts that any terminal and page may show: records may come from anyone."""
    changed = {}
    for name in set(_TEXTS) & set(frame):
        texts = (text for text in frame[name].unique() if isinstance(text, str))
        spelt = {text: printable(text) for text in texts if not text.isprintable()}
        if spelt:
            changed[name] = frame[name].replace(spelt)
    return frame.assign(**changed)


_Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def _read(folder: Path) -> _Frames:
    """Reports, runs, retrainings. Raises InputError."""
    return load_results(folder), load_runs(folder), load_retrained(folder)


def _frames(folder: Path) -> tuple[_Frames, dict[str, str]]:
    """Reports, runs, retrainings; and why cells could not be read."""
    try:
        return _read(folder), {}
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
    reports, runs, retrained = (pd.concat(part, ignore_index=True) for part in zip(*frames, strict=True))
    return (reports, runs, retrained), unreadable


LOWER = [metric.name for metric in METRICS.values() if not metric.higher_is_better]
_METRICS = (
    "val_metric", "test_metric", "final_test_metric", "last_test_metric", "incumbent_val_metric",
    "incumbent_test_metric",
)  # fmt: skip


def _better_is_higher(*frames: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """The frames with metrics of which lower is better negated: whatever compares takes more for better."""
    _, runs, _ = frames
    problems = set(runs.loc[runs["metric"].isin(LOWER), "problem"])
    if not problems:
        return frames
    made = []
    for frame in frames:
        sign = np.where(frame["problem"].isin(problems), -1.0, 1.0)
        columns = [name for name in _METRICS if name in frame]
        made.append(frame.assign(**{name: sign * numbers(frame[name]) for name in columns}))
    return tuple(made)


def _with_problems(runs: pd.DataFrame, suite: dict[str, Any]) -> pd.DataFrame:
    """The runs with what the suite says of their problems: targets, initial schedule, number of classes.

    A run whose method has a space of its own does not start where the problem says: it has no ``initial``.
    """
    problems = suite.get("problems", {})
    rows = []
    columns = ["problem", "method", "schedule_names", "metric"]
    for problem, method, names, metric in runs[columns].itertuples(index=False):
        known = problems.get(problem, {})
        config = known.get("config") or {}
        own = bool(_own_space(suite, problem, method))
        targets = known.get("targets")
        if targets and metric in LOWER:
            targets = [-target for target in targets]
        rows.append((targets, None if own else _initial(suite, problem, names), _classes(config)))
    facts = pd.DataFrame(rows, columns=["targets", "initial", "named"], index=runs.index, dtype=object)
    classes = runs["classes"].fillna(facts.pop("named").astype(float))  # older records have none
    return pd.concat([runs.assign(classes=classes), facts], axis=1)


def _own_space(suite: dict[str, Any], problem: str, method: str) -> dict[str, Any]:
    """Hyperparameters whose space is the method's own, as recorded; none of most."""
    own = suite.get("methods", {}).get(method, {}).get("space") or {}
    found: dict[str, Any] = own.get(problem) or {}
    return found


def _with_windows(reports: pd.DataFrame, suite: dict[str, Any]) -> pd.DataFrame:
    """Reports of curves as values of ``DRAWN`` windows, as all schedules are drawn."""
    curved = reports["schedule_names"].map(lambda names: any("." in str(name) for name in names))
    if not curved.any():
        return reports
    reports = reports.copy()
    for (problem, method), rows in reports[curved].groupby(["problem", "method"]):
        space = _space(suite, str(problem), str(method))
        made = [_rendered(space, names, values)
                for names, values in zip(rows["schedule_names"], rows["schedule"], strict=True)]  # fmt: skip
        for column, at in (("schedule_names", 0), ("schedule", 1)):
            values = pd.Series([one[at] for one in made], index=rows.index, dtype=object)
            reports[column] = reports[column].astype(object).where(~reports.index.isin(rows.index), values)
    return reports


DRAWN = 100  # windows that stand for a curve


def _space(suite: dict[str, Any], problem: str, method: str) -> ScheduleSpace:
    """The space that a method searched; an empty one where the record makes none."""
    tables = suite.get("problems", {}).get(problem, {}).get("config", {}).get("space") or {}
    tables = {**tables, **_own_space(suite, problem, method)}
    try:
        return ScheduleSpace({n: HyperparameterSpace.model_validate(one) for n, one in tables.items()})
    except (ValidationError, TypeError):
        return ScheduleSpace({})


def _rendered(space: ScheduleSpace, names: Any, values: Any) -> tuple[list[str], list[float]]:
    """Names and values by windows; as they are where the space is of other names."""
    if list(names) != space.names or len(values) != space.size:
        return list(names), list(values)
    schedule, found = space.from_vector(values), dict[str, float]()
    for name, one in space.learned.items():
        count = DRAWN if one.is_curve else one.windows
        found |= {f"{name}[{i}]": schedule.at(name, i, count) for i in range(count)}
    return list(found), list(found.values())


def _initial(suite: dict[str, Any], problem: str, names: Any) -> tuple[float, ...] | None:
    """The initial schedule as reports have it; None where the record makes none."""
    space = _space(suite, problem, "")
    if not isinstance(names, list) or names != space.names:
        return None
    return tuple(_rendered(space, names, space.to_vector(space.initial))[1])


def _classes(config: dict[str, Any]) -> float:
    known = config.get("classes") or _CLASSES.get(str(config.get("dataset")))
    return float("nan") if known is None else float(known)


def _with_origin(runs: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The runs with what each was made from: commit, machine and software, as text."""
    found: dict[tuple[str, str, int], tuple[str, str, str]] = {}
    for cell in cell_folders(folder):
        try:
            run = json.loads(read_plain(cell / RUN_FILE))
            told = _machine(run)
            parts = [*(run.get("segments") or []), *(run.get("refereed") or [])]
            commits = {told.get("commit", ""), *(str(part.get("commit") or "") for part in parts)}
            told["commit"] = " ".join(sorted(commits - {""}))
            software = " ".join(f"{k} {v}" for k, v in told.items() if k not in _NOT_SOFTWARE)
            machine = " ".join(told.get(k, "") for k in ("device", "threads"))
            key = (str(run["problem"]), str(run["method"]), int(run["seed"]))
            found[key] = (told.get("commit", ""), machine, software)
        except (InputError, ValueError, AttributeError, TypeError, KeyError, OSError):
            continue  # named among the unreadable
    keys = zip(runs["problem"], runs["method"], runs["seed"], strict=True)
    rows = [found.get(key, ("", "", "")) for key in keys]
    origin = pd.DataFrame(rows, columns=["commit", "machine", "software"], index=runs.index)
    return pd.concat([runs, origin], axis=1)


_NOT_SOFTWARE = ("device", "threads", "cells at a time", "commit")


def _load_cell(folder: Path, cell: Path) -> _Frames:
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
            return _read(alone)
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
