"""The rules in a process of their own, with a limit: a method that ends or hangs it has broken the rule.

Whether a method keeps the contract is read from what that process tells, never from its exit code.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hpobench_fds.errors import InputError
from hpobench_fds.method.conformance.kit import Finding
from hpobench_fds.method.conformance.rules import RULES

SECONDS = 120.0
CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from hpobench_fds.method.conformance.child import main; main()"
)
REMEDY = "let the method return or raise: it must neither end the process nor wait for ever"
LOOK = 0.5  # seconds between looks at whether it lives
FIRST = {rule.name for rule in RULES if rule.first}


def check_apart(
    method: str, options: Mapping[str, Any] | None = None, *, seconds: float = SECONDS
) -> list[Finding]:
    """Hold a method against every rule, in a process of its own, all rules within so many seconds.

    A process that dies has broken the rule that ran; the rules after it are checked in another one. One that
    is not done in time is killed, with all that it started: the rule that ran is broken, and what comes
    after it has no finding.

    Parameters
    ----------
    method : a registered name, or FILE.py:CLASS; the file is not imported here.
    options : to run it with, as plain JSON data.

    Raises
    ------
    InputError : no such method, or no such option.
    """
    deadline = time.monotonic() + seconds
    findings: list[Finding] = []
    left = [rule.name for rule in RULES]
    while left:
        process = _Checking(method, options, left, deadline)
        try:
            done = process.listen()
        finally:
            code = process.kill()
        findings += process.findings
        if done:
            break
        late = time.monotonic() >= deadline
        what = f"it was not done within {seconds:g} s" if late else f"it ended the process ({_told(code)})"
        where = "" if process.rule else " while it was imported"
        broken = process.rule or left[0]
        findings.append(Finding(broken, False, what + where, REMEDY))
        if late or broken in FIRST or not process.rule:
            break
        left = left[left.index(broken) + 1 :]
    return findings


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


class _Checking:
    """A process that checks rules, and what it has told."""

    def __init__(
        self, method: str, options: Mapping[str, Any] | None, rules: Sequence[str], deadline: float
    ) -> None:
        self.findings: list[Finding] = []
        self.rule = ""  # that it is at
        self._deadline = deadline
        order = {"method": method, "options": dict(options or {}), "rules": list(rules), "deadline": deadline}
        command = [sys.executable, "-P", "-c", CHILD, json.dumps(sys.path), json.dumps(order)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Hand on its lines; an empty one when there are no more."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def listen(self) -> bool:
        """Whether it came to the end of its rules; False if it died, or was not done in time."""
        while line := self._line():
            message = json.loads(line)
            if "refused" in message:
                raise InputError(message["refused"])
            if "done" in message:
                return True
            if "finding" in message:
                self.findings.append(Finding(**message["finding"]))
            self.rule = message.get("rule", self.rule)
        return False

    def _line(self) -> bytes:
        """The next line that it tells; empty if there is none, or none in time."""
        while (left := self._deadline - time.monotonic()) > 0:
            # A process that it has started may hold the pipe open after it has died.
            dead = self._process.poll() is not None
            try:
                return self._lines.get(timeout=min(left, LOOK))
            except queue.Empty:
                if dead:
                    break
        return b""

    def kill(self) -> int:
        """End it and all that it started; its exit code, negative for a signal."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.0 if time.monotonic() >= self._deadline else 1.0)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()
