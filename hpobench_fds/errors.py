"""Errors that are the user's to mend: one line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterable

from hpobench_fds.wording import printable

MOST_TEXT = 1000  # characters of what is wrong; a bad value may be a whole file


class HpobenchError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(HpobenchError):
    """Bad input. The message is one line: where, which key, the bad value, what is allowed.

    Parameters
    ----------
    problem : what is wrong, with the bad value in it; cut short if it is very long.
    where : the file (and table) it stands in.
    key : the key it was given for.
    allowed : what would have been accepted.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: object = None,
        key: str | None = None,
        allowed: str | Iterable[object] | None = None,
    ) -> None:
        if len(problem) > MOST_TEXT:
            problem = f"{problem[:MOST_TEXT]}..."
        place = ": ".join(str(part) for part in (where, key) if part)
        if allowed is not None and not isinstance(allowed, str):
            allowed = ", ".join(str(item) for item in allowed)
        text = f"{place}: {problem}" if place else problem
        if allowed:
            text += f" (allowed: {allowed})"
        super().__init__(printable(" ".join(text.split())))
