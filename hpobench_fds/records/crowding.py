"""Whether a process had the machine while the seconds of its method were counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STALL = 1.0  # seconds at a stretch without a CPU at work; no step of a method waits that long for anything
SHARE = 0.8  # of its seconds in which a method at work has at least one thread on a CPU
LEAST = 5.0  # seconds of method time; below it a single stutter would count


def crowding(clock: Mapping[str, Any], kind: str | None) -> str | None:
    """How a run was suspended or crowded, in a line; None if it was not, or cannot be told.

    Parameters
    ----------
    clock : a ``ClockRecord`` as plain data. kind : of the device.

    A method at work has at least about one CPU second each second, however many threads there are: what is
    missing of it went to other processes, or to nobody. A stop (Ctrl-Z, a sleeping laptop, a virtual machine
    that was moved) is one long gap without CPU between two readings of the clock; the rest of the time is
    judged apart from it. A GPU's waiting is not told from idleness, so that only stops are told there.
    """
    cpu, stalled, method = (clock.get(name) for name in ("cpu", "stalled", "method"))
    if cpu is None or stalled is None or method is None:
        return None
    found = []
    if stalled >= STALL:
        stretch = f"for {stalled:.1f} s at a stretch no CPU was at work for it"
        found.append(f"{stretch}: it was suspended or crowded out")
    rest = method - stalled
    if kind == "cpu" and rest >= LEAST and cpu < SHARE * rest:
        found.append(f"it had {cpu:.1f} CPU seconds in {rest:.1f} s: other processes took the rest")
    if not found:
        return None
    return f"{method:.1f} s of method time are not all its own: {'; '.join(found)}"
