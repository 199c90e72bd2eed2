"""What a run tells while it goes on and at its end, and who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from hpobench_fds.records.schema import ReportRecord, RunRecord
from hpobench_fds.run.spent import Spent
from hpobench_fds.suite.cell import Cell
from hpobench_fds.wording import printable

Verdict = Literal["complete", "failed", "interrupted", "complete before", "failed before", "held", "refused"]

MOST_SHOWN = 8  # cells that a summary tells of one by one


@dataclass(frozen=True, repr=False)
class CellResult:
    """What became of a cell.

    ``held``: another runner has it; ``... before``: there was nothing to do; ``interrupted``: it goes on
    when it is run again; ``refused``: it would not go on here, ``why`` says in a line why, and it is left as
    it is. ``record`` is what is on the disk, or was to be there when the disk is full.
    """

    cell: Cell
    verdict: Verdict
    record: RunRecord | None = None
    why: str | None = None

    def __str__(self) -> str:
        """A line: the cell, what became of it, and why if it is not complete."""
        why = self.why or (self.record.reason if self.record else None)
        return printable(f"{self.cell}: {self.verdict}" + (f": {why}" if why else ""))

    def __repr__(self) -> str:
        return f"<CellResult {self}>"  # a record has a hundred lines


@dataclass(frozen=True, repr=False)
class RunSummary:
    """What became of a suite, and where its records are."""

    folder: Path
    results: list[CellResult] = field(default_factory=list)

    def __repr__(self) -> str:
        """What became of the cells, and of each that is not complete why: a few lines in a notebook."""
        counts = Counter(result.verdict for result in self.results)
        states = ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no cells"
        wrong = [result for result in self.results if not result.verdict.startswith("complete")]
        lines = [f"RunSummary of {self.folder}: {states}", *map(str, wrong[:MOST_SHOWN])]
        if len(wrong) > MOST_SHOWN:
            lines.append(f"and {len(wrong) - MOST_SHOWN} more that are not complete: see its results")
        return "\n  ".join(lines)

    def count(self, *verdicts: Verdict) -> int:
        return sum(result.verdict in verdicts for result in self.results)

    @property
    def exit_code(self) -> int:
        """1 if the results hold a failed or an unfinished run, else 0."""
        return 1 if self.count("failed", "failed before", "interrupted", "refused") else 0


class Watcher(Protocol):
    """Is told how a suite gets on, off the method's clock; by one thread at a time."""

    def plan(self, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int) -> None:
        """All cells, those that are to be run, and how many of these at a time."""

    def begin(self, cell: Cell, spent: Callable[[], Spent]) -> None:
        """A cell starts; how far it is may be asked while it runs, from any thread."""

    def report(self, cell: Cell, report: ReportRecord) -> None:
        """A method has reported."""

    def end(self, result: CellResult) -> None:
        """A cell that was to be run is done with, if only because another runner has it."""


class Quiet:
    """The watcher that does nothing."""

    def plan(self, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int) -> None: ...
    def begin(self, cell: Cell, spent: Callable[[], Spent]) -> None: ...
    def report(self, cell: Cell, report: ReportRecord) -> None: ...
    def end(self, result: CellResult) -> None: ...
