"""Checks the records of a results folder: torn, edited, foreign or inconsistent ones are found.

Everything that a record says twice is compared, and what follows from other numbers (incumbents, sums,
hashes) is worked out again. Digests catch edits by hand; they are no defence against a forger.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from hpobench_fds.errors import InputError
from hpobench_fds.plain import first_difference
from hpobench_fds.records.cell_files import (
    CHECKPOINT_FILE,
    ERROR_FILE,
    LOCK_FILE,
    OUTPUT_FILE,
    PACKED_FILE,
    RUN_FILE,
    TRACE_FILE,
    CellFiles,
    read_trace,
    reports_of,
)
from hpobench_fds.records.configuration import config_of, configuration_hash
from hpobench_fds.records.crowding import crowding
from hpobench_fds.records.extension import earlier_budgets
from hpobench_fds.records.folder import read_suite
from hpobench_fds.records.incumbents import incumbents
from hpobench_fds.records.mixed_code import mixed_code
from hpobench_fds.records.parsing import record_digest, trace_digest, whole_lines
from hpobench_fds.records.safe_files import read_plain
from hpobench_fds.records.schema import CostRecord, ReportRecord, RunRecord
from hpobench_fds.wording import printable

Level = Literal["error", "note"]
SETTLED = ("complete", "failed")
OUTSIDE = 1e-9  # share of a range that rounding may carry a schedule outside it
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
CLOCK_SLACK = 1e-3  # seconds that the clock's parts may miss of their sum


@dataclass(frozen=True)
class Finding:
    """Something about a file. An ``error`` makes its results untrustworthy, a ``note`` does not."""

    level: Level
    where: Path
    message: str

    def __str__(self) -> str:
        return printable(f"{self.level}: {self.where}: {self.message}")


@dataclass
class Verification:
    """What was looked at and what was found."""

    cells: int = 0
    reports: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not any(finding.level == "error" for finding in self.findings)

    def grouped(self) -> list[tuple[Finding, int]]:
        """The findings to be printed: the first of each kind about a file, and how many of it there are.

        Of one kind are those that differ in numbers alone, such as those of the reports of one trace.
        """
        counts: dict[tuple[str, Path, str], int] = {}
        first: dict[tuple[str, Path, str], Finding] = {}
        for finding in self.findings:
            kind = (finding.level, finding.where, _NUMBER.sub("0", finding.message))
            first.setdefault(kind, finding)
            counts[kind] = counts.get(kind, 0) + 1
        return [(first[kind], count) for kind, count in counts.items()]


def verify(folder: str | Path) -> Verification:
    """Check every record of a results folder; nothing is changed.

    Raises InputError if the folder holds no results at all.
    """
    folder = Path(folder)
    suite = read_suite(folder)
    result = Verification()
    undigested, records = 0, list[RunRecord]()
    for cell in _cell_folders(folder, result):
        check = _Cell(folder, cell, suite)
        result.findings += check.run()
        result.cells += 1
        result.reports += len(check.reports)
        undigested += check.undigested
        records += [check.record] if check.record else []
    result.findings += [Finding("error", folder, text) for text in mixed_code(records)]
    if undigested:
        text = f"{undigested} of {result.cells} runs carry no digest: they were written before there were any"
        result.findings.append(Finding("note", folder, text))
    return result


def _cell_folders(folder: Path, result: Verification) -> Iterator[Path]:
    """Folders of cells; whatever else lies among them is told of."""
    cells = folder / "cells"
    if cells.is_symlink():
        result.findings.append(Finding("error", cells, "a link, which no run makes"))
        return
    for path in sorted(cells.rglob("*")) if cells.is_dir() else []:
        depth = len(path.relative_to(cells).parts)
        if path.is_symlink():
            result.findings.append(Finding("error", path, "a link, which no run makes"))
        elif depth == 3 and path.is_dir() and re.fullmatch("seed-[0-9]+", path.name):
            yield path
        elif depth <= 3 and not (path.is_dir() and depth < 3):
            result.findings.append(Finding("error", path, "no part of any run"))


class _Cell:
    """The checks of one cell."""

    def __init__(self, folder: Path, cell: Path, suite: dict[str, Any]) -> None:
        self.folder, self.cell, self.suite = folder, cell, suite
        self.findings: list[Finding] = []
        self.content: bytes | None = None  # of the trace
        self.reports: list[ReportRecord] = []
        self.undigested = False
        self.record: RunRecord | None = None

    def run(self) -> list[Finding]:
        files = CellFiles(self.cell)
        try:
            record = files.record()
            if record is None:
                self._note("a folder without a run record: the run has not begun")
                return self.findings
            self.record = record
            self.content = read_trace(self.cell)
            self.reports = reports_of(self.content, self.cell)
        except InputError as error:
            self._error(str(error).removeprefix(f"{self.cell}/"))
            return self.findings
        self._files(record)
        self._place(record)
        self._trace(record)
        self._incumbents(record)
        self._retrained(record)
        self._sums(record)
        self._segments(record)
        self._digests(record)
        return self.findings

    def _error(self, message: str, file: str = "") -> None:
        self.findings.append(Finding("error", self.cell / file, message))

    def _note(self, message: str, file: str = "") -> None:
        self.findings.append(Finding("note", self.cell / file, message))

    def _expect(self, holds: bool, message: str, file: str = RUN_FILE) -> None:
        if not holds:
            self._error(message, file)

    def _expect_at_the_end(self, record: RunRecord, holds: bool, message: str) -> None:
        """Of a complete run. One that was killed wrote a line or two that nobody could still record."""
        if not holds and record.status in SETTLED:
            (self._error if record.status == "complete" else self._note)(message, RUN_FILE)

    def _files(self, record: RunRecord) -> None:
        known = {RUN_FILE, TRACE_FILE, PACKED_FILE, CHECKPOINT_FILE, ERROR_FILE, LOCK_FILE, OUTPUT_FILE}
        for path in sorted(self.cell.iterdir()):
            if path.name.endswith(".tmp"):
                self._note("left by a run that was killed while it wrote", path.name)
            elif path.name not in known:
                self._error("no file of a run", path.name)
        if (self.cell / PACKED_FILE).exists() and (self.cell / TRACE_FILE).exists():
            self._note("packed, but the trace itself is there as well, and read", PACKED_FILE)
        if record.status == "complete" and (self.cell / ERROR_FILE).exists():
            self._error("a complete run has no error", ERROR_FILE)

    def _place(self, record: RunRecord) -> None:
        """It is of this suite, and where it belongs."""
        problem, method, seed = self.cell.parts[-3:]
        named = (record.problem, record.method, f"seed-{record.seed}")
        self._expect(named == (problem, method, seed), f"the record is of {'/'.join(named)}")
        self._expect(record.suite == self.suite["name"], f"the record is of the suite {record.suite!r}")
        self._expect(record.seed in self.suite.get("seeds", []), f"the suite has no seed {record.seed}")
        problems, methods = self.suite.get("problems", {}), self.suite.get("methods", {})
        if problem not in problems or method not in methods:
            self._error("the suite has no such problem or method")
            return
        pairs = (
            ("problem_config", config_of(self.suite, problem, method), record.problem_config),
            ("adapter", methods[method]["adapter"], record.adapter),
            ("options", methods[method]["options"], record.options),
        )
        for name, expected, found in pairs:
            difference = first_difference(expected, found, name)
            self._expect(difference is None, f"not the suite's: {difference}")
        now, *before = (
            configuration_hash(record.problem_config, record.adapter, record.options, budget, record.seed)
            for budget in (problems[problem]["budget"], *earlier_budgets(self.suite, problem))
        )
        if record.config_hash in before:
            self._note("of the budget that the problem had before; not yet extended", RUN_FILE)
        else:
            self._expect(now == record.config_hash, "config_hash is not that of its configuration")

    def _trace(self, record: RunRecord) -> None:
        content = self.content or b""
        if len(whole_lines(content)) < len(content):
            # A run that was killed while it wrote leaves one, and is then recorded as failed.
            say = self._error if record.status == "complete" else self._note
            say("half a line at the end", TRACE_FILE)
        numbers = [report.report for report in self.reports]
        self._expect(
            numbers == list(range(len(numbers))), "reports are not numbered 0, 1, 2, ...", TRACE_FILE
        )
        for earlier, later in pairwise(self.reports):
            counts = [(getattr(earlier.cost, n), getattr(later.cost, n)) for n in CostRecord.model_fields]
            went_back = any(b < a for a, b in [(earlier.seconds, later.seconds), *counts])
            self._expect(not went_back, f"report {later.report}: seconds or costs went back", TRACE_FILE)
        low, high = _bounds(record)
        for report in self.reports:
            self._expect(
                not report.schedule
                if report.rule is not None
                else len(report.schedule) == len(record.schedule_names)
                and all(
                    a - OUTSIDE * (b - a) <= value <= b + OUTSIDE * (b - a)
                    for a, value, b in zip(low, report.schedule, high, strict=True)
                ),
                f"report {report.report}: the schedule is not in the space",
                TRACE_FILE,
            )
            measured = report.test_loss is not None and report.test_metric is not None
            self._expect(
                measured == report.incumbent,
                f"report {report.report}: test accuracy is measured of incumbents, and of no other",
                TRACE_FILE,
            )

    def _incumbents(self, record: RunRecord) -> None:
        objective = str(record.problem_config.get("objective"))
        by_numbers = incumbents(self.reports, record.budget, objective, record.incumbent_rule)
        better = {report.report for report in by_numbers}
        for report in self.reports:
            if report.incumbent != (report.report in better):
                said = "an incumbent" if report.incumbent else "no incumbent"
                self._error(f"report {report.report} is {said} by its flag, not by its numbers", TRACE_FILE)
        flagged = [report for report in self.reports if report.incumbent]
        best = flagged[-1] if flagged else None
        index, count = None if best is None else best.report, len(self.reports)
        same = record.reports == count
        self._expect_at_the_end(record, same, f"{record.reports} reports, the trace {count}")
        same = record.incumbent == index
        self._expect_at_the_end(record, same, f"the incumbent is {record.incumbent}, by the trace {index}")

    def _retrained(self, record: RunRecord) -> None:
        """Each draw of an incumbent (by the rule as it is now) once, and as the last word has it."""
        objective = str(record.problem_config.get("objective"))
        found = {report.report for report in incumbents(self.reports, record.budget, objective)}
        places = [(one.report, one.draw) for one in record.retrained]
        self._expect(len(set(places)) == len(places), "a draw of a report was retrained twice")
        final = record.final
        for one in record.retrained:
            self._expect(one.report in found, f"report {one.report} was retrained, and is no incumbent")
            if final is not None and (final.report, 0) == (one.report, one.draw):
                same = (final.test_loss, final.test_metric) == (one.test_loss, one.test_metric)
                self._expect(same, f"report {one.report}: draw 0 is not what the last word says of it")

    def _segments(self, record: RunRecord) -> None:
        """Where its parts ran, and whether it had the machine to itself."""
        began = [segment.seconds for segment in record.segments]
        in_order = began == sorted(began) and (not began or began[-1] <= record.clock.method + CLOCK_SLACK)
        self._expect(in_order, "the segments do not follow each other on its clock")
        if record.mixed_clock:
            self._note("its seconds add up segments unlike each other, as --mixed-clock allowed", RUN_FILE)
        if (text := crowding(record.clock.model_dump(), record.device.get("kind"))) is not None:
            self._note(text, RUN_FILE)

    def _sums(self, record: RunRecord) -> None:
        clock = record.clock
        parts = clock.booked
        self._expect(
            math.isclose(parts, clock.elapsed, rel_tol=1e-6, abs_tol=CLOCK_SLACK),
            f"method + referee + records + data = {parts:.3f} s, elapsed = {clock.elapsed:.3f} s",
        )
        last = self.reports[-1].seconds if self.reports else 0.0
        before = last <= clock.method + CLOCK_SLACK
        self._expect_at_the_end(record, before, f"the last report came at {last:.3f} s, after the end")
        if record.status == "complete":
            said = record.final is not None or bool(record.reason)
            self._expect(said, "complete, with neither a final accuracy nor a reason for none")
        if record.status == "failed":
            self._expect(bool(record.reason), "failed without a reason")

    def _digests(self, record: RunRecord) -> None:
        if record.status not in SETTLED:
            self._note(f"not finished: {record.status}", RUN_FILE)
            return
        if record.digest is None:
            self.undigested = True
            return
        digest = record_digest(read_plain(self.cell / RUN_FILE))
        self._expect(record.digest == digest, "edited: the digest is of other contents")
        found = trace_digest(self.content)
        self._expect(
            record.trace_sha256 == found, "edited: the trace is not the one that was recorded", TRACE_FILE
        )


def _bounds(record: RunRecord) -> tuple[list[float], list[float]]:
    """Low and high of each value of a schedule; without any where the record does not say."""
    space: Mapping[str, Any] = record.problem_config.get("space") or {}
    tables = []
    for name in record.schedule_names:
        owner, _, number = name.partition("[")[0].partition(".")
        table = space.get(owner) or {}
        tables.append(table.get(number) or {} if number in ("warmup", "final") else table)
    return (
        [float(table.get("low", -math.inf)) for table in tables],
        [float(table.get("high", math.inf)) for table in tables],
    )


def sentence(result: Verification, folder: Path) -> str:
    """One line that sums a verification up."""
    errors: Sequence[Finding] = [f for f in result.findings if f.level == "error"]
    verdict = "all sound" if not errors else f"{len(errors)} error{'s' * (len(errors) > 1)}"
    return f"{folder}: {result.cells} cells, {result.reports} reports: {verdict}"
