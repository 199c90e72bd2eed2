"""What people read in a line is short and says what it should."""

from __future__ import annotations

import pytest

from hpobench_fds.errors import InputError
from hpobench_fds.wording import duration, in_a_line, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (8.2, "8 s"), (750, "12 min 30 s"), (3900, "1 h 05 min"), (3599.9, "1 h 00 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no\n  way"), "ValueError: no way"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 400), f"ValueError: {'x' * 288}..."),
    ],
)
def test_errors_fit_into_a_line(error: Exception, text: str) -> None:
    assert in_a_line(error) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain, ünïcode, 😀", "plain, ünïcode, 😀"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J\x07 gone\u202e", "\\x1b[2J\\x07 gone\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_texts_of_others_control_no_terminal(text: str, line: str) -> None:
    assert printable(text) == line
    assert printable(line) == line


def test_bad_input_is_a_line_that_controls_no_terminal() -> None:
    assert str(InputError("got '\x1b[2J'\n twice", key="name")) == "name: got '\\x1b[2J' twice"
