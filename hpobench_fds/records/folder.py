"""The results on disk: written so that a crash costs little, checked, loaded as tidy frames.

``records`` says what a folder holds. ``run.json`` and the checkpoint are replaced in one piece;
``trace.jsonl`` grows a line at a time, and half a line at its end is dropped.
"""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from pydantic import ValidationError
from pydantic_core import from_json

from hpobench_fds.errors import InputError
from hpobench_fds.records.schema import (
    REPORT_COLUMNS,
    RUN_COLUMNS,
    SCHEMA_VERSION,
    ReportRecord,
    RunRecord,
    SuiteRecord,
    migrated,
    schema_version,
)

if TYPE_CHECKING:  # both take seconds to import, and each is needed by a part of this module only
    import pandas as pd
    import torch

SUITE_FILE, RUN_FILE, TRACE_FILE = "suite.json", "run.json", "trace.jsonl"
PACKED_FILE = "trace.jsonl.gz"  # the same, as ``pack`` leaves it
MOST_UNPACKED = 2**30  # bytes; a small file may claim to be a large one
CHECKPOINT_FILE, ERROR_FILE, LOCK_FILE = "checkpoint.pt", "error.txt", "lock"
OUTPUT_FILE = "output.txt"  # what a cell's process prints


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file in one piece: a reader, or a crash, meets the old content or the new, no mixture."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_plain(path: Path) -> bytes:
    """The content of a plain file.

    A results folder may come from anyone: a link in it is not followed, a pipe is not waited for.

    Raises
    ------
    FileNotFoundError : there is nothing of that name.
    InputError : it is no plain file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InputError("a link, a folder or the like in place of a plain file", where=path)
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error


def read_trace(cell: Path) -> bytes | None:
    """A cell's trace, packed or not; None if it has none. Raises InputError."""
    try:
        return read_plain(cell / TRACE_FILE)
    except FileNotFoundError:
        pass
    path = cell / PACKED_FILE
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_plain(path))) as file:
            content = file.read(MOST_UNPACKED + 1)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be unpacked: {error}", where=path) from error
    if len(content) > MOST_UNPACKED:
        raise InputError(f"holds more than {MOST_UNPACKED} bytes", where=path)
    return content


