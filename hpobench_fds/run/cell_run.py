"""One run of one cell (problem x method x seed), recorded: fair, resumable, its failure ends nothing else.

``run_cell`` depends on nothing but its arguments, so that cells can be run anywhere.
"""

from __future__ import annotations

import gc
import random
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from filelock import BaseFileLock

from hpobench_fds.errors import InputError
from hpobench_fds.method.contract import Deaf, Method, Task
from hpobench_fds.method.registry import parse_options, resolve
from hpobench_fds.records.cell_files import ERROR_FILE, CellFiles, Held
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.incumbents import RULE, incumbents, is_in_time
from hpobench_fds.records.schema import DataRecord, RunRecord, SegmentRecord, Status
from hpobench_fds.run.earlier import (
    Earlier,
    earlier_of,
    libraries,
    refusal,
    segment_of,
    segments_of,
    unreadable,
)
from hpobench_fds.run.honesty import Honesty
from hpobench_fds.run.machine import Machine, now
from hpobench_fds.run.recorder import Ears, Recorder
from hpobench_fds.run.referee import Referee, retrain_curve, schedule_of
from hpobench_fds.run.spent import RunClock, Spent, clock_record, cost_of, cost_record
from hpobench_fds.run.watcher import CellResult, Quiet, Watcher
from hpobench_fds.seeds import derive
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.code import code_of, edited, refuse_edited
from hpobench_fds.training.clock import Budget, Clock, synchroniser
from hpobench_fds.training.problem import Problem, TestData
from hpobench_fds.training.recorded import forget_recordings
from hpobench_fds.training.trainer import Trainer
from hpobench_fds.wording import in_a_line

LOCK_WAIT = 0.2  # seconds; other runners hold a lock for a moment when they look whether it is free
BUDGET = "budget"  # what a method says that stopped on it
MOST_ATTEMPTS = 3  # a cell whose process died that often without getting any further has failed


