"""Errors that are the user's to mend: one line, exit code 2."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hpobench_fds.wording import printable

NEAR = 0.7  # of difflib's ratio: a letter or two
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
        names = _names(allowed)
        if allowed is not None and not isinstance(allowed, str):
            allowed = ", ".join(names)
        text = f"{place}: {problem}" if place else problem
        if "did you mean" not in text and (meant := _nearest(problem, names)):
            text += f", did you mean {meant!r}?"
        if allowed:
            text += f" (allowed: {allowed})"
        super().__init__(printable(" ".join(text.split())))


def _names(allowed: str | Iterable[object] | None) -> list[str]:
    """Names that are allowed; of a sentence what stands between commas and its last "or"."""
    if allowed is None:
        return []
    if isinstance(allowed, str):
        return [name.strip("'\" ") for name in re.split(r",| or ", allowed)]
    return [str(item) for item in allowed]


def _nearest(problem: str, names: list[str]) -> str | None:
    """The allowed name of which something that stands in quotes in the problem is a slip of the pen."""
    given = [one or other for one, other in re.findall(r"'([^']{2,60})'|\"([^\"]{2,60})\"", problem)]
    for word in given:
        found = [] if word in names else get_close_matches(word, names, n=1, cutoff=NEAR)
        if found and re.sub(r"\d", "", word) != re.sub(r"\d", "", found[0]):  # another number is no slip
            return str(found[0])
    return None