def trace_digest(content: bytes | None) -> str | None:
    """SHA-256 of a trace; None if there is none."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def whole_lines(content: bytes) -> bytes:
    """All but the half line that a crash may have left at the end."""
    return content[: content.rfind(b"\n") + 1]


# -------------------------------------------------------------------------------------------- one cell


class Held(Exception):  # noqa: N818 -- a finding, not a fault
    """Another runner holds the cell."""


class CellStore:
    """The files of one cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lock(self) -> FileLock:
        """The cell's lock, taken; released by its ``release``. Raises Held if another runner has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK_FILE, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise Held(str(self.folder)) from error
        return lock

    def record(self) -> RunRecord | None:
        """What ``run.json`` says; None if the cell was never begun. Raises InputError if it is broken."""
        path = self.folder / RUN_FILE
        try:
            return RunRecord.model_validate(migrated(_plain_object(_unquote_infinity(read_plain(path)))))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise _invalid("no run record", path, error) from error
        except ValueError as error:
            raise InputError(f"no run record: {error}", where=path) from error

    def write_record(self, record: RunRecord) -> None:
        """Replace ``run.json``; one of a settled run carries digests of itself and of its trace."""
        if record.finished:
            record.trace_sha256 = trace_digest(read_trace(self.folder))
            record.digest = record_digest(record.model_dump_json().encode())
        write_atomic(self.folder / RUN_FILE, (record.model_dump_json(indent=1) + "\n").encode())

    def reports(self) -> list[ReportRecord]:
        """The whole lines of the trace. Raises InputError if one of them is no report."""
        return reports_of(read_trace(self.folder), self.folder)

    def keep_reports(self, count: int) -> None:
        """Drop every line of the trace after the first ``count``."""
        path = self.folder / TRACE_FILE
        if path.exists():
            lines = whole_lines(path.read_bytes()).splitlines(keepends=True)
            os.truncate(path, sum(map(len, lines[:count])))

    def append(self, report: ReportRecord) -> None:
        """Add a line to the trace; it is in the system's hands when this returns."""
        with (self.folder / TRACE_FILE).open("ab") as file:
            file.write(report.model_dump_json().encode() + b"\n")

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Keep plain data: tensors, numbers, strings, None, lists, tuples and dicts. Raises TypeError."""
        import torch

        require_plain(state)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(self.folder / CHECKPOINT_FILE, buffer.getvalue())

    def load_checkpoint(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """The checkpoint, or None if there is none that can be read. Runs no code from the file."""
        import torch

        try:
            state = torch.load(self.folder / CHECKPOINT_FILE, map_location=device, weights_only=True)
        except Exception:  # garbage makes torch raise nearly anything; the cell then starts afresh
            return None
        return state if isinstance(state, dict) else None

    def drop_checkpoint(self) -> None:
        (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)

    def write_error(self, text: str) -> None:
        write_atomic(self.folder / ERROR_FILE, text.encode(errors="replace"))

    def clear(self) -> None:
        """Forget an earlier attempt, all but its ``run.json``, which the next one replaces."""
        for name in (TRACE_FILE, PACKED_FILE, CHECKPOINT_FILE, ERROR_FILE):
            (self.folder / name).unlink(missing_ok=True)


def reports_of(trace: bytes | None, cell: Path) -> list[ReportRecord]:
    """The whole lines of a trace that was read from ``cell``. Raises InputError if one is no report."""
    path = cell / TRACE_FILE
    try:
        return [ReportRecord.model_validate(row) for row in _parse_lines(trace or b"", path)]
    except ValidationError as error:
        raise _invalid("no report", path, error) from error


def record_digest(content: bytes) -> str:
    """SHA-256 of what a ``run.json`` holds, its digest left out, however it is laid out.

    Of the file's own data, not of the record that it is read as: fields that later versions add to
    records, and migrations, leave the digests of old files as they are. Raises ValueError.
    """
    data = _plain_object(_unquote_infinity(content))
    data.pop("digest", None)
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _invalid(what: str, path: Path, error: ValidationError) -> InputError:
    """The first thing that a schema has against a file."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))[:80]
    return InputError(f"{what}: {place}{': ' if place else ''}{first['msg']}", where=path)


def _plain_object(content: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    data = from_json(content)
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def require_plain(value: object, place: str = "state") -> None:
    """Raise TypeError, naming the place, unless a value can be loaded again without running code."""
    import torch

    # The exact type, since a numpy float is a float too but is pickled as numpy's.
    if value is None or type(value) in (bool, int, float, str, bytes) or isinstance(value, torch.Tensor):
        return
    if type(value) is dict:
        for key, item in value.items():
            require_plain(key, f"a key of {place}")
            require_plain(item, f"{place}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            require_plain(item, f"{place}[{index}]")
    else:
        raise TypeError(f"{place} is a {type(value).__module__}.{type(value).__qualname__}, not plain data")


# ------------------------------------------------------------------------------------ a results folder


class Store:
    """The results folder of one suite.

    Opening checks first and writes only if the folder is new, empty, or holds the same suite. A suite
    that has grown (more seeds, methods, problems) is the same; one that contradicts what was run is not.

    Parameters
    ----------
    folder : made if it is missing.
    suite : what decides its outcome, as plain data, with at least ``name``.

    Raises
    ------
    InputError : says what differs; nothing has been written then.
    """

    def __init__(self, folder: Path, suite: dict[str, Any]) -> None:
        self.folder = folder
        known, merged = _known_and_merged(folder, suite)
        if merged == known:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / SUITE_FILE, (json.dumps(merged, indent=1) + "\n").encode())
            (folder / "cells").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=folder) from error

    @staticmethod
    def check(folder: Path, suite: dict[str, Any]) -> None:
        """Raise what opening would raise; writes nothing in any case."""
        _known_and_merged(folder, suite)

    def cell(self, problem: str, method: str, seed: int) -> CellStore:
        return cell_store(self.folder, problem, method, seed)


def cell_store(folder: Path, problem: str, method: str, seed: int) -> CellStore:
    return CellStore(folder / "cells" / problem / method / f"seed-{seed}")


