"""What people read in a line is short and says what it should."""

from __future__ import annotations

import pytest

from hpobench_fds.wording import duration, in_a_line


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
