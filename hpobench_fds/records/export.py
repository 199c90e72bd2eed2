"""Results in other shapes: one table as a file, several results folders as one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import (
    CHECKPOINT_FILE,
    LOCK_FILE,
    PACKED_FILE,
    RUN_FILE,
    TRACE_FILE,
    CellFiles,
    read_trace,
)
from hpobench_fds.records.folder import ResultsFolder, cell_folders, read_suite
from hpobench_fds.records.frames import load_results, load_retrained, load_runs
from hpobench_fds.records.safe_files import read_plain, write_atomic, writing
from hpobench_fds.records.schema import RunRecord

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".csv")
Prefer = Literal["first", "last"]


# ------------------------------------------------------------------------------------------- one table


Table = Literal["reports", "runs", "retrained"]
TABLES: dict[Table, Callable[[str | Path], pd.DataFrame]] = {
    "reports": load_results, "runs": load_runs, "retrained": load_retrained,
}  # fmt: skip


def export(folder: str | Path, out: str | Path, *, table: Table = "reports", force: bool = False) -> int:
    """Write the frame of reports, runs or retrainings as Parquet or CSV, by the suffix; returns its rows.

    In CSV lists and dicts are JSON text, in Parquet lists are lists and ``extra`` is JSON text. What JSON
    cannot hold is a string in it, as in the records: "Infinity", "NaN".

    Raises
    ------
    InputError : another suffix, a file that is there already (without ``force``), no results, no room.
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise InputError(f"no format for {out.suffix!r}", where=out, allowed=SUFFIXES)
    if out.exists() and not force:
        raise InputError("the file is there already: give --force to replace it", where=out)
    if table not in TABLES:
        raise InputError(f"got {table!r}", key="table", allowed=TABLES)
    frame = TABLES[table](folder)
    content = _as_csv(frame) if out.suffix == ".csv" else _as_parquet(frame)
    with writing(out):
        write_atomic(out, content)
    return len(frame)


def _text(value: Any) -> Any:
    return to_json(value, inf_nan_mode="strings").decode() if isinstance(value, (list, dict)) else value


def _as_csv(frame: pd.DataFrame) -> bytes:
    texts = {str(name): column.map(_text) for name, column in frame.items() if column.dtype == object}
    return frame.assign(**texts).to_csv(index=False).encode()


def _as_parquet(frame: pd.DataFrame) -> bytes:
    if "extra" in frame:  # each method has keys of its own: no one type fits them
        frame = frame.assign(extra=frame["extra"].map(_text))
    from pyarrow import ArrowException  # type: ignore[import-untyped]

    try:
        content: bytes = frame.to_parquet(index=False)
    except ArrowException as error:
        raise InputError(f"the records do not fit into one table: {error}") from error
    return content


# ------------------------------------------------------------------------------------- several folders


@dataclass
class Merged:
    """What became of a merge. ``warnings`` are for people who compare the seconds of the runs."""

    cells: int = 0
    twice: int = 0  # cells that several folders had
    warnings: list[str] = field(default_factory=list)


def merge(folders: Sequence[str | Path], out: str | Path, *, prefer: Prefer | None = None) -> Merged:
    """Copy the cells of several results folders of one suite into a new one, which appears at once or never.

    Of a cell in several folders a finished run goes before an unfinished one. Two different finished
    ones are refused, unless ``prefer`` says to take the first or the last folder's.

    Raises
    ------
    InputError : folders of different suites, a cell with two results, a folder ``out`` that is not empty
        or cannot be written.
    """
    paths, out = [Path(folder) for folder in folders], Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("there is something already: a merge needs a new folder", where=out)
    suites = [read_suite(path) for path in paths]
    result = Merged()
    with writing(out), _made_at_once(out) as new:
        for path, suite in zip(paths, suites, strict=True):
            try:
                ResultsFolder(new, {key: value for key, value in suite.items() if key != "schema_version"})
            except InputError as error:
                raise InputError(str(error).replace(str(new), "the folders before it"), where=path) from error
        chosen = _choose(paths, prefer, result)
        for place, source in chosen.items():
            _copy(source, new / "cells" / place)
    result.cells = len(chosen)
    return result


def _choose(paths: Sequence[Path], prefer: Prefer | None, result: Merged) -> dict[Path, Path]:
    """Which folder each cell is taken from, by its place below ``cells``."""
    chosen: dict[Path, Path] = {}
    devices = set()
    for path in paths:
        for source in cell_folders(path):
            record = CellFiles(source).record()
            if record is None:  # not begun
                continue
            place = source.relative_to(path / "cells")
            devices.add(record.device.get("name"))
            if place in chosen:
                result.twice += 1
                chosen[place] = _better(chosen[place], source, prefer)
            else:
                chosen[place] = source
    if len(devices) > 1:
        names = ", ".join(sorted(map(str, devices)))
        result.warnings.append(f"runs of different devices: their seconds cannot be compared ({names})")
    return chosen


def _better(first: Path, last: Path, prefer: Prefer | None) -> Path:
    old, new = _record(first), _record(last)
    if old.config_hash != new.config_hash:
        raise InputError(f"{last} was run with another configuration", where=first)
    rank = ("running", "interrupted", "failed", "complete")
    if rank.index(old.status) != rank.index(new.status):
        return last if rank.index(new.status) > rank.index(old.status) else first
    same = old == new and read_trace(first) == read_trace(last)
    if same or old.status != "complete" or prefer == "first":
        return first
    if prefer == "last":
        return last
    raise InputError(f"{last} holds another result of the same run: give --prefer first or last", where=first)


def _record(cell: Path) -> RunRecord:
    record = CellFiles(cell).record()
    assert record is not None
    return record


def _copy(source: Path, target: Path) -> None:
    """The plain files of a cell; no links, locks or half-written files."""
    target.mkdir(parents=True)
    # A run that was killed has failed, and goes on from its checkpoint if it is tried again.
    skipped = {LOCK_FILE, *([CHECKPOINT_FILE] if _record(source).status == "complete" else [])}
    for path in sorted(source.iterdir()):
        needed = path.name in (RUN_FILE, TRACE_FILE, PACKED_FILE)
        if needed or (path.name not in skipped and not path.name.startswith(".") and _is_plain(path)):
            (target / path.name).write_bytes(read_plain(path))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


@contextmanager
def _made_at_once(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that is moved to its place at the end, or removed if something fails."""
    out.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield new
        new.chmod(0o777 & ~_umask())  # mkdtemp's is for the owner alone
        if out.exists():
            out.rmdir()
        os.replace(new, out)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
