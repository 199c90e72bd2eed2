"""Many cells side by side, each in a process of its own (``isolated``), ended in order by a signal."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import joblib
import torch

from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.schema import ReportRecord
from hpobench_fds.run.backends.child import STOP_SIGNALS
from hpobench_fds.run.backends.isolated import run_isolated
from hpobench_fds.run.backends.shared_data import SharedProblem
from hpobench_fds.run.backends.supervisor import Stop
from hpobench_fds.run.machine import Machine, describe_commit, threads_each, unnamed_machine
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.watcher import CellResult, Quiet, Watcher
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.limits import NO_LIMITS, Limits


def run_cells(
    cells: Sequence[Cell],
    store: ResultsFolder,
    problems: dict[str, SharedProblem],
    devices: Sequence[torch.device],
    jobs: int,
    *,
    limits: Limits = NO_LIMITS,
    retry_failed: bool = False,
    mixed_clock: bool = False,
    watch: Watcher | None = None,
) -> list[CellResult]:
    """Run cells in processes of their own, ``jobs`` side by side, which get the devices in turn.

    A cell has its share of the threads and is recorded as one of ``jobs`` even where fewer are left to run,
    so that a run that is gone on with goes on as it began. A problem is taken out of ``problems``, and its
    data let go, after its last cell.

    Threads of joblib start and watch the processes; they do nothing else, so that none of its process
    pools is needed, which would run one cell after another in a process and break where one dies.

    Raises
    ------
    InputError : the folder of a cell holds a run of another configuration.
    KeyboardInterrupt : after SIGINT, when the running cells are recorded. SIGTERM does then what it would
        have done at once.
    """
    at_once = max(1, min(jobs, len(cells)))
    slots: SimpleQueue[Machine] = SimpleQueue()
    commit = describe_commit()
    for k in range(at_once):
        slots.put(unnamed_machine(devices[k % len(devices)], commit, jobs))
    stop, told, errors = Stop(), _OneAtATime(watch or Quiet()), list[Exception]()
    left, counting = Counter(cell.problem for cell in cells), threading.Lock()

    def one(cell: Cell) -> CellResult | None:
        if stop.wanted:
            return None
        machine = slots.get()
        try:
            result = run_isolated(
                cell, store, problems[cell.problem], machine, threads=threads_each(jobs),
                limits=limits, retry_failed=retry_failed, mixed_clock=mixed_clock, watch=told, stop=stop,
            )  # fmt: skip
            told.end(result)
            return result
        except Exception as error:  # joblib would not wait for the others
            errors.append(error)
            stop.ask()
            return None
        finally:
            slots.put(machine)
            with counting:
                left[cell.problem] -= 1
                if not left[cell.problem]:
                    del problems[cell.problem]

    with _signals_stop(stop):
        pool = joblib.Parallel(n_jobs=at_once, backend="threading", batch_size=1, pre_dispatch=at_once)
        results = pool(joblib.delayed(one)(cell) for cell in cells)
    if errors:
        raise errors[0]
    return [result for result in results if result is not None]


class _OneAtATime:
    """A watcher that many threads may tell."""

    def __init__(self, watch: Watcher) -> None:
        self._watch, self._lock = watch, threading.Lock()

    def plan(self, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int) -> None:
        with self._lock:
            self._watch.plan(cells, todo, jobs)

    def begin(self, cell: Cell, spent: Callable[[], Spent]) -> None:
        with self._lock:
            self._watch.begin(cell, spent)

    def report(self, cell: Cell, report: ReportRecord) -> None:
        with self._lock:
            self._watch.report(cell, report)

    def end(self, result: CellResult) -> None:
        with self._lock:
            self._watch.end(result)


@contextmanager
def _signals_stop(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM ask cells to stop; what they would have done they do when all have."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        stop.ask()

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # ignored under nohup, say, and so it stays
                before[number] = signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
        raise KeyboardInterrupt
