"""What a cell has spent: the clock as records have it, and how far that is on the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

from hpobench_fds.records.schema import ClockRecord, CostRecord
from hpobench_fds.training.clock import Budget, Clock, Cost, Seconds, amounts, share_used


class RunClock(Clock):
    """The clock of a run, which also tells whether the process had the machine while the method's time ran.

    Each reading looks at the CPU seconds of the process as well. They are those of all its threads, so
    that a method at work has at least about a second of them each second, whatever its threads.

    Parameters
    ----------
    source, synchronise : as of ``Clock``.
    earlier, cost : of an earlier part of the same run.
    cpu : CPU seconds of this process; tests pass a fake one.
    """

    def __init__(
        self,
        source: Callable[[], float] = time.monotonic,
        synchronise: Callable[[], None] = lambda: None,
        earlier: ClockRecord | None = None,
        cost: Cost | None = None,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        earlier = earlier or ClockRecord(cpu=0.0, gap=0.0, stalled=0.0)
        self._time, self._process = source, cpu
        self._last = source(), cpu()
        # All in seconds of the method's account; None: an earlier part of the run did not measure it.
        self.cpu, self.gap, self.stalled = earlier.cpu, earlier.gap, earlier.stalled
        self._account = None  # set before the first reading
        super().__init__(self._read, synchronise, seconds_of(earlier), cost)
        self.counted = replace(self.cost)  # as ``cost``, which lies open to the method
        self.first_work: float | None = None  # when the first of it was counted, by ``source``

    def count(self, *, steps: int = 0, gradients: float = 0.0, products: int = 0) -> None:
        super().count(steps=steps, gradients=gradients, products=products)
        if self.first_work is None:
            self.first_work = self._time()
        self.counted.inner_steps += steps
        self.counted.gradient_equivalents += gradients
        self.counted.products += products

    def _read(self) -> float:
        """The time, what has passed since the last reading being looked at."""
        now, cpu = self._time(), self._process()
        (before, cpu_before), self._last = self._last, (now, cpu)
        if self._account == "method":
            passed, worked = now - before, cpu - cpu_before
            self.cpu = None if self.cpu is None else self.cpu + worked
            self.gap = None if self.gap is None else max(self.gap, passed)
            self.stalled = None if self.stalled is None else max(self.stalled, passed - worked)
        return now


def clock_record(clock: Clock) -> ClockRecord:
    """Where the time has gone so far."""
    seconds = asdict(clock.sums())  # a reading, which goes before the look at what readings found
    if not isinstance(clock, RunClock):
        return ClockRecord(**seconds)
    return ClockRecord(**seconds, cpu=clock.cpu, gap=clock.gap, stalled=clock.stalled)


def cost_record(clock: Clock) -> CostRecord:
    """The machine-free cost so far."""
    return CostRecord(**asdict(clock.cost))


def seconds_of(record: ClockRecord) -> Seconds:
    """What a clock that goes on starts from."""
    return Seconds(**{field.name: getattr(record, field.name) for field in fields(Seconds)})


def cost_of(record: CostRecord) -> Cost:
    """The cost that a clock that goes on adds to."""
    return Cost(**record.model_dump())


@dataclass(frozen=True)
class Spent:
    """How far a cell is: its clock and cost, and the budget for them (None: no limit)."""

    clock: ClockRecord
    cost: CostRecord
    limits: dict[str, float | None]

    @classmethod
    def of(cls, budget: Budget) -> Spent:
        """How much of a budget is spent at this moment."""
        clock = budget.clock
        return cls(clock_record(clock), cost_record(clock), budget.limits)

    @property
    def used(self) -> float:
        """Share of the budget that is spent, in [0, 1]; the largest one if several limits are set."""
        return share_used(amounts(self.clock.method, cost_of(self.cost)), self.limits)
