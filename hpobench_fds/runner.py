"""Runs cells (problem x method x seed) and records them: fair, resumable, one failure never ends the rest.

``run_cell`` is the whole of one run and depends on nothing but its arguments, so that cells can be
run anywhere; ``run_suite`` checks everything first, then runs the cells of a suite, in this process or
(``workers``) each in a process of its own, several side by side.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import random
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from filelock import BaseFileLock

from hpobench_fds.clock import Budget, Clock, synchroniser
from hpobench_fds.errors import InputError
from hpobench_fds.limits import Limits
from hpobench_fds.machine import Machine, describe_machine, find_devices
from hpobench_fds.method import Method, Report, Task
from hpobench_fds.problem import Problem, TestData, load_problem
from hpobench_fds.records import ClockRecord, Cost, FinalRecord, ReportRecord, RunRecord, Status
from hpobench_fds.referee import Referee
from hpobench_fds.registry import dotted, parse_options, resolve
from hpobench_fds.seeds import derive
from hpobench_fds.store import CHECKPOINT_FILE, ERROR_FILE, CellStore, Held, Store, cell_store
from hpobench_fds.suite import Cell, Suite, load_suite, part_of
from hpobench_fds.trainer import Evaluation, Trainer

if TYPE_CHECKING:
    from hpobench_fds.cluster import Cluster

CHECKPOINT_SHARE = 0.05  # at most this share of a run's time goes into checkpoints
OUTSIDE_BOUNDS = 1e-9  # share of a range that rounding may carry a schedule outside it
LOCK_WAIT = 0.2  # seconds; other runners hold a lock for a moment when they look whether it is free
MOST_ATTEMPTS = 3  # a cell whose process died that often without getting any further has failed

Verdict = Literal["complete", "failed", "interrupted", "complete before", "failed before", "held"]


# ------------------------------------------------------------------------ what a run is told and tells


@dataclass(frozen=True)
class CellResult:
    """What became of a cell.

    ``held``: another runner has it; ``... before``: there was nothing to do; ``interrupted``: it goes on
    when it is run again. ``record`` is what is on the disk, or was to be there when the disk is full.
    """

    cell: Cell
    verdict: Verdict
    record: RunRecord | None = None


@dataclass(frozen=True)
class RunSummary:
    """What became of a suite, and where its records are."""

    folder: Path
    results: list[CellResult] = field(default_factory=list)

    def count(self, *verdicts: Verdict) -> int:
        return sum(result.verdict in verdicts for result in self.results)

    @property
    def exit_code(self) -> int:
        """1 if the results hold a failed or an unfinished run, else 0."""
        return 1 if self.count("failed", "failed before", "interrupted") else 0


@dataclass(frozen=True)
class Spent:
    """How far a cell is: its clock and cost, and the budget for them (None: no limit)."""

    clock: ClockRecord
    cost: Cost
    seconds: float | None
    steps: int | None

    @property
    def used(self) -> float:
        """Share of the budget that is spent, in [0, 1]; the larger one if both limits are set."""
        shares = [0.0]
        if self.seconds:
            shares.append(self.clock.method / self.seconds)
        if self.steps:
            shares.append(self.cost.inner_steps / self.steps)
        return min(1.0, max(shares))


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


# ------------------------------------------------------------------------------------------- listening


class Recorder:
    """The runner's side of a task: judges reports, writes them down, keeps checkpoints.

    All of it is off the method's clock. ``reports`` are those of an earlier part of the same run.
    """

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        referee: Referee,
        files: CellStore,
        clock: Clock,
        budget: Budget,
        reports: Sequence[ReportRecord] = (),
        watch: Watcher | None = None,
        source: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cell, self._problem, self._referee, self._files = cell, problem, referee, files
        self._clock, self._budget, self._watch, self._source = clock, budget, watch or Quiet(), source
        self._memory = _PeakMemory(problem.device)
        self._next_checkpoint = -math.inf
        self.count = len(reports)
        self.last = reports[-1] if reports else None
        self.incumbent = next((report for report in reversed(reports) if report.incumbent), None)
        self.candidate: ReportRecord | None = None  # whose schedule is retrained at the end
        for report in reports:
            self._consider(report)

    def report(self, report: Report) -> None:
        with self._clock.charge("referee"):
            seconds, cost = self._clock.seconds, self._clock.cost.model_copy()
            peak = self._memory.read()
            schedule = self._checked(report)
            incumbent = self._in_time(seconds, cost) and self._beats(report.evaluation, self.incumbent)
            test = self._measure(report) if incumbent else None
            self._memory.reset()
            gradient = report.hypergradient
            record = ReportRecord(
                report=self.count,
                seconds=seconds,
                cost=cost,
                schedule=schedule,
                fidelity=float(report.fidelity),
                val_loss=float(report.evaluation.loss),
                val_accuracy=float(report.evaluation.accuracy),
                incumbent=incumbent,
                test_loss=None if test is None else test.loss,
                test_accuracy=None if test is None else test.accuracy,
                hypergradient=None if gradient is None else [float(h) for h in gradient],
                peak_memory=peak,
                extra=_plain(report.extra, "extra"),
            )
            # Inside, so that no moment between the two is booked to the method.
            with self._clock.charge("records"):
                self._write(record)

    def checkpoint(self, state: dict[str, Any]) -> None:
        if self._source() < self._next_checkpoint:
            return
        with self._clock.charge("records"):
            began = self._source()
            self._files.save_checkpoint(
                {
                    "config_hash": self._cell.config_hash,
                    "clock": self._clock.record().model_dump(),
                    "cost": self._clock.cost.model_dump(),
                    "reports": self.count,
                    "state": state,
                }
            )
            self._next_checkpoint = self._source() + (self._source() - began) / CHECKPOINT_SHARE

    def _checked(self, report: Report) -> list[float]:
        space = self._problem.space
        vector = space.to_vector(report.schedule)
        slack = OUTSIDE_BOUNDS * (space.high - space.low)
        if vector.shape != (space.size,):
            raise ValueError(f"the reported schedule has {len(vector)} values, the space has {space.size}")
        if not bool(np.all((space.low - slack <= vector) & (vector <= space.high + slack))):
            raise ValueError(f"the reported schedule is outside the space: {vector.tolist()}")
        values: list[float] = vector.tolist()
        return values

    def _in_time(self, seconds: float, cost: Cost) -> bool:
        """What comes after the budget is recorded, but is nobody's incumbent."""
        late = self._budget.seconds is not None and seconds > self._budget.seconds
        return not late and (self._budget.steps is None or cost.inner_steps <= self._budget.steps)

    def _beats(self, new: Evaluation, old: ReportRecord | None) -> bool:
        """By the problem's objective; ties keep the earlier, what is not finite is never better."""
        if not (math.isfinite(new.loss) and math.isfinite(new.accuracy)):
            return False
        if old is None:
            return True
        if self._problem.config.objective == "val_accuracy":
            return new.accuracy > old.val_accuracy
        return new.loss < old.val_loss

    def _consider(self, report: ReportRecord) -> None:
        """Keep for retraining the best of those trained longest.

        A short rung never tried the later windows of its schedule: however good it looked, it says
        nothing of a training over the horizon.
        """
        if not self._in_time(report.seconds, report.cost):
            return
        rival = self.candidate
        longer = rival is not None and report.fidelity > rival.fidelity
        if rival is not None and report.fidelity < rival.fidelity:
            return
        if self._beats(Evaluation(report.val_loss, report.val_accuracy), None if longer else rival):
            self.candidate = report

    def _measure(self, report: Report) -> Evaluation:
        if report.state is None:
            raise ValueError("a better incumbent was reported without its trained state")
        return self._referee.measure(report.state)

    def _write(self, record: ReportRecord) -> None:
        self._files.append(record)
        self.count, self.last = self.count + 1, record
        self.incumbent = record if record.incumbent else self.incumbent
        self._consider(record)
        self._watch.report(self._cell, record)


