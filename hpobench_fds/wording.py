"""How durations, errors and texts from others are put into a line."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``8 s``, ``12 min 30 s``, ``1 h 05 min``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def printable(text: str) -> str:
    """A text from others as one line that moves no cursor and clears no terminal: controls are spelt out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def in_a_line(error: BaseException, most: int = 300) -> str:
    """An error's type and message, cut short."""
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= most else f"{text[:most]}..."
