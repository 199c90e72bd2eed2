"""What an interrupted or crashed run has left to go on from, and whether this machine may go on from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CHECKPOINT_FILE, CellFiles
from hpobench_fds.records.schema import ClockRecord, CostRecord, ReportRecord, RunRecord, SegmentRecord
from hpobench_fds.run.machine import Machine
from hpobench_fds.suite.cell import Cell

HASH = 40  # letters of a commit's hash
NO_LIBRARIES = ("hpobench_fds", "platform")  # of what is recorded as software
LIBRARIES = ("torch", "numpy")  # whose versions decide how long a step takes, and how it rounds


@dataclass(frozen=True)
class Earlier:
    """What an earlier attempt at a cell has left: its sums, its reports and the method's state."""

    clock: ClockRecord
    cost: CostRecord
    reports: list[ReportRecord]
    state: dict[str, Any] | None = None  # None with ``stopped``: only the referee's last word is missing
    stopped: str | None = None


def earlier_of(files: CellFiles, known: RunRecord | None, machine: Machine, cell: Cell) -> Earlier | None:
    """What to go on from; None to start afresh. Changes nothing.

    With a larger budget than it had, a run that ended on the smaller one has not stopped.
    """
    larger = known is not None and cell.is_extension_of(known.config_hash)
    if known is None or (known.status == "complete" and not larger):
        return None
    # An error of a method leaves no checkpoint; a process that was killed may leave a good one.
    if known.status == "failed" and not (files.folder / CHECKPOINT_FILE).exists():
        return None
    try:
        reports = files.reports()
    except InputError:  # a broken trace cannot be gone on from
        return None
    if known.stopped is not None and not larger:
        whole = len(reports) == known.reports
        return Earlier(known.clock, known.cost, reports, stopped=known.stopped) if whole else None
    checkpoint = files.load_checkpoint(machine.device)
    if checkpoint is None:
        return None
    written = str(checkpoint.get("config_hash"))
    if written != known.config_hash and not cell.is_extension_of(written):
        return None
    try:
        # The clock of schema 1 had an account that is gone.
        seconds = {k: v for k, v in checkpoint["clock"].items() if k != "compile"}
        clock, cost = ClockRecord(**seconds), CostRecord(**checkpoint["cost"])
        count, state = checkpoint["reports"], checkpoint["state"]
        spent = (*clock.model_dump(exclude_none=True).values(), *cost.model_dump().values())
        sound = 0 <= count <= len(reports) and all(0 <= value < math.inf for value in spent)
    except (AttributeError, KeyError, TypeError, ValueError):  # no runner wrote it
        return None
    return Earlier(clock, cost, reports[:count], state=state) if sound else None


# ------------------------------------------------------------------------------------------- segments


def segment_of(machine: Machine, seconds: float, started: str) -> SegmentRecord:
    """The segment of a run that begins on this machine, at so many seconds of the method's clock."""
    return _segment(machine, machine.description, seconds, started)


def segments_of(record: RunRecord) -> list[SegmentRecord]:
    """A run's segments; of a record of before there were any, the one that it tells of."""
    return record.segments or [_segment(record, record.device, 0.0, record.started)]


def _segment(
    told: Machine | RunRecord, device: Mapping[str, Any], seconds: float, started: str
) -> SegmentRecord:
    return SegmentRecord(
        seconds=seconds,
        started=started,
        threads=device.get("threads"),
        jobs=told.jobs,
        kind=device.get("kind"),
        name=device.get("name"),
        commit=told.commit,
        software=told.software,
    )


def unlike(old: SegmentRecord, new: SegmentRecord) -> list[str]:
    """In what two segments differ that moves a clock, in words; nothing of what either does not tell."""
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in ("kind", "name", "threads", "jobs")]
    pairs += [("commit", old.commit, new.commit)]
    pairs += [(name, old.software.get(name), new.software.get(name)) for name in LIBRARIES]
    words = {"kind": "device", "name": "device"}
    return [
        f"{words.get(name, name)} {_short(before)}, now {_short(now)}"
        for name, before, now in pairs
        if None not in (before, now) and before != now
    ]


def libraries(known: RunRecord, new: SegmentRecord) -> list[str]:
    """Which libraries of a run's last segment have another version now, in words: whatever is recorded."""
    old = segments_of(known)[-1].software
    return [
        f"{name} {old[name]}, now {new.software[name]}"
        for name in old
        if name in new.software and name not in NO_LIBRARIES and old[name] != new.software[name]
    ]


def unreadable(
    files: CellFiles, known: RunRecord | None, earlier: Earlier | None, new: SegmentRecord
) -> str | None:
    """Why a checkpoint that cannot be read must not be given up, in a line; None if none is at stake.

    With the libraries that wrote it, it may well be read.
    """
    if known is None or earlier is not None or known.status == "complete":
        return None
    checkpoint = files.folder / CHECKPOINT_FILE
    found = libraries(known, new)
    if not found or not checkpoint.exists() or files.load_checkpoint() is not None:
        return None
    return (
        f"its checkpoint cannot be read here, and it was written with {'; '.join(found)} (go on with these, "
        "choose another --out, or remove the cell's folder to start it afresh)"
    )


def _short(value: object) -> str:
    """A commit by its first letters."""
    text = str(value)
    commit, mark, _ = text.partition("-dirty")
    return f"{commit[:10]}{mark}" if len(commit) == HASH else text


def refusal(known: RunRecord, earlier: Earlier | None, new: SegmentRecord) -> str | None:
    """Why a run that is limited in seconds must not go on here, in a line; None if it may.

    Only the method's own time counts: where the referee's word alone is missing, any machine will do.
    """
    if earlier is None or earlier.stopped is not None or known.budget.get("seconds") is None:
        return None
    found = list(dict.fromkeys(text for old in segments_of(known) for text in unlike(old, new)))
    if not found or known.mixed_clock:
        return None
    return (
        f"it cannot go on here, since seconds unlike each other cannot be added up: it began with "
        f"{'; '.join(found)} (choose another --out, remove the cell's folder to start it afresh, or give "
        "--mixed-clock to allow it)"
    )
