"""The files of one cell: written so that a crash costs little, and read back.

``run.json`` and the checkpoint are replaced in one piece; ``trace.jsonl`` grows a line at a time, and half
a line at its end is dropped.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from hpobench_fds.errors import InputError
from hpobench_fds.plain import require_plain
from hpobench_fds.records.migrations import migrated
from hpobench_fds.records.parsing import (
    invalid,
    parse_lines,
    plain_object,
    record_digest,
    trace_digest,
    unquote_infinity,
    whole_lines,
)
from hpobench_fds.records.safe_files import read_plain, take_lock, write_atomic
from hpobench_fds.records.schema import ReportRecord, RunRecord

if TYPE_CHECKING:  # it takes seconds to import, and checkpoints alone need it
    import torch

RUN_FILE, TRACE_FILE = "run.json", "trace.jsonl"
PACKED_FILE = "trace.jsonl.gz"  # the same, as ``pack`` leaves it
MOST_UNPACKED = 2**30  # bytes; a small file may claim to be a large one
CHECKPOINT_FILE, ERROR_FILE, LOCK_FILE = "checkpoint.pt", "error.txt", "lock"
OUTPUT_FILE = "output.txt"  # what a cell's process prints


class Held(Exception):  # noqa: N818 -- a finding, not a fault
    """Another runner holds the cell."""


class CellFiles:
    """The files of one cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lock(self) -> FileLock:
        """The cell's lock, taken; released by its ``release``. Raises Held if another runner has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return take_lock(self.folder / LOCK_FILE)
        except Timeout as error:
            raise Held(str(self.folder)) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block in which the cell is this runner's. Raises Held if it is another's."""
        lock = self.lock()
        try:
            yield
        finally:
            lock.release()

    def record(self) -> RunRecord | None:
        """What ``run.json`` says; None if the cell was never begun. Raises InputError if it is broken."""
        path = self.folder / RUN_FILE
        try:
            return RunRecord.model_validate(migrated(plain_object(unquote_infinity(read_plain(path)))))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise invalid("no run record", path, error) from error
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


def reports_of(trace: bytes | None, cell: Path) -> list[ReportRecord]:
    """The whole lines of a trace that was read from ``cell``. Raises InputError if one is no report."""
    path = cell / TRACE_FILE
    try:
        return [ReportRecord.model_validate(row) for row in parse_lines(trace or b"", path)]
    except ValidationError as error:
        raise invalid("no report", path, error) from error
