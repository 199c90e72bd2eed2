"""All of a results folder as tidy frames: one row a report, one row a run, one row a retraining."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from hpobench_fds.collection import uncollected
from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import RUN_FILE, TRACE_FILE, CellFiles, read_trace
from hpobench_fds.records.crowding import crowding
from hpobench_fds.records.folder import cell_folders, read_suite
from hpobench_fds.records.migrations import migrated, with_metrics
from hpobench_fds.records.parsing import invalid, parse_lines, unquote_infinity, whole_lines
from hpobench_fds.records.safe_files import read_plain
from hpobench_fds.records.schema import (
    APPEARANCE,
    REPORT_COLUMNS,
    RETRAINED_COLUMNS,
    RUN_COLUMNS,
    TRAITS,
    RetrainedRecord,
    RunRecord,
)
from hpobench_fds.records.searched import searched

if TYPE_CHECKING:  # it takes seconds to import
    import pandas as pd

# ------------------------------------------------------------------------------------------ run records

_RUN_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("suite", "problem", "method", "adapter", "family", "status"), (str,)),
    **dict.fromkeys(("clock", "cost", "budget", "device", "traits", "appearance", "problem_config"), (dict,)),
    **dict.fromkeys(("reason", "stopped"), (str, type(None))),
    **{"seed": (int,), "schedule_names": (list,)},
}


def _cells(folder: str | Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every begun cell of a results folder with its run record, as plain data, in a fixed order.

    Traits and appearance stand in the record itself, as the columns that they become.
    """
    folder = Path(folder)
    read_suite(folder)
    for cell in cell_folders(folder):
        path = cell / RUN_FILE
        try:
            run = from_json(unquote_infinity(read_plain(path)), cache_strings="keys")
            if not isinstance(run, dict):
                raise ValueError("not a JSON object")
            run = migrated(run)
            traits, appearance = run.setdefault("traits", {}), run.setdefault("appearance", {})
            if not _is_well_typed(run):
                RunRecord.model_validate(run)  # says what is wrong; too slow for each of 10,000 runs
                raise ValueError("values of other types than they should be")
        except FileNotFoundError:  # not begun
            continue
        except ValidationError as error:
            raise invalid("no run record", path, error) from error
        except ValueError as error:
            raise InputError(f"no run record: {error}", where=path) from error
        for name in TRAITS:
            run[name] = traits.get(name, name == "searches")
        for name in APPEARANCE:
            run[name] = appearance.get(name)
        yield cell, run


def _is_well_typed(run: dict[str, Any]) -> bool:
    """Whether the columns can be taken from a record without more looks at it."""
    return (
        all(type(run.get(name)) in kinds for name, kinds in _RUN_TYPES.items())
        and all(type(value) is bool for value in run["traits"].values())
        and all(value is None or type(value) is str for value in run["appearance"].values())
    )


# --------------------------------------------------------------------------------------------- reports


_OF_RUN = ("suite", "problem", "method", "adapter", "family", *TRAITS, "seed", "status", "schedule_names")
_OF_COST = ("inner_steps", "gradient_equivalents", "products")
_OF_REPORT = tuple(name for name in REPORT_COLUMNS if name not in _OF_RUN and name not in _OF_COST)
# Given, not inferred: inference over a million rows takes seconds. None becomes NaN.
_TYPES: dict[str, type] = {
    **dict.fromkeys(("report", "inner_steps", "products"), int),
    **dict.fromkeys(("seconds", "gradient_equivalents", "fidelity", "peak_memory"), float),
    **dict.fromkeys(("val_loss", "val_metric", "test_loss", "test_metric", "expected_loss"), float),
    **dict.fromkeys(("schedule", "hypergradient", "extra"), object),
    "incumbent": bool,
}


def load_results(folder: str | Path) -> pd.DataFrame:
    """Every report of a results folder, one row each, with the columns ``records.REPORT_COLUMNS``.

    Rows stand by problem, method, seed and report. Raises InputError for a folder without results.
    """
    # Millions of parsed lists would have the cycle collector look through all of them, again and again.
    with uncollected():
        columns, counts = _read_reports(folder)
    try:
        return _frame(columns, counts)
    except (TypeError, ValueError, OverflowError) as error:
        raise _culprit(folder) or InputError(f"no table can be made of it: {error}", where=folder) from error


def _culprit(folder: str | Path) -> InputError | None:
    """What is wrong with the first trace that the schema refuses; slow, and exact."""
    for cell, _ in _cells(folder):
        try:
            CellFiles(cell).reports()
        except InputError as error:
            return error
    return None