class _Run:
    """One attempt at a cell, from where an earlier one left off if there was one."""

    def __init__(
        self,
        cell: Cell,
        files: CellFiles,
        problem: Problem,
        test: TestData,
        machine: Machine,
        known: RunRecord | None,
        earlier: Earlier | None,
        segment: SegmentRecord,
        watch: Watcher,
        source: Callable[[], float],
    ) -> None:
        self.cell, self.files, self.problem, self.earlier = cell, files, problem, earlier
        self.begun = False  # until then the files are as an earlier attempt left them
        self.edited = known is not None and edited(known.sources, cell.sources) is not None
        seconds, cost = (earlier.clock, cost_of(earlier.cost)) if earlier else (None, None)
        self.clock = RunClock(source, synchroniser(machine.device), seconds, cost)
        steps = cell.budget.inner_steps(problem.steps_per_epoch)
        self.budget = Budget(self.clock, cell.budget.seconds, steps, cell.budget.gradient_equivalents)
        self.referee = Referee(problem, test, cell.seed)
        self.honesty = Honesty(problem, cell.seed, self.clock, source)
        self.recorder = Recorder(
            cell, problem, self.referee, files, self.clock, self.budget,
            earlier.reports if earlier else (), watch, source,
            known.incumbent_rule if known and earlier else RULE, self.honesty,
        )  # fmt: skip
        self.record = new_record(cell, problem.steps_per_epoch, machine)
        self.record.attempts = _attempt(known, earlier)
        self.record.data = DataRecord(
            classes=problem.classes,
            metric=problem.objective.metric.name,
            train=len(problem.y),
            test=len(test.y),
            labels=list(problem.labels),
            digest=problem.digest,
            software=dict(problem.software),
            least_expected_loss=test.least,
        )
        self.segment = segment
        self.libraries = "; ".join(libraries(known, segment)) if known is not None and earlier else ""
        if known is not None and earlier is not None:
            self.record.stopped, self.record.incumbent_rule = earlier.stopped, known.incumbent_rule
            self.record.retrained = known.retrained if earlier.stopped else []
            self.record.started, self.record.resumed = known.started, known.resumed
            self.record.segments = [*segments_of(known)]
            self.record.mixed_clock = known.mixed_clock or refusal(known, earlier, segment) is not None

        if known is not None:
            larger = cell.is_extension_of(known.config_hash)
            self.record.extended = [*known.extended, *([known.budget] if larger else [])]

    def spent(self) -> Spent:
        return Spent.of(self.budget)

    def go(self) -> RunRecord:
        """Run to the end, whatever that is; a method's error is recorded, an interruption passed on."""
        try:
            if self.record.attempts > MOST_ATTEMPTS:
                raise GivenUp(f"its process died {MOST_ATTEMPTS} times without getting any further")
            if self.edited:  # nobody may go on from what other code has left
                self.files.clear()
            self._save("running")
            self._run()
        except KeyboardInterrupt:
            with suppress(OSError):  # a full disk: what is there says "running", and goes on as well
                self._save("interrupted")
            raise
        except (Exception, SystemExit) as error:
            reason = in_a_line(error)
            if self._cannot_go_on():
                reason += f" (it began with {self.libraries}; its checkpoint is kept)"
            self._fail(reason, traceback.format_exc())
        return self.record

    def _cannot_go_on(self) -> bool:
        """Whether other libraries have not got any further from a checkpoint: it may be good with its own."""
        if self.earlier is None or not self.libraries:
            return False
        return self.recorder.count == len(self.earlier.reports)

    def _fail(self, reason: str, trace: str) -> None:
        with suppress(OSError):
            self.files.write_error(trace)
        try:
            self._save("failed", reason)
        except OSError as full:
            self.record.reason = f"{reason}; it could not be recorded: {full.strerror}"

    def _run(self) -> None:
        method = _build(self.cell)
        self.record.family = method.family
        self.record.traits, self.record.appearance = method.traits(), method.appearance()
        if (reason := method.skip(self.problem)) is not None:
            self._begin()
            self.record.stopped = "skipped"
            self._save("complete", reason=reason)
            return
        warm_up(method, self.problem)
        self._begin()
        self.clock.start()
        self.honesty.begin(resumed=self.earlier is not None)
        try:
            if self.record.stopped is None:
                self.record.stopped = self._spend(method)
                self.record.attempts = 1
            with self.clock.charge("referee"):
                # Known to have stopped: should the referee be interrupted, only its part is repeated.
                self._save("running")
                self._retrain()
        finally:
            self.clock.stop()
        none = None if self.record.final else "no finite evaluation within the budget"
        self._save("complete", reason=none)

    def _begin(self) -> None:
        """All is there to start with: drop what an earlier attempt has left that is not gone on from."""
        for torn in self.files.folder.glob(".*.tmp"):  # a process was killed while it wrote
            torn.unlink(missing_ok=True)
        if self.earlier is None:
            self.files.clear()
        else:
            self.files.keep_reports(len(self.earlier.reports))
            (self.files.folder / ERROR_FILE).unlink(missing_ok=True)
            self.record.resumed += 1
        self.record.segments.append(self.segment)
        self.begun = True
        self._save("running")

    def _spend(self, method: Method) -> str:
        """Let the method spend its budget; why it stopped."""
        # Libraries that draw from a global stream draw the same again.
        seed = derive(self.cell.seed, "global", method.name)
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        aside = self.honesty.making_data
        trainer = Trainer(self.problem, self.cell.seed, self.clock, self.budget, aside)
        restored = self.earlier.state if self.earlier else None
        task = Task(trainer, Ears(self.recorder), method_name=method.name, restored=restored)
        stopped = str(method.run(task) or "done")
        self.honesty.look()
        return stopped

    def _retrain(self) -> None:
        """The referee's part: the last incumbent first, so that least is lost if it is interrupted."""
        reports = self.files.reports()

        def keep() -> None:
            with self.clock.charge("records"):
                self._save("running")

        retrain_curve(self.record, reports, self.referee, self.problem, self.cell.referee, keep)
        best = incumbents(reports, self.record.budget, self.problem.config.objective)
        if best:
            schedules = (schedule_of(report, self.problem) for report in (best[-1], reports[-1]))
            self.record.final = self.referee.final(*schedules)
            self.record.final.report = best[-1].report
            self.record.final.by_step = best[-1].values is not None

    def _save(self, status: Status, reason: str | None = None) -> None:
        self.record.status, self.record.reason = status, reason
        self.record.clock, self.record.cost = clock_record(self.clock), cost_record(self.clock)
        self.record.reports = self.recorder.count
        self.record.incumbent = self.recorder.incumbent.report if self.recorder.incumbent else None
        self.record.finished = now() if status in ("complete", "failed") else None
        self.files.write_record(self.record)
        if self.record.finished and self.begun and not self._is_kept(status):
            self.files.drop_checkpoint()

    def _is_kept(self, status: Status) -> bool:
        """Whether a checkpoint may still be of use: with other libraries, or with a larger budget."""
        return self._cannot_go_on() if status == "failed" else self.record.stopped == BUDGET


