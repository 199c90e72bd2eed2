"""The process of a cell from outside: started, listened to, stopped at its limits, ended.

It is forked from a server that has imported torch and done nothing else: it starts in tens of
milliseconds, with no threads, no state of earlier cells and no set-up of a GPU. What happens in it is in
``child``.
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

from hpobench_fds.run.backends.child import STACK_SIGNAL, STOP_SIGNALS, main
from hpobench_fds.run.backends.messages import Beat, Begun, Broken, Ended, Message, Order, Reported
from hpobench_fds.run.backends.sockets import ensure_short_paths
from hpobench_fds.run.machine import own_memory
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.watcher import Watcher
from hpobench_fds.suite.limits import GB, Limits

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

LIMITS_EVERY = 0.25  # seconds between looks at limits
GRACE = 5.0  # seconds that a process has for ending, once it should
STACK_WAIT = 1.0  # seconds at most for the stacks to be written


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


class CellProcess:
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
        ready = wait(open_ends, LIMITS_EVERY)
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
        if seen - self._looked_at < LIMITS_EVERY / 2:  # it has much to tell
            return
        # While the runner itself was stopped (Ctrl-Z), it could not see whether the cell was.
        self._seconds += min(seen - self._looked_at, 4 * LIMITS_EVERY)
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
        before = size_of(path)
        self._signal(STACK_SIGNAL)
        while time.monotonic() < deadline and size_of(path) == before:
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


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
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
            ensure_short_paths()
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