def _frame(columns: dict[str, list[Any]], counts: list[int]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    data: dict[str, Any] = dict(columns)
    for name in _OF_RUN:
        if name in TRAITS:
            data[name] = np.array(columns[name], dtype=bool).repeat(counts)
        else:
            data[name] = pd.Series(columns[name], dtype=None if counts else object).repeat(counts).array
    for name, kind in _TYPES.items():
        if kind is object:  # lists of one length would become a matrix
            data[name] = np.empty(len(columns[name]), dtype=object)
            data[name][:] = columns[name]
        else:
            data[name] = np.array(columns[name], dtype=kind)
    return pd.DataFrame(data, columns=REPORT_COLUMNS)


def _read_reports(folder: str | Path) -> tuple[dict[str, list[Any]], list[int]]:
    """Columns of reports, and those of runs with one entry a cell that has reports; reports a cell."""
    columns: dict[str, list[Any]] = {name: [] for name in REPORT_COLUMNS}
    counts: list[int] = []
    get_report, get_cost = itemgetter("cost", *_OF_REPORT), itemgetter(*_OF_COST)
    for cell, run in _cells(folder):
        path = cell / TRACE_FILE
        rows = parse_lines(read_trace(cell) or b"", path)
        if not rows:
            continue
        if "val_metric" not in rows[0]:  # of before version 4
            rows = [with_metrics(row) for row in rows]
        if "expected_loss" not in rows[0]:  # of before it was kept
            rows = [{**row, "expected_loss": None} for row in rows]
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


# ------------------------------------------------------------------------------------------------ runs

_FROM_RUN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "seconds": lambda run: run["clock"]["method"],
    "referee_seconds": lambda run: run["clock"]["referee"],
    "data_seconds": lambda run: run["clock"].get("data", 0.0),
    "elapsed_seconds": lambda run: run["clock"]["elapsed"],
    "inner_steps": lambda run: run["cost"]["inner_steps"],
    "gradient_equivalents": lambda run: run["cost"]["gradient_equivalents"],
    "products": lambda run: run["cost"]["products"],
    "final_test_metric": lambda run: (run.get("final") or {}).get("test_metric"),
    "final_test_loss": lambda run: (run.get("final") or {}).get("test_loss"),
    "last_test_metric": lambda run: (run.get("final") or {}).get("last_test_metric"),
    "final_report": lambda run: (run.get("final") or {}).get("report"),
    "incumbent_val_loss": lambda run: run["best"].get("val_loss"),
    "incumbent_val_metric": lambda run: run["best"].get("val_metric"),
    "incumbent_test_metric": lambda run: run["best"].get("test_metric"),
    "budget_seconds": lambda run: run["budget"].get("seconds"),
    "budget_steps": lambda run: run["budget"].get("steps"),
    "budget_gradient_equivalents": lambda run: run["budget"].get("gradient_equivalents"),
    "device": lambda run: run["device"].get("name"),
    "searched": lambda run: searched(
        run["schedule_names"], run["problem_config"].get("space") or {}, run["searches"]
    ),
    "classes": lambda run: (run.get("data") or {}).get("classes"),
    "metric": lambda run: (run.get("data") or {}).get("metric", "accuracy"),
    "least_expected_loss": lambda run: (run.get("data") or {}).get("least_expected_loss"),
    "mixed_clock": lambda run: bool(run.get("mixed_clock")),
    "crowding": lambda run: crowding(run["clock"], run["device"].get("kind")) or "",
}
_TEXTS = ("device", "searched", "crowding", "metric")
_RUN_NUMBERS = [n for n in _FROM_RUN if n not in (*_TEXTS, "inner_steps", "products", "mixed_clock")]


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
    for name in APPEARANCE:  # pandas would make NaN of None
        at = RUN_COLUMNS.index(name)
        frame[name] = pd.Series([row[at] for row in rows], index=frame.index, dtype=object)
    try:
        return frame.astype({**dict.fromkeys(_RUN_NUMBERS, np.float64), **dict.fromkeys(TRAITS, bool)})
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"no table can be made of it: {error}", where=folder) from error


def _incumbent(cell: Path, index: int | None) -> dict[str, Any]:
    """The incumbent's line alone, or nothing. An unfinished run's ``run.json`` does not name it yet."""
    lines = whole_lines(read_trace(cell) or b"").splitlines()
    near = lines[index : index + 1] if type(index) is int else []
    for line in near or [line for line in reversed(lines) if b'"incumbent":true' in line]:
        (report,) = parse_lines(line + b"\n", cell / TRACE_FILE)
        if report.get("incumbent"):
            return with_metrics(report)
    return {}


# ------------------------------------------------------------------------------------------ retrainings

_RETRAINED = TypeAdapter(list[RetrainedRecord])


def load_retrained(folder: str | Path) -> pd.DataFrame:
    """Every retraining of a results folder, one row each, with the columns ``records.RETRAINED_COLUMNS``.

    Rows stand by problem, method, seed, report and draw. Runs that were never retrained so, such as those
    of schemas 1 and 2, have none. Raises InputError for a folder without results.
    """
    import pandas as pd

    rows: list[list[Any]] = []
    for cell, run in _cells(folder):
        rows += _retrained_rows(cell, run)
    frame = pd.DataFrame(rows, columns=RETRAINED_COLUMNS)
    kinds = {
        **dict.fromkeys(("suite", "problem", "method"), object),
        **dict.fromkeys(("seed", "report", "inner_steps", "draw"), int),
        **dict.fromkeys(("seconds", "gradient_equivalents", "test_metric", "test_loss"), float),
        "diverged": bool,
    }
    try:
        return frame.astype(kinds)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"no table can be made of it: {error}", where=folder) from error


def _retrained_rows(cell: Path, run: dict[str, Any]) -> list[list[Any]]:
    """One row a retraining of a cell, by report and draw."""
    path = cell / RUN_FILE
    try:
        found = _RETRAINED.validate_python(run.get("retrained") or [])
    except ValidationError as error:
        raise invalid("no run record: retrained", path, error) from error
    if not found:
        return []
    reports = {row.get("report"): row for row in parse_lines(read_trace(cell) or b"", cell / TRACE_FILE)}
    place = [run[name] for name in ("suite", "problem", "method", "seed")]
    rows = []
    for one in sorted(found, key=lambda one: (one.report, one.draw)):
        try:
            report = reports[one.report]
            spent = [report["seconds"], *(report["cost"][name] for name in _OF_COST[:2])]
        except (KeyError, TypeError) as error:
            problem = f"report {one.report} was retrained, and is not in the trace"
            raise InputError(problem, where=path) from error
        diverged = one.diverged_at is not None or not math.isfinite(one.test_loss)
        scores = [math.nan, math.inf] if diverged else [one.test_metric, one.test_loss]
        rows.append([*place, one.report, *spent, one.draw, *scores, diverged])
    return rows