class Ears:
    """All that a method holds of the runner. Closures: no attribute leads to the referee or its data."""

    __slots__ = ("checkpoint", "report")

    def __init__(self, recorder: Recorder) -> None:
        self.report: Callable[[Report], None] = lambda report: recorder.report(report)
        self.checkpoint: Callable[[dict[str, Any]], None] = lambda state: recorder.checkpoint(state)


class _PeakMemory:
    """Most device memory that the method has had allocated, in bytes; the CPU keeps no such count."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._peak = device, 0
        self.reset()

    def read(self) -> int | None:
        if self._device.type != "cuda":
            return None
        self._peak = max(self._peak, torch.cuda.max_memory_allocated(self._device))
        return self._peak

    def reset(self) -> None:
        """Forget what the referee used."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)


def _plain(value: Any, place: str) -> Any:
    """JSON data of what a method may put into ``extra``. Raises TypeError for anything else."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, place) for item in value]
    raise TypeError(f"{place} is a {type(value).__qualname__}, not numbers, strings, lists or dicts")


# -------------------------------------------------------------------------------------------- one cell


@dataclass(frozen=True)
class _Earlier:
    """What an interrupted or crashed run has left to go on from."""

    clock: ClockRecord
    cost: Cost
    reports: list[ReportRecord]
    state: dict[str, Any] | None = None  # None with ``stopped``: only the referee's last word is missing
    stopped: str | None = None


def _earlier(files: CellStore, known: RunRecord | None, machine: Machine) -> _Earlier | None:
    """What to go on from; None to start afresh."""
    if known is None or known.status == "complete":
        return None
    # An error leaves no checkpoint; a process that was killed may leave a good one.
    if known.status == "failed" and not (files.folder / CHECKPOINT_FILE).exists():
        return None
    try:
        reports = files.reports()
    except InputError:  # a broken trace cannot be gone on from
        return None
    if known.stopped is not None:
        whole = len(reports) == known.reports
        return _Earlier(known.clock, known.cost, reports, stopped=known.stopped) if whole else None
    checkpoint = files.load_checkpoint(machine.device)
    same = ("kind", "name")  # seconds of another device cannot be added up
    if (
        checkpoint is None
        or checkpoint.get("config_hash") != known.config_hash
        or any(known.device.get(key) != machine.description.get(key) for key in same)
    ):
        return None
    try:
        clock, cost = ClockRecord(**checkpoint["clock"]), Cost(**checkpoint["cost"])
        count, state = checkpoint["reports"], checkpoint["state"]
        spent = (*clock.model_dump().values(), *cost.model_dump().values())
        sound = 0 <= count <= len(reports) and all(0 <= value < math.inf for value in spent)
    except (KeyError, TypeError, ValueError):  # no runner wrote it
        return None
    return _Earlier(clock, cost, reports[:count], state=state) if sound else None


class _Run:
    """One attempt at a cell, from where an earlier one left off if there was one."""

    def __init__(
        self,
        cell: Cell,
        files: CellStore,
        problem: Problem,
        test: TestData,
        machine: Machine,
        known: RunRecord | None,
        watch: Watcher,
        source: Callable[[], float],
    ) -> None:
        self.cell, self.files, self.problem, self.machine = cell, files, problem, machine
        for torn in files.folder.glob(".*.tmp"):  # a process was killed while it wrote
            torn.unlink(missing_ok=True)
        self.earlier = earlier = _earlier(files, known, machine)
        if earlier is None:
            files.clear()
        else:
            files.keep_reports(len(earlier.reports))
            (files.folder / ERROR_FILE).unlink(missing_ok=True)
        clock, cost = (earlier.clock, earlier.cost) if earlier else (None, None)
        self.clock = Clock(source, synchroniser(machine.device), clock, cost)
        steps = cell.budget.inner_steps(problem.steps_per_epoch)
        self.budget = Budget(self.clock, cell.budget.seconds, steps)
        self.referee = Referee(problem, test, cell.seed)
        self.recorder = Recorder(
            cell, problem, self.referee, files, self.clock, self.budget,
            earlier.reports if earlier else (), watch, source,
        )  # fmt: skip
        self.record = new_record(cell, problem.space.names, problem.steps_per_epoch, machine)
        self.record.attempts = _attempt(known, earlier)
        if known is not None and earlier is not None:
            self.record.stopped = earlier.stopped
            self.record.started, self.record.resumed = known.started, known.resumed + 1

    def spent(self) -> Spent:
        return Spent(
            self.clock.record(), self.clock.cost.model_copy(), self.budget.seconds, self.budget.steps
        )

    def go(self) -> RunRecord:
        """Run to the end, whatever that is; a method's error is recorded, an interruption passed on."""
        try:
            if self.record.attempts > MOST_ATTEMPTS:
                raise GivenUp(f"its process died {MOST_ATTEMPTS} times without getting any further")
            self._save("running")
            self._run()
        except KeyboardInterrupt:
            with suppress(OSError):  # a full disk: what is there says "running", and goes on as well
                self._save("interrupted")
            raise
        except (Exception, SystemExit) as error:
            self._fail(in_a_line(error), traceback.format_exc())
        return self.record

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
        if (reason := method.skip(self.problem)) is not None:
            self.record.stopped = "skipped"
            self._save("complete", reason=reason)
            return
        self.clock.start()
        try:
            if self.record.stopped is None:
                self.record.stopped = self._spend(method)
                self.record.attempts = 1
            with self.clock.charge("referee"):
                # Known to have stopped: should the referee be interrupted, only its part is repeated.
                self._save("running")
                self.record.final = self._final()
        finally:
            self.clock.stop()
        none = None if self.record.final else "no finite evaluation within the budget"
        self._save("complete", reason=none)

    def _spend(self, method: Method) -> str:
        """Let the method spend its budget; why it stopped."""
        # Libraries that draw from a global stream draw the same again.
        seed = derive(self.cell.seed, "global", method.name)
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        trainer = Trainer(self.problem, self.cell.seed, self.clock, self.budget)
        restored = self.earlier.state if self.earlier else None
        task = Task(trainer, Ears(self.recorder), method_name=method.name, restored=restored)
        return str(method.run(task) or "done")

    def _final(self) -> FinalRecord | None:
        best, last, space = self.recorder.candidate, self.recorder.last, self.problem.space
        if best is None or last is None:
            return None
        final = self.referee.final(space.from_vector(best.schedule), space.from_vector(last.schedule))
        final.report = best.report
        return final

    def _save(self, status: Status, reason: str | None = None) -> None:
        self.record.status, self.record.reason = status, reason
        self.record.clock, self.record.cost = self.clock.record(), self.clock.cost.model_copy()
        self.record.reports = self.recorder.count
        self.record.incumbent = self.recorder.incumbent.report if self.recorder.incumbent else None
        self.record.finished = now() if status in ("complete", "failed") else None
        self.files.write_record(self.record)
        if self.record.finished:
            self.files.drop_checkpoint()


