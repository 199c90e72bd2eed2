"""Compressed traces: a results folder at a third of its size, which everything that reads one still reads."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import PACKED_FILE, TRACE_FILE, CellFiles, Held, read_trace
from hpobench_fds.records.folder import cell_folders, read_suite
from hpobench_fds.records.parsing import trace_digest
from hpobench_fds.records.safe_files import write_atomic, writing


@dataclass
class Packed:
    """How many traces were packed, and their bytes before and after."""

    cells: int = 0
    before: int = 0
    after: int = 0


def pack(folder: str | Path, *, values: bool = True) -> Packed:
    """Compress the traces of complete runs, cell by cell; those that a runner has are left alone.

    The same trace gives the same bytes. A digest is that of the trace itself, so it stays true. Checkpoints
    of complete runs are dropped: given a larger budget, these begin afresh.

    Parameters
    ----------
    values : False leaves out the hyperparameters' values of each step, which incumbents of greedy methods
        carry, and which are most of a trace over a long horizon. Their schedules' means over windows stay,
        and so does what was retrained; but they cannot be trained again. The record keeps the whole trace's
        digest beside the new one, also where the trace was packed before.

    Raises InputError for a folder without results or one that cannot be written, and for a trace that is
    not the one that was recorded.
    """
    folder, packed = Path(folder), Packed()
    read_suite(folder)
    for cell in cell_folders(folder):
        if values and not (cell / TRACE_FILE).exists():
            continue
        files = CellFiles(cell)
        with suppress(Held), writing(cell), files.held():
            _pack_cell(files, packed, values)
    return packed


def _pack_cell(files: CellFiles, packed: Packed, values: bool) -> None:
    record, plain = files.record(), files.folder / TRACE_FILE
    if record is None or record.status != "complete":  # it may yet be gone on from
        return
    content = read_trace(files.folder)
    if content is None:
        return
    found = trace_digest(content)
    # Killed while values were left out: the trace is the new one, the record still tells of the old one.
    halfway = record.whole_trace_sha256 is not None and record.whole_trace_sha256 == record.trace_sha256
    if record.trace_sha256 not in (None, found) and not halfway:
        raise InputError("edited: the trace is not the one that was recorded", where=plain)
    kept = content if values else _without_values(content)
    if kept == content and not halfway and not plain.exists():
        return  # packed before
    if kept != content:
        record.whole_trace_sha256 = record.whole_trace_sha256 or found
        files.write_record(record)
    small = gzip.compress(kept, 9, mtime=0)
    write_atomic(files.folder / PACKED_FILE, small)
    files.drop_checkpoint()
    # Killed before this, a cell has both: the plain one is read, and packed again next time.
    plain.unlink(missing_ok=True)
    if kept != content or halfway:
        files.write_record(record)
    packed.cells, packed.before, packed.after = (
        packed.cells + 1, packed.before + len(content), packed.after + len(small),
    )  # fmt: skip


def _without_values(content: bytes) -> bytes:
    """The lines of a trace; those that carry values of each step without these."""
    lines = []
    for line in content.splitlines(keepends=True):
        if b'"values":[' in line:
            told = json.loads(line)
            told["values"] = None
            line = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        lines.append(line)
    return b"".join(lines)
