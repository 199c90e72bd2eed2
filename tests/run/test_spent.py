"""The clock of a run: CPU seconds beside its own, and the longest time in which there were none."""

from __future__ import annotations

import pytest

from hpobench_fds.records.schema import ClockRecord
from hpobench_fds.run.spent import RunClock, clock_record, seconds_of
from hpobench_fds.training.clock import Clock


class Machine:
    """A fake clock, and fake CPU seconds of a process."""

    def __init__(self) -> None:
        self.now, self.cpu = 100.0, 7.0

    def works(self, seconds: float, cpu: float | None = None) -> None:
        self.now += seconds
        self.cpu += seconds if cpu is None else cpu


@pytest.fixture
def machine() -> Machine:
    return Machine()


def clock_of(machine: Machine, earlier: ClockRecord | None = None) -> RunClock:
    return RunClock(lambda: machine.now, earlier=earlier, cpu=lambda: machine.cpu)


def told(clock: Clock) -> tuple[float | None, float | None, float | None]:
    record = clock_record(clock)
    return record.cpu, record.gap, record.stalled


def test_only_the_methods_time_is_looked_at(machine: Machine) -> None:
    clock = clock_of(machine)
    machine.works(50.0, 0.0)  # before the start
    clock.start()
    machine.works(2.0)
    with clock.charge("referee"):
        machine.works(30.0, 0.0)
    machine.works(1.0)
    clock.stop()
    machine.works(70.0, 0.0)
    assert told(clock) == (3.0, 2.0, 0.0)
    assert clock_record(clock).method == 3.0


def test_a_stop_of_six_seconds_is_one_gap_without_cpu(machine: Machine) -> None:
    clock = clock_of(machine)
    clock.start()
    for _ in range(6):  # the budget is looked at again and again
        machine.works(0.5)
        assert clock.seconds > 0
    machine.works(6.5, 0.5)
    clock.stop()
    assert told(clock) == (3.5, 6.5, 6.0)


def test_long_work_without_a_look_is_no_stop(machine: Machine) -> None:
    clock = clock_of(machine)
    clock.start()
    machine.works(20.0, 39.0)  # two threads
    clock.stop()
    assert told(clock) == (39.0, 20.0, 0.0)


def test_a_resumed_run_adds_up(machine: Machine) -> None:
    earlier = ClockRecord(method=10.0, elapsed=11.0, data=1.0, cpu=9.0, gap=2.0, stalled=1.5)
    clock = clock_of(machine, earlier)
    clock.start()
    machine.works(4.0, 3.5)
    clock.stop()
    assert told(clock) == (12.5, 4.0, 1.5)
    assert (clock_record(clock).method, clock_record(clock).elapsed) == (14.0, 15.0)


def test_of_a_part_that_did_not_measure_it_nothing_is_made_up(machine: Machine) -> None:
    clock = clock_of(machine, ClockRecord(method=10.0, elapsed=10.0))
    clock.start()
    machine.works(4.0)
    clock.stop()
    assert told(clock) == (None, None, None)
    assert told(Clock()) == (None, None, None)
    assert seconds_of(clock_record(clock)).method == 14.0
