"""The fair clock: what is booked to whom, whatever happens in between."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.training.clock import Budget, Clock, Cost, Seconds, synchroniser


class FakeTime:
    """Time that passes only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def clock(time: FakeTime) -> Clock:
    clock = Clock(time)
    clock.start()
    return clock


def test_every_moment_is_booked_to_one_account(time: FakeTime, clock: Clock) -> None:
    time.now += 1
    with clock.charge("referee"):
        time.now += 10
        with clock.charge("records"):
            time.now += 100
        time.now += 10
    time.now += 1
    assert clock.sums() == Seconds(method=2, referee=20, records=100, elapsed=122)


@given(st.lists(st.tuples(st.sampled_from(["method", "referee", "records"]), st.integers(0, 10**6))))
def test_method_referee_and_records_are_the_elapsed_time(parts: list[tuple[str, int]]) -> None:
    time = FakeTime()
    clock = Clock(time)
    clock.start()
    expected = {"method": 0, "referee": 0, "records": 0}
    for account, duration in parts:
        expected[account] += duration
        with clock.charge(account):  # type: ignore[arg-type]
            time.now += duration
    sums = clock.sums()
    assert sums == Seconds(**expected, elapsed=time.now - 1000)
    assert sums.method + sums.referee + sums.records + sums.data == sums.elapsed


def test_seconds_are_the_methods_alone(time: FakeTime, clock: Clock) -> None:
    time.now += 3
    assert clock.seconds == 3
    with clock.charge("referee"):
        time.now += 50
        assert clock.seconds == 3
    assert clock.seconds == 3


def test_nothing_is_booked_while_stopped(time: FakeTime, clock: Clock) -> None:
    time.now += 2
    clock.stop()
    time.now += 1000
    clock.start()
    time.now += 1
    assert (clock.seconds, clock.sums().elapsed) == (3, 3)


def test_an_error_inside_a_charge_gives_the_time_back_to_the_method(time: FakeTime, clock: Clock) -> None:

    def fail() -> None:
        with clock.charge("records"):
            time.now += 5
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    time.now += 1
    assert (clock.seconds, clock.sums().records) == (1, 5)


def test_the_device_is_waited_for_before_each_switch(time: FakeTime) -> None:
    # Queued work takes 7 seconds that only show when the device is waited for.
    queued = [7.0]

    def wait() -> None:
        time.now += queued.pop() if queued else 0

    clock = Clock(time, wait)
    clock.start()
    with clock.charge("referee"):
        time.now += 1
    assert clock.sums() == Seconds(method=7, referee=1, elapsed=8)


def test_a_cpu_needs_no_waiting() -> None:
    assert synchroniser(torch.device("cpu"))() is None


def test_a_continued_clock_adds_up_and_keeps_no_origin(time: FakeTime, clock: Clock) -> None:
    time.now += 6
    clock.count(steps=5, gradients=2.5, products=3)
    earlier, cost = clock.sums(), clock.cost
    later = FakeTime(now=-12345.0)  # another process: its origin has nothing to do with the first one's
    again = Clock(later, earlier=earlier, cost=cost)
    again.start()
    later.now += 1
    again.count(steps=1)
    assert (again.seconds, again.sums().elapsed) == (7, 7)
    assert again.cost == Cost(inner_steps=6, gradient_equivalents=2.5, products=3)
    assert clock.cost.inner_steps == 5  # the earlier part's cost is a copy


@pytest.mark.parametrize("misuse", [lambda c: c.stop(), lambda c: c.charge("referee").__enter__()])
def test_a_clock_that_is_not_running_cannot_be_stopped_or_charged(time: FakeTime, misuse: object) -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        misuse(Clock(time))  # type: ignore[operator]


def test_a_running_clock_cannot_be_started(clock: Clock) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        clock.start()


def test_a_budget_of_seconds_is_spent_by_the_method_alone(time: FakeTime, clock: Clock) -> None:
    budget = Budget(clock, seconds=10)
    with clock.charge("referee"):
        time.now += 1000
    assert not budget.exhausted
    time.now += 9.5
    assert not budget.exhausted
    assert budget.used == pytest.approx(0.95)
    time.now += 0.5
    assert budget.exhausted


def test_whichever_limit_comes_first_ends_a_budget(clock: Clock) -> None:
    budget = Budget(clock, seconds=10, steps=100)
    clock.count(steps=99)
    assert not budget.exhausted
    assert budget.used == pytest.approx(0.99)
    clock.count(steps=1)
    assert budget.exhausted


def test_an_unlimited_budget_never_ends(time: FakeTime, clock: Clock) -> None:
    time.now += 1e9
    clock.count(steps=10**9)
    assert not Budget(clock).exhausted
    assert Budget(clock).used == 0


def test_budget_goes_on_where_a_run_was_interrupted(time: FakeTime) -> None:
    again = Clock(time, earlier=Seconds(method=9.0, elapsed=9.0))
    budget = Budget(again, seconds=10)
    again.start()
    time.now += 0.9
    assert not budget.exhausted
    time.now += 0.2
    assert budget.exhausted


def test_a_budget_of_gradients_counts_products_and_ends_replays_too() -> None:
    clock = Clock()
    budget = Budget(clock, gradient_equivalents=100.0)
    clock.count(steps=60, gradients=60.0)
    assert not budget.exhausted
    assert budget.used == pytest.approx(0.6)
    clock.count(gradients=40.0, products=20)
    assert budget.exhausted
    assert budget.out_of_time
    assert budget.used == 1.0
    assert budget.limits == {"seconds": None, "steps": None, "gradient_equivalents": 100.0}