def run_cell(
    cell: Cell,
    store: ResultsFolder,
    problem: Problem,
    test: TestData,
    machine: Machine,
    *,
    retry_failed: bool = False,
    mixed_clock: bool = False,
    watch: Watcher | None = None,
    source: Callable[[], float] = time.monotonic,
) -> CellResult:
    """Run a cell, unless it has been run or another runner holds it, and record how it went.

    Parameters
    ----------
    problem, test : the cell's problem as ``load_problem`` gives it; nothing is left behind in them.
    retry_failed : run a failed cell again: after an error from the start, but where the process was
        killed, from its last checkpoint.
    mixed_clock : go on with a run that is limited in seconds where these are unlike those before: another
        device, other threads, jobs, commit or libraries. It is refused if not, and left as it is.
    watch : is told of its beginning and of its reports.
    source : monotonic time in seconds; tests pass a fake one.

    Raises
    ------
    InputError : the cell's folder holds a run of another configuration, or of other code.
    KeyboardInterrupt : after the cell has been recorded as interrupted.
    """
    watch, problem = watch or Quiet(), problem.seen_as(cell.config)
    files = store.cell(cell.problem, cell.method, cell.seed)
    try:
        lock = lock_soon(files, LOCK_WAIT)
    except Held:
        return CellResult(cell, "held")
    except OSError as error:
        return unrecorded(cell, problem, machine, error)
    try:
        if (settled := settled_before(cell, files, retry_failed)) is not None:
            return settled
        known = files.record()
        same_code = known is None or edited(known.sources, cell.sources) is None
        larger = known is not None and cell.is_extension_of(known.config_hash)
        if known is not None and larger and ended_by_itself(known, files):
            return CellResult(cell, "complete before", relabelled(cell, known, problem, files))
        earlier = earlier_of(files, known, machine, cell) if same_code else None
        segment = segment_of(machine, earlier.clock.method if earlier else 0.0, now())
        why = _edited_meanwhile(cell) or (unreadable(files, known, earlier, segment) if same_code else None)
        if why is None and known is not None and not mixed_clock:
            why = refusal(known, earlier, segment)
        if why is not None:
            return CellResult(cell, "refused", known, why)
        run = _Run(cell, files, problem, test, machine, known, earlier, segment, watch, source)
        watch.begin(cell, run.spent)
        record = run.go()
        why = f"it began with {run.libraries}" if run.libraries else None
        return CellResult(cell, "failed" if record.status == "failed" else "complete", record, why)
    except OSError as error:
        return unrecorded(cell, problem, machine, error)
    finally:
        lock.release()
        gc.collect()
        if machine.device.type == "cuda":
            forget_recordings()
            torch.cuda.empty_cache()  # the next method finds the memory as the first one did