def _known_and_merged(folder: Path, suite: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    known = _known_suite(folder)
    suite = json.loads(json.dumps(suite))  # tuples become lists, as they will read back
    merged = suite if known is None else _merge(known, suite, folder)
    return known, {"schema_version": SCHEMA_VERSION, **merged}


def _known_suite(folder: Path) -> dict[str, Any] | None:
    """The suite that a folder belongs to; None if the folder is new or empty. Raises InputError."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise InputError("not a folder", where=folder)
    # In this order: another runner may be making the folder at this moment.
    others = [path for path in folder.iterdir() if not path.match(f".{SUITE_FILE}.*.tmp")]
    if (folder / SUITE_FILE).exists():
        return read_suite(folder)
    if others:
        problem = f"the folder holds other files and no {SUITE_FILE}"
        raise InputError(problem, where=folder, allowed="a new, an empty or a results folder")
    return None


def read_suite(folder: Path) -> dict[str, Any]:
    """What ``suite.json`` says. Raises InputError for a folder that holds no results."""
    if not folder.is_dir():
        raise InputError("there is no such results folder", where=folder)
    path = folder / SUITE_FILE
    try:
        suite = _plain_object(read_plain(path))
        schema_version(suite)
        SuiteRecord.model_validate(suite)
    except FileNotFoundError as error:
        raise InputError(f"not a results folder: it has no {SUITE_FILE}", where=folder) from error
    except ValidationError as error:
        raise _invalid("not a suite record", path, error) from error
    except ValueError as error:
        raise InputError(f"not a suite record: {error}", where=path) from error
    return suite


def _merge(known: dict[str, Any], suite: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The known suite with what the new one adds. Raises InputError where they contradict each other."""
    if known["name"] != suite["name"]:
        raise InputError(
            f"the folder holds the suite {known['name']!r}, not {suite['name']!r}: choose another --out",
            where=folder,
        )
    merged = dict(known)
    for table in ("problems", "methods"):
        old, new = known.get(table, {}), suite.get(table, {})
        for name in old.keys() & new.keys():
            if (difference := first_difference(old[name], new[name], f"{table}.{name}")) is not None:
                raise InputError(
                    f"the folder holds another version of the suite {known['name']!r}: {difference}: "
                    "choose another --out",
                    where=folder,
                )
        merged[table] = {**old, **new}
    merged["seeds"] = sorted({*known.get("seeds", []), *suite.get("seeds", [])})
    return merged


def first_difference(old: Any, new: Any, key: str) -> str | None:
    """'KEY was A, is B' of the first place where two pieces of plain data differ, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            found = first_difference(old.get(name), new.get(name), f"{key}.{name}")
            if found is not None:
                return found
        return None
    return None if old == new else f"{key} was {json.dumps(old)}, is {json.dumps(new)}"


# ----------------------------------------------------------------------------------------- reading all


def cell_folders(folder: Path) -> list[Path]:
    """The folders of cells, begun or not, in a fixed order. Links among them are not followed.

    Raises InputError if all cells are a link, or a folder cannot be read.
    """
    cells = folder / "cells"
    if cells.is_symlink():
        raise InputError("a link, which is not followed: give the folder itself", where=cells)
    found = [
        seed
        for problem in _folders(cells)
        for method in _folders(problem)
        for seed in _folders(method)
        if seed.name.startswith("seed-")
    ]
    return sorted(found, key=_natural)


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [path / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error


def _cells(folder: str | Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every begun cell of a results folder with its run record, as plain data, in a fixed order."""
    folder = Path(folder)
    read_suite(folder)
    for cell in cell_folders(folder):
        path = cell / RUN_FILE
        try:
            run = from_json(_unquote_infinity(read_plain(path)), cache_strings="keys")
            if not isinstance(run, dict):
                raise ValueError("not a JSON object")
            run = migrated(run)
            if any(type(run.get(name)) not in kinds for name, kinds in _RUN_TYPES.items()):
                RunRecord.model_validate(run)  # says what is wrong; too slow for each of 10,000 runs
                raise ValueError("values of other types than they should be")
        except FileNotFoundError:  # not begun
            continue
        except ValidationError as error:
            raise _invalid("no run record", path, error) from error
        except ValueError as error:
            raise InputError(f"no run record: {error}", where=path) from error
        yield cell, run


def _natural(cell: Path) -> list[tuple[list[str | int], str]]:
    """By problem, method and seed, numbers in them as numbers: seed-2 before seed-10."""
    return [(_words_and_numbers(name), name) for name in cell.parts[-3:]]


@cache
def _words_and_numbers(name: str) -> list[str | int]:
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]