def run_cell(
    cell: Cell,
    store: Store,
    problem: Problem,
    test: TestData,
    machine: Machine,
    *,
    retry_failed: bool = False,
    watch: Watcher | None = None,
    source: Callable[[], float] = time.monotonic,
) -> CellResult:
    """Run a cell, unless it has been run or another runner holds it, and record how it went.

    Parameters
    ----------
    problem, test : the cell's problem as ``load_problem`` gives it; nothing is left behind in them.
    retry_failed : run a failed cell again: after an error from the start, but where the process was
        killed, from its last checkpoint.
    watch : is told of its beginning and of its reports.
    source : monotonic time in seconds; tests pass a fake one.

    Raises
    ------
    InputError : the cell's folder holds a run of another configuration.
    KeyboardInterrupt : after the cell has been recorded as interrupted.
    """
    watch = watch or Quiet()
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
        run = _Run(cell, files, problem, test, machine, files.record(), watch, source)
        watch.begin(cell, run.spent)
        record = run.go()
        return CellResult(cell, "failed" if record.status == "failed" else "complete", record)
    except OSError as error:
        return unrecorded(cell, problem, machine, error)
    finally:
        lock.release()
        gc.collect()
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()  # the next method finds the memory as the first one did


def lock_soon(files: CellStore, seconds: float) -> BaseFileLock:
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