def lock_soon(files: CellFiles, seconds: float) -> BaseFileLock:
    """The cell's lock, tried for so long. Raises Held."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return files.lock()
        except Held:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


class GivenUp(Exception):  # noqa: N818 -- a decision, not a fault
    """A cell is not tried again."""


def _attempt(known: RunRecord | None, earlier: Earlier | None) -> int:
    """Which attempt in a row this is, none of them having got any further than the one before; from 1."""
    if known is None or known.status != "running":
        return 1
    # The record of an attempt that died shows the clock as it was when the attempt began.
    further = earlier is not None and earlier.clock.elapsed > known.clock.elapsed
    return 1 if further else known.attempts + 1


def limits_of(cell: Cell, steps_per_epoch: int) -> dict[str, float | None]:
    """A cell's budget as records have it."""
    return {
        "seconds": cell.budget.seconds,
        "steps": cell.budget.inner_steps(steps_per_epoch),
        "gradient_equivalents": cell.budget.gradient_equivalents,
    }


def new_record(cell: Cell, steps_per_epoch: int, machine: Machine) -> RunRecord:
    """The record of a cell that begins."""
    return RunRecord(
        suite=cell.suite,
        problem=cell.problem,
        method=cell.method,
        adapter=cell.adapter,
        seed=cell.seed,
        options=cell.options,
        problem_config=cell.config.model_dump(mode="json"),
        schedule_names=cell.config.schedule_space().names,
        budget=limits_of(cell, steps_per_epoch),
        config_hash=cell.config_hash,
        sources=cell.sources,
        status="running",
        started=now(),
        jobs=machine.jobs,
        device=machine.description,
        software=machine.software,
        commit=machine.commit,
    )


def unrecorded(cell: Cell, problem: Problem, machine: Machine, error: OSError) -> CellResult:
    """The failure of a cell whose files cannot be written; those that there are stay as they are."""
    record = new_record(cell, problem.steps_per_epoch, machine)
    record.status, record.reason = "failed", f"its files cannot be written: {error.strerror or error}"
    return CellResult(cell, "failed", record)


def settled_before(cell: Cell, files: CellFiles, retry_failed: bool) -> CellResult | None:
    """What became of a cell that need not be run (again). Raises InputError if it was another's."""
    known = files.record()
    if known is None:
        return None
    larger = cell.is_extension_of(known.config_hash)
    if known.config_hash != cell.config_hash and not larger:
        raise InputError(
            f"{cell} was run with another configuration ({known.config_hash}, not {cell.config_hash}): "
            "choose another --out or remove the cell's folder",
            where=files.folder,
        )
    if known.status == "failed":  # with other code it is tried afresh
        return None if retry_failed else CellResult(cell, "failed before", known)
    refuse_edited(cell, known.sources, cell.sources, files.folder)
    done = known.status == "complete" and not larger
    return CellResult(cell, "complete before", known) if done else None


def ended_by_itself(known: RunRecord, files: CellFiles) -> bool:
    """Whether a run would not have gone on with a larger budget: its method had nothing left to do.

    Nor would any report count then that did not: all came in time.
    """
    if known.status != "complete" or known.stopped == BUDGET:
        return False
    return all(is_in_time(report.spent, known.budget) for report in files.reports())


def relabelled(cell: Cell, known: RunRecord, problem: Problem, files: CellFiles) -> RunRecord:
    """The record of such a run under the larger budget; nothing else of it changes."""
    known.extended = [*known.extended, known.budget]
    known.budget, known.config_hash = limits_of(cell, problem.steps_per_epoch), cell.config_hash
    files.write_record(known)
    return known


def _edited_meanwhile(cell: Cell) -> str | None:
    """Why a cell must not be run with what is in its files now, in words; None if it may."""
    try:
        config = cell.config
        found = code_of(cell.adapter, config.model, config.dataset, cell.base) if cell.sources else {}
    except InputError:  # told with its reason when it is needed
        return None
    difference = edited(cell.sources, found)
    return None if difference is None else f"edited while the suite runs: {difference} (run it again)"


def _build(cell: Cell) -> Method:
    method = resolve(cell.adapter, base=cell.base)
    return method(parse_options(method, cell.options))


def warm_up(method: Method, problem: Problem) -> None:
    """Let a method use its kernels for a step or two, so that none pays for what is set up at first use."""
    trainer = Trainer(problem, 0, Clock())
    with suppress(Exception):  # what a method cannot do it will say itself, on its own time
        method.warm_up(Task(trainer, Deaf(), method_name=method.name))
    synchroniser(problem.device)()
