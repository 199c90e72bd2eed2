"""Cells in processes of their own: started, watched, stopped at their limits, their deaths recorded.

A cell's process is forked from a server that has imported torch and done nothing else: it starts in
tens of milliseconds, with no threads, no state of earlier cells and no set-up of a GPU. What happens in
it is in ``worker_process``. ``run_isolated`` is the whole of one cell, and all that a backend needs.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CHECKPOINT_FILE, OUTPUT_FILE, CellFiles, Held
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.run.backends.child import (
    STACK_SIGNAL,
    STOP_SIGNALS,
    Beat,
    Begun,
    Broken,
    Ended,
    Message,
    Order,
    Reported,
    main,
)
from hpobench_fds.run.backends.shared_data import SharedProblem
from hpobench_fds.run.cell_run import lock_soon, new_record, now, settled_before
from hpobench_fds.run.machine import Machine, own_memory
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.watcher import CellResult, Quiet, Watcher
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.limits import GB, NO_LIMITS, Limits
from hpobench_fds.wording import in_a_line

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

LOOK_EVERY = 0.25  # seconds between looks at limits
GRACE = 5.0  # seconds that a process has for ending, once it should
STACK_WAIT = 1.0  # seconds at most for the stacks to be written
LOCK_WAIT = 2.0  # seconds at most until processes that were killed have let go of the lock
OUTPUT_TAIL = 20_000  # bytes of a cell's output that go into error.txt


class Stop:
    """A wish that cells end soon, recorded as interrupted; asked twice, at once."""

    def __init__(self) -> None:
        self._asked = 0

    def ask(self) -> None:
        self._asked += 1

    @property
    def wanted(self) -> bool:
        return self._asked > 0

    @property
    def at_once(self) -> bool:
        return self._asked > 1


# ---------------------------------------------------------------------------------------------- one cell


def run_isolated(
    cell: Cell,
    store: ResultsFolder,
    problem: SharedProblem,
    machine: Machine,
    *,
    threads: int | None = None,
    limits: Limits = NO_LIMITS,
    retry_failed: bool = False,
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
    threads : CPU threads of the process; as many as here if None.
    limits : over which the process is killed and the cell has failed.
    retry_failed : run a failed cell again, see ``run_cell``.
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
        threads=threads or torch.get_num_threads(),
        retry_failed=retry_failed,
        output=files.folder / OUTPUT_FILE,
        environment=dict(os.environ),
    )
    try:
        files.lock().release()  # a look: the process takes the lock
        if (settled := settled_before(cell, files, retry_failed)) is not None:
            return settled
        if files.record() is None or not (files.folder / CHECKPOINT_FILE).exists():  # it starts afresh
            order.output.unlink(missing_ok=True)
        process = _CellProcess(order, limits, watch or Quiet(), stop or Stop())
    except Held:
        return CellResult(cell, "held")
    except (OSError, EOFError) as error:  # a full disk; no more processes, or no memory for one
        return _failed(order, f"it could not be started: {in_a_line(error)}")
    process.supervise()
    result = _verdict(process, files)
    if _size(order.output) == 0 and result.verdict != "held":
        order.output.unlink(missing_ok=True)
    return result


class _CellProcess:
    """A cell's process, from its start to its end, and what has been heard of it."""

    def __init__(self, order: Order, limits: Limits, watch: Watcher, stop: Stop) -> None:
        self.order, self._limits, self._watch, self._stop = order, limits, watch, stop
        self.spent: Spent | None = None  # None: it has not begun
        self.last: Ended | Broken | None = None
        self.killed: str | None = None  # why
        self.exit_code: int | None = None
        self._seconds, self._looked_at = 0.0, time.monotonic()
        self._deadline = math.inf  # for ending
        self._asked_to_stop = False
        self._connection, self._process = _start(order)

    @property
    def interrupted(self) -> bool:
        """Whether it ended because it was told to stop."""
        return self._asked_to_stop and self.killed is None

    def supervise(self) -> None:
        """Listen until it is gone; see to it that it goes."""
        try:
            while self._listen():
                self._look()
        finally:
            self._kill()  # what is left of its group, or all of it if this is an error here
            self.exit_code = _join(self._process)
            self._connection.close()

    def _listen(self) -> bool:
        """Wait for a message for a while; whether the process may have more to say."""
        sentinel = self._process.sentinel
        open_ends: list[Connection | int] = (
            [sentinel] if self._connection.closed else [self._connection, sentinel]
        )
        ready = wait(open_ends, LOOK_EVERY)
        if self._connection in ready:
            try:
                self._hear(self._connection.recv())
            except (EOFError, OSError, pickle.UnpicklingError):  # killed in the middle of a word
                self._connection.close()
        elif sentinel in ready:
            return False
        return True

    def _hear(self, message: Message) -> None:
        cell = self.order.cell
        if isinstance(message, (Begun, Beat, Reported)):
            self.spent = message.spent
        if isinstance(message, Begun):
            self._watch.begin(cell, lambda: self.spent or message.spent)
        elif isinstance(message, Reported):
            self._watch.report(cell, message.report)
        elif isinstance(message, (Ended, Broken)):
            self.last = message
            self._deadline = min(self._deadline, self._seconds + GRACE)

    def _look(self) -> None:
        """Time, memory, and the wish to stop."""
        seen = time.monotonic()
        if seen - self._looked_at < LOOK_EVERY / 2:  # it has much to tell
            return
        # While the runner itself was stopped (Ctrl-Z), it could not see whether the cell was.
        self._seconds += min(seen - self._looked_at, 4 * LOOK_EVERY)
        self._looked_at = seen
        ending = self.last is not None or self.killed is not None or self._asked_to_stop
        if self._seconds > self._deadline or (self._stop.at_once and ending):
            self._kill()
        elif not ending and self._stop.wanted:
            self._asked_to_stop, self._deadline = True, self._seconds + GRACE
            self._signal(signal.SIGINT)
        elif not ending and (reason := self._over()) is not None:
            self.killed, self._deadline = reason, self._seconds + GRACE
            self._show_stack()
            self._kill()

    def _over(self) -> str | None:
        """Which limit it is over."""
        limits = self._limits
        if limits.seconds is not None and self._seconds > limits.seconds:
            return f"killed: over the wall limit of {limits.seconds:g} s"
        if limits.memory_gb is not None:
            used = own_memory(self._process.pid or 0) / GB
            if used > limits.memory_gb:
                return f"killed: used {used:.3g} GB, limit {limits.memory_gb:g} GB"
        return None

    def _show_stack(self) -> None:
        """Have it write into its output where it is."""
        path, deadline = self.order.output, time.monotonic() + STACK_WAIT
        before = _size(path)
        self._signal(STACK_SIGNAL)
        while time.monotonic() < deadline and _size(path) == before:
            time.sleep(0.02)
        time.sleep(0.05)  # for the rest of it

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid or 0, number)

    def _kill(self) -> None:
        """End it and the processes that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._signal(signal.SIGKILL)  # if it had no group yet


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


# -------------------------------------------------------------------------------- starting and joining

# Of two threads that poll one process, one takes the exit code away from the other; starting polls all.
_one_at_a_time = threading.Lock()


def _start(order: Order) -> tuple[Connection, ForkServerProcess]:
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    try:
        with _one_at_a_time, _main_module_unseen(), _signals_blocked():
            # Heeded when the server starts; one that the caller has started already is used as it is.
            context.set_forkserver_preload(_preload())
            process = context.Process(target=main, args=(order, sender), name=str(order.cell))
            process.start()
    except BaseException:
        receiver.close()
        raise
    finally:
        sender.close()
    return receiver, process


def _preload() -> list[str]:
    """Modules that cells need: loaded once in the server, they cost no cell a second."""
    methods = [name for name in sys.modules if name.startswith("hpobench_fds.methods.")]
    return ["hpobench_fds.run.backends.child", *methods]


def _join(process: ForkServerProcess) -> int:
    """The exit code, negative for a signal; 255 if the fork server died and nobody knows."""
    wait([process.sentinel])
    with _one_at_a_time:
        process.join()
        code = process.exitcode
        process.close()
    return 255 if code is None else code


@contextmanager
def _main_module_unseen() -> Iterator[None]:
    """Start processes that do not import the caller's script, which might run its suite again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes started here take no signal meant for the runner: not the server, nor a cell too early."""
    resource_tracker.ensure_running()  # starting it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ----------------------------------------------------------------------------------- what became of it