def _attempt(known: RunRecord | None, earlier: _Earlier | None) -> int:
    """Which attempt in a row this is, none of them having got any further than the one before; from 1."""
    if known is None or known.status != "running":
        return 1
    # The record of an attempt that died shows the clock as it was when the attempt began.
    further = earlier is not None and earlier.clock.elapsed > known.clock.elapsed
    return 1 if further else known.attempts + 1


def new_record(cell: Cell, schedule_names: list[str], steps_per_epoch: int, machine: Machine) -> RunRecord:
    """The record of a cell that begins."""
    steps = cell.budget.inner_steps(steps_per_epoch)
    return RunRecord(
        suite=cell.suite,
        problem=cell.problem,
        method=cell.method,
        adapter=cell.adapter,
        seed=cell.seed,
        options=cell.options,
        problem_config=cell.config.model_dump(mode="json"),
        schedule_names=schedule_names,
        budget={"seconds": cell.budget.seconds, "steps": steps},
        config_hash=cell.config_hash,
        status="running",
        started=now(),
        jobs=machine.jobs,
        device=machine.description,
        software=machine.software,
        commit=machine.commit,
    )


def unrecorded(cell: Cell, problem: Problem, machine: Machine, error: OSError) -> CellResult:
    """The failure of a cell whose files cannot be written; those that there are stay as they are."""
    record = new_record(cell, problem.space.names, problem.steps_per_epoch, machine)
    record.status, record.reason = "failed", f"its files cannot be written: {error.strerror or error}"
    return CellResult(cell, "failed", record)


