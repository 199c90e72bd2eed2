"""The results folder of one suite: which suite it is of, and where its cells are."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpobench_fds.errors import InputError
from hpobench_fds.plain import first_difference
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.extension import EARLIER, extended
from hpobench_fds.records.migrations import schema_version
from hpobench_fds.records.parsing import invalid, plain_object
from hpobench_fds.records.safe_files import locked, read_plain, write_atomic, writing
from hpobench_fds.records.schema import SCHEMA_VERSION, SuiteRecord

SUITE_FILE = "suite.json"
SUITE_LOCK = f".{SUITE_FILE}.lock"


class ResultsFolder:
    """The results folder of one suite.

    Opening checks first and writes only if the folder is new, empty, or holds the same suite. A suite
    that has grown (more seeds, methods, problems) is the same; one that contradicts what was run is not.
    Runners that open one folder at the same time all find their part in it afterwards.

    Parameters
    ----------
    folder : made if it is missing.
    suite : what decides its outcome, as plain data, with at least ``name``.
    extend : whether a problem's budget may be larger than on record, which then keeps the one before.

    Raises
    ------
    InputError : says what differs; nothing has been written then.
    """

    def __init__(self, folder: Path, suite: dict[str, Any], extend: bool = False) -> None:
        self.folder = folder
        known, merged = _known_and_merged(folder, suite, extend)
        if merged == known:
            return
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / SUITE_LOCK):
                # With what others have added by now.
                known, merged = _known_and_merged(folder, suite, extend)
                if merged != known:
                    write_atomic(folder / SUITE_FILE, (json.dumps(merged, indent=1) + "\n").encode())
            (folder / "cells").mkdir(exist_ok=True)

    @staticmethod
    def check(folder: Path, suite: dict[str, Any], extend: bool = False) -> dict[str, Any]:
        """The suite that opening would record, or what it would raise; writes nothing in any case."""
        return _known_and_merged(folder, suite, extend)[1]

    def cell(self, problem: str, method: str, seed: int) -> CellFiles:
        """See ``files_of_cell``."""
        return files_of_cell(self.folder, problem, method, seed)


def files_of_cell(folder: Path, problem: str, method: str, seed: int) -> CellFiles:
    """The files of a cell, begun or not, to be read and written.

    Raises InputError if one of them, or a folder on the way to them, is a link: nobody would read what is
    written behind it, and what is there may be another's.
    """
    place = folder / "cells" / problem / method / f"seed-{seed}"
    try:
        inside = sorted(place.iterdir()) if place.is_dir() else []
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=place) from error
    for path in (*reversed(place.parents[:3]), place, *inside):
        if path.is_symlink():
            text = "a link, which is not followed: remove it, or choose another --out"
            raise InputError(text, where=path)
    return CellFiles(place)


def _known_and_merged(
    folder: Path, suite: dict[str, Any], extend: bool
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    known = _known_suite(folder)
    suite = json.loads(json.dumps(suite))  # tuples become lists, as they will read back
    merged = suite if known is None else _merge(known, suite, folder, extend)
    return known, {"schema_version": SCHEMA_VERSION, **merged}


def _known_suite(folder: Path) -> dict[str, Any] | None:
    """The suite that a folder belongs to; None if the folder is new or empty. Raises InputError."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise InputError("not a folder", where=folder)
    # In this order: another runner may be making the folder at this moment.
    others = [path for path in folder.iterdir() if not path.name.startswith(f".{SUITE_FILE}.")]
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
        suite = plain_object(read_plain(path))
        schema_version(suite)
        SuiteRecord.model_validate(suite)
    except FileNotFoundError as error:
        raise InputError(f"not a results folder: it has no {SUITE_FILE}", where=folder) from error
    except ValidationError as error:
        raise invalid("not a suite record", path, error) from error
    except ValueError as error:
        raise InputError(f"not a suite record: {error}", where=path) from error
    return suite


def _merge(known: dict[str, Any], suite: dict[str, Any], folder: Path, extend: bool) -> dict[str, Any]:
    """The known suite with what the new one adds. Raises InputError where they contradict each other."""
    if known["name"] != suite["name"]:
        raise InputError(
            f"the folder holds the suite {known['name']!r}, not {suite['name']!r}: choose another --out",
            where=folder,
        )
    merged = dict(known)
    for table in ("problems", "methods"):
        old, new = known.get(table, {}), dict(suite.get(table, {}))
        for name in old.keys() & new.keys():
            if table == "problems":
                new[name] = _with_budget(old[name], new[name], folder, name, extend)
            pair = (_deciding(old[name]), _deciding(new[name]))
            if (difference := first_difference(*pair, f"{table}.{name}")) is not None:
                raise InputError(
                    f"the folder holds another version of the suite {known['name']!r}: {difference}: "
                    "choose another --out",
                    where=folder,
                )
        merged[table] = {**old, **new}
    merged["seeds"] = sorted({*known.get("seeds", []), *suite.get("seeds", [])})
    return merged


def _with_budget(
    old: dict[str, Any], new: dict[str, Any], folder: Path, name: str, extend: bool
) -> dict[str, Any]:
    """A problem's new table with the budgets it had before. Raises InputError for one that is no larger."""
    if old["budget"] == new["budget"]:
        return {**new, EARLIER: old[EARLIER]} if old.get(EARLIER) else new
    larger = extended(old, new)
    if larger is not None and extend:
        return larger
    difference = first_difference(old["budget"], new["budget"], f"problems.{name}.budget")
    choices = "choose another --out"
    if larger is not None:
        choices += ", or give --extend to go on with what ended on the smaller budget"
    elif extend:
        choices += " (--extend allows every limit to be what it was, or more)"
    raise InputError(f"the folder holds runs of another budget: {difference}: {choices}", where=folder)


def _deciding(table: dict[str, Any]) -> dict[str, Any]:
    """What decides the outcome of cells and is compared: targets may change, budgets are seen to apart."""
    return {key: value for key, value in table.items() if key not in ("targets", "budget", EARLIER)}


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


def _natural(cell: Path) -> list[tuple[list[str | int], str]]:
    """By problem, method and seed, numbers in them as numbers: seed-2 before seed-10."""
    return [(_words_and_numbers(name), name) for name in cell.parts[-3:]]


@cache
def _words_and_numbers(name: str) -> list[str | int]:
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]