# Whole strings alone: no keys, and no end of a longer string with a quotation mark in it. Exact, and slow.
_QUOTED = re.compile(rb'(?<!\\)"(-?Infinity|NaN)"(?!:)')


def _unquote_infinity(content: bytes) -> bytes:
    """Records write what JSON cannot hold as strings; the parser reads the bare words."""
    for word in (b"Infinity", b"-Infinity", b"NaN"):
        quoted = b'"' + word + b'"'
        if quoted not in content:
            continue
        if quoted + b":" in content or b"\\" + quoted in content:
            return _QUOTED.sub(rb"\1", content)
        content = content.replace(quoted, word)
    return content


def _parse_lines(content: bytes, path: Path) -> list[dict[str, Any]]:
    """Every whole line of a trace, parsed in one go."""
    lines = _unquote_infinity(whole_lines(content))
    try:
        rows: list[dict[str, Any]] = from_json(
            b"[" + lines.rstrip().replace(b"\n", b",") + b"]", cache_strings="keys"
        )
    except ValueError:
        for number, line in enumerate(lines.splitlines(), 1):
            try:
                from_json(line)
            except ValueError as error:
                raise InputError(f"line {number} is no report: {error}", where=path) from error
        raise
    for number, row in enumerate(rows, 1):
        if type(row) is not dict:
            raise InputError(f"line {number} is no report: not a JSON object", where=path)
    return rows


_RUN_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("suite", "problem", "method", "adapter", "family", "status"), (str,)),
    **dict.fromkeys(("clock", "cost", "budget", "device"), (dict,)),
    **dict.fromkeys(("reason", "stopped"), (str, type(None))),
    **{"seed": (int,), "schedule_names": (list,)},
}
_OF_RUN = ("suite", "problem", "method", "adapter", "family", "seed", "status", "schedule_names")
_OF_COST = ("inner_steps", "gradient_equivalents", "products")
_OF_REPORT = tuple(name for name in REPORT_COLUMNS if name not in _OF_RUN and name not in _OF_COST)
# Given, not inferred: inference over a million rows takes seconds. None becomes NaN.
_TYPES: dict[str, type] = {
    **dict.fromkeys(("report", "inner_steps", "products"), int),
    **dict.fromkeys(("seconds", "gradient_equivalents", "fidelity", "peak_memory"), float),
    **dict.fromkeys(("val_loss", "val_accuracy", "test_loss", "test_accuracy"), float),
    **dict.fromkeys(("schedule", "hypergradient", "extra"), object),
    "incumbent": bool,
}


def load_results(folder: str | Path) -> pd.DataFrame:
    """Every report of a results folder, one row each, with the columns ``records.REPORT_COLUMNS``.

    Rows stand by problem, method, seed and report. Raises InputError for a folder without results.
    """
    with _no_collection():
        columns, counts = _read_reports(folder)
    try:
        return _frame(columns, counts)
    except (TypeError, ValueError, OverflowError) as error:
        raise _culprit(folder) or InputError(f"no table can be made of it: {error}", where=folder) from error


def _culprit(folder: str | Path) -> InputError | None:
    """What is wrong with the first trace that the schema refuses; slow, and exact."""
    for cell, _ in _cells(folder):
        try:
            CellStore(cell).reports()
        except InputError as error:
            return error
    return None