def _verdict(process: _CellProcess, files: CellFiles) -> CellResult:
    """From the last word; without one, from how it ended and from what is on the disk."""
    order, last = process.order, process.last
    if isinstance(last, Broken) and last.trace is None:
        raise InputError(last.reason)
    if isinstance(last, Ended) and last.result.verdict != "interrupted":
        return last.result
    interrupted = process.interrupted or isinstance(last, Ended)
    reason = "interrupted" if interrupted else _cause(process)
    try:
        lock = lock_soon(files, LOCK_WAIT)
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


def _cause(process: _CellProcess) -> str:
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


def _record_interruption(process: _CellProcess, files: CellFiles, known: RunRecord | None) -> CellResult:
    if known is not None and known.status == "running":
        known.status = "interrupted"
        _bring_up_to_date(known, process, files)
        files.write_record(known)
    return CellResult(process.order.cell, "interrupted", known)


def _record_death(
    process: _CellProcess, files: CellFiles, known: RunRecord | None, reason: str
) -> CellResult:
    """The cell has failed; its checkpoint stays, for those who try again with other limits."""
    _write_error(process, files, reason)
    record = known or _new(process.order)
    _bring_up_to_date(record, process, files)
    result = _failed(process.order, reason, record)
    files.write_record(record)
    return result


def _bring_up_to_date(record: RunRecord, process: _CellProcess, files: CellFiles) -> None:
    """What the process would have written about how far it was, had it been able to."""
    if process.spent is None or record.stopped is not None:  # the method's end is there as it was
        return
    clock = process.spent.clock
    try:
        reports = files.reports()
    except InputError:  # the method itself has written into its trace
        return
    elapsed = clock.method + clock.referee + clock.records
    record.clock, record.cost = clock.model_copy(update={"elapsed": elapsed}), process.spent.cost
    if reports and reports[-1].seconds > clock.method:  # it died before it could tell
        late = reports[-1].seconds - clock.method
        record.clock.method, record.clock.elapsed = reports[-1].seconds, elapsed + late
        record.cost = reports[-1].cost
    record.reports = len(reports)
    record.incumbent = next((r.report for r in reversed(reports) if r.incumbent), None)


def _write_error(process: _CellProcess, files: CellFiles, reason: str) -> None:
    trace = process.last.trace if isinstance(process.last, Broken) else None
    printed = _tail(process.order.output)
    parts = [reason, trace, printed and f"The end of what the process printed:\n\n{printed}"]
    with suppress(OSError):
        files.write_error("\n\n".join(part.rstrip() for part in parts if part) + "\n")


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size(path) - OUTPUT_TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _new(order: Order) -> RunRecord:
    problem = order.problem
    return new_record(order.cell, problem.schedule_names, problem.steps_per_epoch, order.machine)


def _failed(order: Order, reason: str, record: RunRecord | None = None) -> CellResult:
    record = record or _new(order)
    record.status, record.reason, record.finished = "failed", reason, now()
    return CellResult(order.cell, "failed", record)
