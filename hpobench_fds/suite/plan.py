"""What a suite would run, before it runs: its cells, what is settled already, how long it may take."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hpobench_fds.records.folder import ResultsFolder, files_of_cell
from hpobench_fds.records.frames import load_runs
from hpobench_fds.suite.cell import Cell, part_of, with_earlier_budgets
from hpobench_fds.suite.code import refuse_edited
from hpobench_fds.suite.config import Suite, load_suite

TO_DO = "to do"


@dataclass(frozen=True)
class Planned:
    """A cell, what is on record of it, and the seconds its method may still take (None: unknown)."""

    cell: Cell
    status: str
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """All cells of a suite.

    ``overhead`` is what the referee and records took on top of a second of method time in the runs on
    record, None without any.
    """

    folder: Path
    cells: list[Planned]
    overhead: float | None

    @property
    def todo(self) -> list[Planned]:
        return [planned for planned in self.cells if planned.status == TO_DO]

    def seconds(self, jobs: int = 1) -> float | None:
        """Wall-clock of what is to do, with ``jobs`` at a time; None if any cell's is unknown."""
        ends = [0.0] * jobs  # of what each job does; the next cell goes to the one that is free first
        for planned in self.todo:
            if planned.seconds is None:
                return None
            heapq.heapreplace(ends, ends[0] + planned.seconds * (1.0 + (self.overhead or 0.0)))
        return max(ends)

    def referee(self) -> list[str]:
        """What the referee does in each cell that is to do, a line a problem; see ``referee_cost``."""
        cells = {planned.cell.problem: planned.cell for planned in self.todo}
        return [referee_cost(cell) for cell in cells.values()]


def plan(
    suite: Suite | str | Path,
    out: str | Path | None = None,
    *,
    problems: str | Iterable[str] | None = None,
    methods: str | Iterable[str] | None = None,
    seeds: object = None,
    part: str | tuple[int, int] | None = None,
    retry_failed: bool = False,
    extend: bool = False,
) -> Plan:
    """Work out what ``run_suite`` would do with the same arguments; nothing is written or trained.

    A budget in seconds is the most a method takes. Where there is none, runs of the same problem and
    method on record say how long it took. Raises InputError as ``run_suite`` does.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(suite)
    folder = Path(out) if out is not None else Path("results") / suite.name
    known = ResultsFolder.check(folder, suite.describe(), extend)
    on_record = folder.is_dir() and any(folder.iterdir())
    taken, overhead = _history(folder) if on_record else ({}, None)
    cells = []
    wanted = part_of(suite.cells(problems=problems, methods=methods, seeds=seeds), part)
    for cell in with_earlier_budgets(wanted, known):
        record = files_of_cell(folder, cell.problem, cell.method, cell.seed).record() if on_record else None
        if record is not None and (record.status != "failed" or not retry_failed):
            refuse_edited(cell, record.sources, cell.sources, folder)
        status = TO_DO if record is None or record.status in ("running", "interrupted") else record.status
        larger = record is not None and cell.is_extension_of(record.config_hash)
        if (status == "failed" and retry_failed) or (status == "complete" and larger):
            status = TO_DO
        seconds = cell.budget.seconds or taken.get((cell.problem, cell.method))
        cells.append(Planned(cell, status, seconds))
    return Plan(folder, cells, overhead)


def referee_cost(cell: Cell) -> str:
    """The most that the referee retrains in a cell, as a share of the budget where both are in steps."""
    asked, config, budget = cell.referee, cell.config, cell.budget
    count = asked.retrainings()
    if count is None:
        each = f"each incumbent in {asked.draws} draws, and the last schedule"
        return f"referee: {cell.problem}: retrains {each}"
    by = f"points {asked.points} x draws {asked.draws}, and the last schedule"
    text = f"referee: {cell.problem}: at most {count} retrainings a cell ({by})"
    if config.final_epochs is not None:
        return f"{text} of {config.final_epochs:g} epochs"
    if config.horizon is None:
        epochs = config.epochs or 0.0
        return f"{text} of {epochs:g} epochs{_share(count * epochs, budget.epochs)}"
    steps = count * config.horizon
    return f"{text}: {steps} inner steps{_share(steps, budget.steps)}"


def _share(work: float, budget: float | None) -> str:
    return f", {100 * work / budget:.0f} % of the budget" if budget else ""


def _history(folder: Path) -> tuple[dict[tuple[str, str], float], float | None]:
    """Median seconds of complete runs by problem and method, and the time spent beside the methods."""
    runs = load_runs(folder)
    runs = runs[(runs["status"] == "complete") & (runs["seconds"] > 0)]
    if runs.empty:
        return {}, None
    groups = runs.groupby(["problem", "method"])["seconds"]
    taken = {(str(key[0]), str(key[1])): float(seconds) for key, seconds in groups.median().items()}  # type: ignore[index]
    beside = (runs["elapsed_seconds"] - runs["seconds"]) / runs["seconds"]
    return taken, float(statistics.median(beside))