def _frame(columns: dict[str, list[Any]], counts: list[int]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    data: dict[str, Any] = dict(columns)
    for name in _OF_RUN:
        data[name] = pd.Series(columns[name], dtype=None if counts else object).repeat(counts).array
    for name, kind in _TYPES.items():
        if kind is object:  # lists of one length would become a matrix
            data[name] = np.empty(len(columns[name]), dtype=object)
            data[name][:] = columns[name]
        else:
            data[name] = np.array(columns[name], dtype=kind)
    return pd.DataFrame(data, columns=REPORT_COLUMNS)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of parsed lists would have the cycle collector look through all of them, again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read_reports(folder: str | Path) -> tuple[dict[str, list[Any]], list[int]]:
    """Columns of reports, and those of runs with one entry a cell that has reports; reports a cell."""
    columns: dict[str, list[Any]] = {name: [] for name in REPORT_COLUMNS}
    counts: list[int] = []
    get_report, get_cost = itemgetter("cost", *_OF_REPORT), itemgetter(*_OF_COST)
    for cell, run in _cells(folder):
        path = cell / TRACE_FILE
        rows = _parse_lines(read_trace(cell) or b"", path)
        if not rows:
            continue
        try:
            cost, *values = zip(*map(get_report, rows), strict=True)
            costs = zip(*map(get_cost, cost), strict=True)
        except (KeyError, TypeError) as error:
            raise InputError(f"a line is no report: {error}", where=path) from error
        for name, column in zip(_OF_REPORT, values, strict=True):
            columns[name].extend(column)
        for name, column in zip(_OF_COST, costs, strict=True):
            columns[name].extend(column)
        for name in _OF_RUN:
            columns[name].append(run.get(name))
        counts.append(len(rows))
    return columns, counts


_FROM_RUN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "seconds": lambda run: run["clock"]["method"],
    "referee_seconds": lambda run: run["clock"]["referee"],
    "elapsed_seconds": lambda run: run["clock"]["elapsed"],
    "compile_seconds": lambda run: run["clock"]["compile"],
    "inner_steps": lambda run: run["cost"]["inner_steps"],
    "gradient_equivalents": lambda run: run["cost"]["gradient_equivalents"],
    "products": lambda run: run["cost"]["products"],
    "final_test_accuracy": lambda run: (run.get("final") or {}).get("test_accuracy"),
    "final_test_loss": lambda run: (run.get("final") or {}).get("test_loss"),
    "last_test_accuracy": lambda run: (run.get("final") or {}).get("last_test_accuracy"),
    "incumbent_val_loss": lambda run: run["best"].get("val_loss"),
    "incumbent_val_accuracy": lambda run: run["best"].get("val_accuracy"),
    "incumbent_test_accuracy": lambda run: run["best"].get("test_accuracy"),
    "budget_seconds": lambda run: run["budget"].get("seconds"),
    "budget_steps": lambda run: run["budget"].get("steps"),
    "device": lambda run: run["device"].get("name"),
}
_RUN_NUMBERS = [name for name in _FROM_RUN if name not in ("device", "inner_steps", "products")]


def load_runs(folder: str | Path) -> pd.DataFrame:
    """Every begun cell of a results folder, one row each, with the columns ``records.RUN_COLUMNS``.

    Raises InputError for a folder without results.
    """
    import numpy as np
    import pandas as pd

    rows = []
    for cell, run in _cells(folder):
        run["best"] = _incumbent(cell, run.get("incumbent"))
        try:
            rows.append([_FROM_RUN.get(name, itemgetter(name))(run) for name in RUN_COLUMNS])
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"no run record: {error}", where=cell / RUN_FILE) from error
    frame = pd.DataFrame(dict(zip(RUN_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {})
    frame = frame.reindex(columns=RUN_COLUMNS)
    try:
        return frame.astype(dict.fromkeys(_RUN_NUMBERS, np.float64))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"no table can be made of it: {error}", where=folder) from error


def _incumbent(cell: Path, index: int | None) -> dict[str, Any]:
    """The incumbent's line alone, or nothing. An unfinished run's ``run.json`` does not name it yet."""
    lines = whole_lines(read_trace(cell) or b"").splitlines()
    near = lines[index : index + 1] if type(index) is int else []
    for line in near or [line for line in reversed(lines) if b'"incumbent":true' in line]:
        (report,) = _parse_lines(line + b"\n", cell / TRACE_FILE)
        if report.get("incumbent"):
            return report
    return {}
