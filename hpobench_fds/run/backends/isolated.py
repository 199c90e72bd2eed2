"""One cell in a process of its own: run, and whatever ended it is in its record."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CHECKPOINT_FILE, OUTPUT_FILE, CellFiles, Held
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.run.backends.messages import Broken, Ended, Order
from hpobench_fds.run.backends.shared_data import SharedProblem
from hpobench_fds.run.backends.supervisor import CellProcess, Stop, size_of
from hpobench_fds.run.cell_run import lock_soon, new_record, settled_before
from hpobench_fds.run.machine import Machine, now, threads_each
from hpobench_fds.run.watcher import CellResult, Quiet, Watcher
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.limits import NO_LIMITS, Limits
from hpobench_fds.wording import in_a_line

UNLOCK_WAIT = 2.0  # seconds at most until processes that were killed have let go of the lock
OUTPUT_TAIL = 20_000  # bytes of a cell's output that go into error.txt


def run_isolated(
    cell: Cell,
    store: ResultsFolder,
    problem: SharedProblem,
    machine: Machine,
    *,
    threads: int | None = None,
    limits: Limits = NO_LIMITS,
    retry_failed: bool = False,
    mixed_clock: bool = False,
    watch: Watcher | None = None,
    stop: Stop | None = None,
) -> CellResult:
    """Run a cell in a process of its own, unless it has been run or another runner holds it.

    Returns when the process is gone, and every process that it started in its group. Whatever ends it
    is in the record: a limit, a crash (failed), a wish to stop (interrupted). Threads may call this side
    by side.

    Parameters
    ----------
    machine : the device to use; the process fills in the device's name.
    threads : CPU threads of the process; if None as many as here, but no more than this process has cores.
    limits : over which the process is killed and the cell has failed.
    retry_failed, mixed_clock : see ``run_cell``.
    watch : is told of its beginning and its reports.
    stop : looked at while the cell runs.

    Raises
    ------
    InputError : the cell's folder holds a run of another configuration.
    """
    files = store.cell(cell.problem, cell.method, cell.seed)
    order = Order(
        cell=cell,
        store=store,
        problem=problem,
        machine=machine,
        threads=threads or threads_each(1),
        retry_failed=retry_failed,
        mixed_clock=mixed_clock,
        output=files.folder / OUTPUT_FILE,
        environment=dict(os.environ),
    )
    try:
        files.lock().release()  # a look: the process takes the lock
        if (settled := settled_before(cell, files, retry_failed)) is not None:
            return settled
        if files.record() is None or not (files.folder / CHECKPOINT_FILE).exists():  # it starts afresh
            order.output.unlink(missing_ok=True)
        process = CellProcess(order, limits, watch or Quiet(), stop or Stop())
    except Held:
        return CellResult(cell, "held")
    except (OSError, EOFError) as error:  # a full disk; no more processes, or no memory for one
        return _failed(order, f"it could not be started: {in_a_line(error)}")
    process.supervise()
    result = _verdict(process, files)
    if size_of(order.output) == 0 and result.verdict != "held":
        order.output.unlink(missing_ok=True)
    return result


# ----------------------------------------------------------------------------------- what became of it


def _verdict(process: CellProcess, files: CellFiles) -> CellResult:
    """From the last word; without one, from how it ended and from what is on the disk."""
    order, last = process.order, process.last
    if isinstance(last, Broken) and last.trace is None:
        raise InputError(last.reason)
    if isinstance(last, Ended) and last.result.verdict != "interrupted":
        return last.result
    interrupted = process.interrupted or isinstance(last, Ended)
    reason = "interrupted" if interrupted else _cause(process)
    try:
        lock = lock_soon(files, UNLOCK_WAIT)
    except Held:  # by another runner, which takes it from here
        return CellResult(order.cell, "held")
    except OSError as error:
        return _failed(order, f"{reason}; it could not be recorded: {error.strerror}")
    try:
        known = files.record()
        if process.spent is not None and known is not None and known.status in ("complete", "failed"):
            return CellResult(order.cell, "failed" if known.status == "failed" else "complete", known)
        if interrupted:
            return _record_interruption(process, files, known)
        return _record_death(process, files, known, reason)
    except OSError as error:
        return _failed(order, f"{reason}; it could not be recorded: {error.strerror}")
    finally:
        lock.release()


def _cause(process: CellProcess) -> str:
    """Why it died, in a line."""
    if process.killed is not None:
        return process.killed
    if isinstance(process.last, Broken):
        return process.last.reason
    code = process.exit_code or 0
    if code >= 0:
        return f"the process ended before the cell did, with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the process died: {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _record_interruption(process: CellProcess, files: CellFiles, known: RunRecord | None) -> CellResult:
    if known is not None and known.status == "running":
        known.status = "interrupted"
        _bring_up_to_date(known, process, files)
        files.write_record(known)
    return CellResult(process.order.cell, "interrupted", known)


def _record_death(process: CellProcess, files: CellFiles, known: RunRecord | None, reason: str) -> CellResult:
    """The cell has failed; its checkpoint stays, for those who try again with other limits."""
    _write_error(process, files, reason)
    record = known or _new(process.order)
    _bring_up_to_date(record, process, files)
    result = _failed(process.order, reason, record)
    files.write_record(record)
    return result


def _bring_up_to_date(record: RunRecord, process: CellProcess, files: CellFiles) -> None:
    """What the process would have written about how far it was, had it been able to."""
    if process.spent is None or record.stopped is not None:  # the method's end is there as it was
        return
    clock = process.spent.clock
    try:
        reports = files.reports()
    except InputError:  # the method itself has written into its trace
        return
    elapsed = clock.booked
    record.clock, record.cost = clock.model_copy(update={"elapsed": elapsed}), process.spent.cost
    if reports and reports[-1].seconds > clock.method:  # it died before it could tell
        late = reports[-1].seconds - clock.method
        record.clock.method, record.clock.elapsed = reports[-1].seconds, elapsed + late
        record.cost = reports[-1].cost
    record.reports = len(reports)
    record.incumbent = next((r.report for r in reversed(reports) if r.incumbent), None)


def _write_error(process: CellProcess, files: CellFiles, reason: str) -> None:
    trace = process.last.trace if isinstance(process.last, Broken) else None
    printed = _tail(process.order.output)
    parts = [reason, trace, printed and f"The end of what the process printed:\n\n{printed}"]
    with suppress(OSError):
        files.write_error("\n\n".join(part.rstrip() for part in parts if part) + "\n")


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, size_of(path) - OUTPUT_TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _new(order: Order) -> RunRecord:
    return new_record(order.cell, order.problem.steps_per_epoch, order.machine)


def _failed(order: Order, reason: str, record: RunRecord | None = None) -> CellResult:
    record = record or _new(order)
    record.status, record.reason, record.finished = "failed", reason, now()
    return CellResult(order.cell, "failed", record)
