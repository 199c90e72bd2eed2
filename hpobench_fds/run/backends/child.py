"""What runs in the process of one cell: the cell itself, and messages to the runner that started it.

The runner's side is ``supervisor``. A process that lost its runner ends at once, wherever it is.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn

import torch
from threadpoolctl import threadpool_limits

from hpobench_fds.errors import InputError
from hpobench_fds.records.schema import ReportRecord
from hpobench_fds.run.backends.messages import Beat, Begun, Broken, Ended, Message, Order, Reported
from hpobench_fds.run.cell_run import run_cell
from hpobench_fds.run.machine import describe_device
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.watcher import CellResult
from hpobench_fds.suite.cell import Cell
from hpobench_fds.wording import in_a_line

BEAT = 1.0  # seconds between messages when there is nothing to tell
STACK_SIGNAL = signal.SIGUSR2  # has every thread's stack written to the cell's output, even in C code
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Messenger:
    """The watcher of the cell's process. Sends from a thread of its own: the cell waits for no pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._spent: Callable[[], Spent] | None = None
        self._thread = threading.Thread(target=self._send, name="messages to the runner", daemon=True)
        self._thread.start()

    def plan(self, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int) -> None:
        """Nobody plans here."""

    def begin(self, cell: Cell, spent: Callable[[], Spent]) -> None:
        self._spent = spent
        self._queue.put(Begun(spent()))

    def report(self, cell: Cell, report: ReportRecord) -> None:
        if self._spent is not None:
            self._queue.put(Reported(report, self._spent()))

    def end(self, result: CellResult) -> None:
        self.last(Ended(result))

    def last(self, message: Message) -> None:
        """Send the last word, and return when it is on its way."""
        self._queue.put(message)
        self._queue.put(None)
        self._thread.join()

    def _send(self) -> None:
        while True:
            try:
                message = self._queue.get(timeout=BEAT)
            except Empty:
                if self._spent is None:
                    continue
                message = Beat(self._spent())
            if message is None:
                return
            try:
                self._connection.send(message)
            except OSError:  # the runner is gone, and so will this process be
                return


def main(order: Order, connection: Connection) -> None:
    """The whole life of the process, which begins with ``STOP_SIGNALS`` blocked."""
    end_with_the_runner()
    gc.freeze()  # the collector would look through all of torch, and so copy what lies in shared pages
    redirect_output(order.output)
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    messenger = Messenger(connection)  # while signals are blocked: they are the main thread's to take
    last: Message = Ended(CellResult(order.cell, "interrupted"))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        last = _run(order, messenger)
    except KeyboardInterrupt:
        pass
    finally:
        _no_more_interrupts()
    messenger.last(last)


def _run(order: Order, messenger: Messenger) -> Message:
    try:
        os.environ.clear()  # the fork server's is as old as the server is
        os.environ.update(order.environment)
        _use_threads(order.threads)
        problem, test = order.problem.build(order.machine.device)
        machine = replace(order.machine, description=describe_device(order.machine.device))
        result = run_cell(
            order.cell,
            order.store,
            problem,
            test,
            machine,
            retry_failed=order.retry_failed,
            mixed_clock=order.mixed_clock,
            watch=messenger,
        )
    except InputError as error:
        return Broken(str(error))
    except Exception as error:
        return Broken(in_a_line(error), traceback.format_exc())
    return Ended(result)


def _use_threads(threads: int) -> None:
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
        threadpool_limits(threads)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)  # for libraries that are loaded later


def _interrupt(*_: object) -> NoReturn:
    _no_more_interrupts()  # a scheduler's signal and the runner's may both come
    raise KeyboardInterrupt


def _no_more_interrupts() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def redirect_output(path: Path) -> None:
    """What the process prints, and where it was if it crashes, goes into a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:  # a full disk: the cell will say so when it comes to its records
        descriptor = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False, errors="backslashreplace")
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")
    faulthandler.enable(2)
    faulthandler.register(STACK_SIGNAL, 2, all_threads=True, chain=False)


def end_with_the_runner() -> None:
    """Be killed, with all processes started from here, when the runner dies, however it does.

    The runner holds the other end of a pipe. On Linux the kernel signals its closing to the whole
    process group, so that not even C code that never returns can outlive the runner; elsewhere a thread
    waits for it.
    """
    os.setsid()  # also keeps Ctrl-C on the terminal away: it is the runner's to pass on
    runner = multiprocessing.parent_process()
    if runner is None:
        return
    pipe = runner.sentinel
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_DFL)  # which is to die
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
        if wait([pipe], 0):  # it died before that
            os.killpg(0, signal.SIGKILL)
    else:
        threading.Thread(target=_wait_and_die, args=(pipe,), name="waits for the runner", daemon=True).start()


def _wait_and_die(pipe: int) -> None:
    wait([pipe])
    os.killpg(0, signal.SIGKILL)
