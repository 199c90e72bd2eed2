"""What the runner and the process of a cell say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.schema import ReportRecord
from hpobench_fds.run.backends.shared_data import SharedProblem
from hpobench_fds.run.machine import Machine
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.watcher import CellResult
from hpobench_fds.suite.cell import Cell


@dataclass(frozen=True)
class Order:
    """A cell, and all that its process has to know. ``output`` is the file for what it prints."""

    cell: Cell
    store: ResultsFolder
    problem: SharedProblem
    machine: Machine
    threads: int
    retry_failed: bool
    mixed_clock: bool
    output: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Begun:
    """The cell's record has been opened. Never sent for a cell that turns out to be settled."""

    spent: Spent


@dataclass(frozen=True)
class Beat:
    """The cell is alive, and so far."""

    spent: Spent


@dataclass(frozen=True)
class Reported:
    """The method has reported."""

    report: ReportRecord
    spent: Spent


@dataclass(frozen=True)
class Ended:
    """What became of the cell; ``interrupted`` if a signal ended it."""

    result: CellResult


@dataclass(frozen=True)
class Broken:
    """An error outside of the method: bad input (``trace`` is None), or a process that cannot be set up."""

    reason: str
    trace: str | None = None


Message = Begun | Beat | Reported | Ended | Broken
