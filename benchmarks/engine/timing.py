"""Timing of two sides in one run: blocks of each in turn, so that drift of the machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Block = Callable[[], object]


def interleaved(
    sides: Mapping[str, Block],
    rounds: int = 9,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each block in each round, after one round that is not counted.

    ``wait`` is called before each reading of the clock.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, block in sides.items():
            wait()
            start = clock()
            block()
            wait()
            if number:
                times[name].append(clock() - start)
    return times


def median_ratio(above: list[float], below: list[float]) -> tuple[float, float, float]:
    """Median, lowest and highest of the round-by-round ratio."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]
