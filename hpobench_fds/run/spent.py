"""What a cell has spent: the clock as records have it, and how far that is on the budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hpobench_fds.records.schema import ClockRecord, CostRecord
from hpobench_fds.training.clock import Budget, Clock, Cost, Seconds, amounts, share_used


def clock_record(clock: Clock) -> ClockRecord:
    """Where the time has gone so far."""
    return ClockRecord(**asdict(clock.sums()))


def cost_record(clock: Clock) -> CostRecord:
    """The machine-free cost so far."""
    return CostRecord(**asdict(clock.cost))


def seconds_of(record: ClockRecord) -> Seconds:
    """What a clock that goes on starts from."""
    return Seconds(**record.model_dump())


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
