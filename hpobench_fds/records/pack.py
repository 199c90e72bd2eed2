"""Compressed traces: a results folder at a third of its size, which everything that reads one still reads."""

from __future__ import annotations

import gzip
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import PACKED_FILE, TRACE_FILE, CellFiles, Held
from hpobench_fds.records.folder import cell_folders, read_suite
from hpobench_fds.records.parsing import trace_digest
from hpobench_fds.records.safe_files import read_plain, write_atomic, writing


@dataclass
class Packed:
    """How many traces were packed, and their bytes before and after."""

    cells: int = 0
    before: int = 0
    after: int = 0


def pack(folder: str | Path) -> Packed:
    """Compress the traces of complete runs, cell by cell; those that a runner has are left alone.

    The same trace gives the same bytes. A digest is that of the trace itself, so it stays true. Checkpoints
    of complete runs are dropped: given a larger budget, these begin afresh.
    Raises InputError for a folder without results or one that cannot be written, and for a trace that is
    not the one that was recorded.
    """
    folder, packed = Path(folder), Packed()
    read_suite(folder)
    for cell in cell_folders(folder):
        if not (cell / TRACE_FILE).exists():
            continue
        files = CellFiles(cell)
        with suppress(Held), writing(cell), files.held():
            _pack_cell(files, packed)
    return packed


def _pack_cell(files: CellFiles, packed: Packed) -> None:
    record, path = files.record(), files.folder / TRACE_FILE
    if record is None or record.status != "complete":  # it may yet be gone on from
        return
    content = read_plain(path)
    if record.trace_sha256 not in (None, trace_digest(content)):
        raise InputError("edited: the trace is not the one that was recorded", where=path)
    small = gzip.compress(content, 9, mtime=0)
    write_atomic(files.folder / PACKED_FILE, small)
    files.drop_checkpoint()
    path.unlink()  # killed before this, a cell has both: the plain one is read, and packed again next time
    packed.cells, packed.before, packed.after = (
        packed.cells + 1, packed.before + len(content), packed.after + len(small),
    )  # fmt: skip