def settled_before(cell: Cell, files: CellStore, retry_failed: bool) -> CellResult | None:
    """What became of a cell that need not be run (again). Raises InputError if it was another's."""
    known = files.record()
    if known is None:
        return None
    if known.config_hash != cell.config_hash:
        raise InputError(
            f"{cell} was run with another configuration ({known.config_hash}, not {cell.config_hash}): "
            "choose another --out or remove the cell's folder",
            where=files.folder,
        )
    if known.status == "complete":
        return CellResult(cell, "complete before", known)
    if known.status == "failed" and not retry_failed:
        return CellResult(cell, "failed before", known)
    return None


def _build(cell: Cell) -> Method:
    method = resolve(cell.adapter, base=cell.base)
    return method(parse_options(method, cell.options))


def in_a_line(error: BaseException, most: int = 300) -> str:
    """An error as a reason: its type and message, cut short."""
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= most else f"{text[:most]}..."


def now() -> str:
    """The time as records have it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


# --------------------------------------------------------------------------------------- a whole suite


def run_suite(
    suite: Suite | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    methods: str | Iterable[str] | None = None,
    seeds: object = None,
    part: str | tuple[int, int] | None = None,
    device: str | None = None,
    jobs: int = 1,
    isolate: bool | None = None,
    cell_seconds: float | None = None,
    cell_memory: float | None = None,
    retry_failed: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    watch: Watcher | None = None,
    cluster: Cluster | None = None,
) -> RunSummary:
    """Run every cell of a suite that has not been run yet.

    Everything that can be wrong with the input is checked before anything is written. A script needs
    no ``if __name__ == "__main__"``, whatever is asked for.

    Parameters
    ----------
    suite : a Suite, what a TOML file holds, the path of one, or a built-in suite's name.
    out : the results folder; results/NAME if not given.
    methods : labels of the suite to run, as a list or "a,b"; all if not given.
    seeds : in place of the suite's, as a list or "0-4".
    part : (i, n) or "i/n": only the i-th of n parts of the cells, i from 1 to n: every n-th cell from
        the i-th. The parts are disjoint, and together they are all cells.
    device : in place of the suite's: auto, cpu, cuda or cuda:N.
    jobs : cells side by side. They share the CPU's cores evenly, and for auto and cuda all GPUs in turn.
    isolate : each cell in a process of its own, so that no crash or hang of a method ends the others.
        None: if there are several jobs or any limit.
    cell_seconds, cell_memory : limits of each cell in place of the suite's, see ``Limits``.
    retry_failed : run failed cells again: after an error from the start, but where the process was
        killed, from the last checkpoint.
    data_root, download : where data sets are, and whether missing ones may be downloaded to it.
    watch : is told how it gets on.
    cluster : run the cells on a Ray cluster, which has a say in place of ``device`` and ``jobs``.

    Raises
    ------
    InputError : one line that says what is wrong and what is allowed.
    KeyboardInterrupt : after the running cells have been recorded; calling again goes on from there.
    """
    if isinstance(suite, (str, Path)):
        suite = load_suite(suite)
    elif isinstance(suite, Mapping):
        suite = Suite.from_dict(suite)
    watch = watch or Quiet()
    devices = find_devices(device or suite.device, where="--device" if device else f"{suite.where}: device")
    limits = suite.limits.replaced(cell_seconds, cell_memory)
    apart = _apart(isolate, jobs, limits)
    planned = suite.cells(methods=methods, seeds=seeds)
    cells = part_of(planned, part)
    description = {**suite.describe(), "seeds": sorted({cell.seed for cell in planned})}
    folder = Path(out) if out is not None else Path("results") / suite.name
    Store.check(folder, description)
    before = [
        settled_before(cell, cell_store(folder, cell.problem, cell.method, cell.seed), retry_failed)
        for cell in cells
    ]
    todo = [cell for cell, settled in zip(cells, before, strict=True) if settled is None]
    root = Path(data_root) if data_root else None
    # Elsewhere, each process has its device to itself: this one leaves all of them alone.
    elsewhere = apart or cluster is not None
    problems = load_problems(suite, todo, torch.device("cpu") if elsewhere else devices[0], root, download)

    store = Store(folder, description)
    watch.plan(cells, todo, jobs)
    if cluster is not None:
        from hpobench_fds.cluster import run_on_ray

        found = run_on_ray(
            todo, store, problems, cluster, limits=limits, retry_failed=retry_failed, watch=watch
        )
        results = iter(found)
    elif apart:
        results = _run_apart(todo, store, problems, devices, jobs, limits, retry_failed, watch)
    else:
        results = _run_here(todo, store, problems, devices[0], retry_failed, watch)
    return RunSummary(folder, [settled or next(results) for settled in before])


def _run_here(
    todo: Sequence[Cell],
    store: Store,
    problems: Mapping[str, tuple[Problem, TestData]],
    device: torch.device,
    retry_failed: bool,
    watch: Watcher,
) -> Iterator[CellResult]:
    """Run cells one by one in this process."""
    machine = describe_machine(device)
    for problem, _ in problems.values():
        warm_up(problem)
    gc.freeze()  # the collector need not look through all of torch, neither between cells nor on a clock
    try:
        for cell in todo:
            result = run_cell(
                cell, store, *problems[cell.problem], machine, retry_failed=retry_failed, watch=watch
            )
            watch.end(result)
            yield result
    finally:
        gc.unfreeze()


def _run_apart(
    todo: Sequence[Cell],
    store: Store,
    problems: dict[str, tuple[Problem, TestData]],
    devices: Sequence[torch.device],
    jobs: int,
    limits: Limits,
    retry_failed: bool,
    watch: Watcher,
) -> Iterator[CellResult]:
    """Run cells in processes of their own."""
    from hpobench_fds.pool import run_cells
    from hpobench_fds.sharing import SharedProblem

    shared = {}
    for name in list(problems):  # one by one, so that only one is there twice
        shared[name] = SharedProblem.of(*problems.pop(name))
    return iter(
        run_cells(todo, store, shared, devices, jobs, limits=limits, retry_failed=retry_failed, watch=watch)
    )


def _apart(isolate: bool | None, jobs: int, limits: Limits) -> bool:
    """Whether cells get processes of their own. Raises InputError."""
    if jobs < 1:
        raise InputError(f"got {jobs}", key="jobs", allowed="1 or more")
    wanted = jobs > 1 or bool(limits)
    if wanted and isolate is False:
        what = f"{jobs} jobs" if jobs > 1 else "a limit on cells"
        raise InputError(f"{what} and in-process: each cell needs a process of its own then")
    apart = wanted if isolate is None else isolate
    if apart and "forkserver" not in multiprocessing.get_all_start_methods():
        raise InputError("this system has no fork server: cells can be run in-process only, one by one")
    return apart


def load_problems(
    suite: Suite, cells: Iterable[Cell], device: torch.device, root: Path | None, download: bool
) -> dict[str, tuple[Problem, TestData]]:
    """The problems of those cells, each loaded once. Raises InputError."""
    problems = {}
    for name in dict.fromkeys(cell.problem for cell in cells):
        config, _ = suite.problems[name]
        try:
            problems[name] = load_problem(config, name=name, device=device, root=root, download=download)
        except InputError as error:
            key = dotted("problems", location=[name])
            raise InputError(str(error).removeprefix(f"{name}: "), where=suite.where, key=key) from error
    return problems


def warm_up(problem: Problem) -> None:
    """Two steps of training, so that no method pays for what torch sets up once in a process."""
    trainer = Trainer(problem, 0, Clock())
    state = trainer.start(0)
    trainer.train(state, problem.space.initial, until=min(2, problem.horizon))
    trainer.evaluate(state)
    synchroniser(problem.device)()
