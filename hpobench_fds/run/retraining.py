"""Retrained curves for records that are there already: off every clock, and nothing else of them changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from hpobench_fds.errors import InputError
from hpobench_fds.plain import content_hash
from hpobench_fds.records.cell_files import RUN_FILE, CellFiles, Held, read_trace
from hpobench_fds.records.folder import cell_folders, read_suite
from hpobench_fds.records.parsing import invalid, record_digest, trace_digest
from hpobench_fds.records.safe_files import read_plain, writing
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.run.earlier import segment_of
from hpobench_fds.run.machine import describe_machine, find_device, now, threads_that_fit
from hpobench_fds.run.referee import Referee, missing, refuse_without_values, retrain_curve
from hpobench_fds.suite.cell import RefereeConfig
from hpobench_fds.suite.code import code_of, refuse_edited
from hpobench_fds.training.problem import Problem, ProblemConfig, TestData, load_problem
from hpobench_fds.typed import validated


@dataclass
class Refereed:
    """What was done: cells that gained retrainings, those that had all, and those that were left alone."""

    retrained: int = 0  # cells
    retrainings: int = 0
    had_all: int = 0  # cells
    held: int = 0  # cells that a runner has
    unfinished: int = 0  # cells whose run has not ended, or failed


def referee_folder(
    folder: str | Path,
    *,
    draws: int = 1,
    points: int | str = 1,
    device: str | None = None,
    data_root: str | Path | None = None,
    download: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Refereed:
    """Retrain incumbents of every complete run of a results folder that were not retrained so yet.

    Each retraining is on disk when it is done, with digests that are true, so that an interruption costs
    one. A cell that a runner has is left alone, and so is one that is not complete.

    Parameters
    ----------
    draws, points : of each incumbent, and how many incumbents of a run ("all" for all), as in a suite's
        ``[referee]``.
    device : auto, cpu, cuda or cuda:N; of the kind that a run was on if not given.
    data_root, download : where data sets are, and whether missing ones may be downloaded to it.
    tell : is given a line a cell.

    Raises
    ------
    InputError : no results, a record that was edited, data that is not there, no room on the disk.
    """
    folder, done = Path(folder), Refereed()
    asked = validated(RefereeConfig, {"draws": draws, "points": points}, where="referee")
    read_suite(folder)
    load = _Problems(device, Path(data_root) if data_root else None, download)
    for place in cell_folders(folder):
        files = CellFiles(place)
        if files.record() is None:
            continue
        try:
            with writing(place, "what was retrained before is recorded"), files.held(), threads_that_fit():
                _cell(files, asked, load, done, tell)
        except Held:
            done.held += 1
    return done


def _cell(
    files: CellFiles, asked: RefereeConfig, load: _Problems, done: Refereed, tell: Callable[[str], None]
) -> None:
    record = files.record()  # as it is now that it is held
    if record is None or record.status != "complete":
        done.unfinished += 1
        return
    reports = files.reports()
    wanted = missing(record, reports, asked)
    if not wanted:
        done.had_all += 1
        return
    _check(files, record)
    problem, test = load(record, files)
    referee = Referee(problem, test, record.seed)
    where = segment_of(describe_machine(problem.device), record.clock.method, now())
    record.refereed = [*record.refereed, where]
    retrain_curve(record, reports, referee, problem, asked, lambda: files.write_record(record))
    done.retrained += 1
    done.retrainings += len(wanted)
    tell(f"{record.problem}/{record.method}/seed-{record.seed}: {len(wanted)} retrainings")


def _check(files: CellFiles, record: RunRecord) -> None:
    """New digests must not make an edited record look sound. Raises InputError."""
    path = files.folder / RUN_FILE
    refuse_without_values(record, path)
    if record.digest is None:
        return
    whole = record.digest == record_digest(read_plain(path))
    if not whole or record.trace_sha256 != trace_digest(read_trace(files.folder)):
        raise InputError("edited: its digests are of other contents, see hpobench verify", where=path)


class _Problems:
    """Problems by what records say of them, the last one kept."""

    def __init__(self, device: str | None, root: Path | None, download: bool) -> None:
        self._device, self._root, self._download = device, root, download
        self._key = ""
        self._loaded: tuple[Problem, TestData] | None = None

    def __call__(self, record: RunRecord, files: CellFiles) -> tuple[Problem, TestData]:
        """The problem of a run, on the device of its kind. Raises InputError."""
        kind = self._device or str(record.device.get("kind") or "cpu")
        key = content_hash({"config": record.problem_config, "device": kind})
        if self._loaded is None or key != self._key:
            self._key, self._loaded = key, self._load(record, find_device(kind, where="--device"), files)
        return self._loaded

    def _load(self, record: RunRecord, device: torch.device, files: CellFiles) -> tuple[Problem, TestData]:
        try:
            config = ProblemConfig.model_validate(record.problem_config)
        except ValidationError as error:
            raise invalid("no problem of this version", files.folder / RUN_FILE, error) from error
        found = code_of("", config.model, config.dataset, Path())
        model = {path: record.sources[path] for path in found if path in record.sources}
        refuse_edited(f"{record.problem}/{record.method}", model, found, files.folder)
        problem, test = load_problem(
            config, name=record.problem, device=device, root=self._root, download=self._download
        )
        if problem.space.names != record.schedule_names:
            text = f"its schedules are of {len(record.schedule_names)} values, the problem's of another kind"
            raise InputError(text, where=files.folder / RUN_FILE)
        return problem, test
