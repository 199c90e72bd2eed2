"""Whether a method says what is so: the clock is the runner's own, and reports are of what was trained.

A guard against slips and cheap tricks, none against malice: a method runs in the runner's process, and who
goes looking for this module will get round it. What is seen, and fails the cell with a line:

- a clock that was stopped, frozen, set back or given another source, and costs that were taken back: the
  runner has a time of its own and counts as well;
- work of the method that was booked to the referee, the records or the making of data: the runner knows
  for how long it was at that itself;
- of every incumbent, a validation loss or accuracy that its weights do not have, a fidelity that is not the
  share of the horizon that was trained, and a schedule, values step by step, or a step rule of its own, that
  were not the trained.

Not seen: reports that are no incumbents; weights that were put into the state of another training; a
schedule whose values moved while they were on a GPU, in which case nobody has read them; a state that no
trainer has started; training on a trainer and a clock of the method's own, as far as it stays below the
steps that are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from hpobench_fds.method.contract import Report
from hpobench_fds.metrics import ACCURACY
from hpobench_fds.run.spent import RunClock
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Account, Clock, Seconds, synchroniser
from hpobench_fds.training.own_rules import OwnRule
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer

# The runner's readings enclose the clock's, so that a process that loses the CPU between two of them, for
# however long, accuses nobody: what is left is rounding.
ROUNDING = 1e-6  # seconds
# Other batch sizes and float64 move a float32 loss by 1e-7 of itself; an example may be on the line.
NEAR_LOSS, LEAST_LOSS, NEAR_EXAMPLES = 1e-4, 1e-6, 1.5
NEAR_VALUE = 1e-6  # share of a hyperparameter's value
LEAST_VALUE = 1e-12
NEAR_FIDELITY = 1e-9


class DishonestError(Exception):
    """What a method says is not so; the message says what it said, and what is."""


# ---------------------------------------------------------------------------------------------- reports


def untrue(report: Report, problem: Problem, found: Evaluation) -> str:
    """What is not so about a report whose state was found to have that evaluation; empty if all is."""
    state, told = report.state, report.evaluation
    assert state is not None
    metric = problem.objective.metric
    near = math.isclose(told.loss, found.loss, rel_tol=NEAR_LOSS, abs_tol=LEAST_LOSS)
    if metric == ACCURACY:
        near = near and abs(told.metric - found.metric) * problem.validation_size <= NEAR_EXAMPLES
    else:
        near = near and math.isclose(told.metric, found.metric, rel_tol=NEAR_LOSS, abs_tol=NEAR_LOSS)
    if not near:
        return (
            f"validation loss {told.loss:.6g} and {metric.name} {told.metric:.6g} were reported, the weights "
            f"have {found.loss:.6g} and {found.metric:.6g}"
        )
    if abs(report.fidelity - state.step / problem.horizon) > NEAR_FIDELITY:
        return (
            f"fidelity {report.fidelity:g} was reported, and {state.step} of {problem.horizon} inner steps "
            "were trained"
        )
    trained = report.trained(problem.space)
    rule = trained if isinstance(trained, OwnRule) else None
    if rule != state.by:
        by = [one.as_data() if one else "the problem's" for one in (rule, state.by)]
        return f"the step rule that was reported is {by[0]}, and {by[1]} was trained by"
    return "" if isinstance(trained, OwnRule) else untrue_schedule(trained, problem, state)


def untrue_schedule(schedule: Schedule, problem: Problem, state: TrainState) -> str:
    """How a schedule is not the one that a state was trained with, in words; empty if it is, or nobody knows.

    The values in force are those of the schedule's first steps, or of all of it stretched over as many.
    """
    if state.trained is None or not state.step:
        return ""
    begins, ends, values = zip(*state.trained, strict=True) if state.trained else ((), (), ())
    if (*begins, state.step) != (0, *ends):
        return f"its state says {state.step} inner steps, which are not the ones that were trained"
    in_force = np.repeat(np.array(values, float), np.array(ends) - np.array(begins), axis=0)
    found = ""
    for horizon in dict.fromkeys((state.step, problem.horizon)):
        found = _first_other(schedule, problem, in_force, horizon)
        if not found:
            return ""
    return found


def _first_other(schedule: Schedule, problem: Problem, in_force: NDArray[np.float64], horizon: int) -> str:
    """The first hyperparameter that is not as was trained [T, H], in words; empty if all are."""
    steps = np.arange(len(in_force))
    for trained, name in zip(in_force.T, problem.rule.defaults, strict=True):
        told = np.array([schedule.at(name, int(step), horizon) for step in steps])
        other = ~np.isclose(told, trained, rtol=NEAR_VALUE, atol=LEAST_VALUE)
        if other.any():
            step = int(np.argmax(other))
            return (
                f"the schedule that was reported is not the one that was trained: {name} was "
                f"{trained[step]:g} at step {step}, and {told[step]:g} was reported (if values moved within "
                "a window, report them step by step)"
            )
    return ""


# ------------------------------------------------------------------------------------------ the runner's eye


class Trusting:
    """Believes everything: for those who have a recorder and no run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def charge(self, account: Account) -> AbstractContextManager[None]:
        """Book what the runner does inside to an account."""
        return self._clock.charge(account)

    def look(self, state: TrainState | None = None) -> None:
        """See whether clock and counts are as they should be."""

    def check(self, report: Report) -> None:
        """See whether a report is true."""


class Honesty(Trusting):
    """Keeps the runner's own time and looks at reports; what it has seen once it does not forget.

    Parameters
    ----------
    seed : of the cell, for the validation data of its trials.
    clock : of the run; a method holds it.
    source : monotonic time in seconds, that no method holds.
    """

    def __init__(self, problem: Problem, seed: int, clock: RunClock, source: Callable[[], float]) -> None:
        super().__init__(clock)
        self._problem, self._seed, self._run_clock, self._source = problem, seed, clock, source
        self._synchronise = synchroniser(problem.device)
        self._spent = {"runner": 0.0, "data": 0.0}
        self._entered: dict[str, float] = {}
        self._begun = (0.0, 0.0)  # around the reading of ``_before``
        self._before, self._resumed = Seconds(), False
        self._referee: Trainer | None = None  # with the data of the last trial
        self._trial = -1
        self._seen = ""

    def begin(self, resumed: bool) -> None:
        """The clock has just been started; a method that is ``resumed`` may think again off its time."""
        first = self._source()
        self._before, self._resumed = self._clock.sums(), resumed
        self._begun = (first, self._source())

    @contextmanager
    def charge(self, account: Account) -> Iterator[None]:
        with self._at("runner"), self._clock.charge(account):
            yield

    @contextmanager
    def making_data(self) -> Iterator[None]:
        """What a trainer enters while it makes a trial's data."""
        with self._at("data"), self._clock.aside("data"):
            yield

    @contextmanager
    def _at(self, what: str) -> Iterator[None]:
        """The runner's own time around what the clock books."""
        if what in self._entered:  # what is nested is there already
            yield
            return
        self._entered[what] = self._source()
        try:
            yield
        finally:
            self._synchronise()
            self._spent[what] += self._source() - self._entered.pop(what)

    def look(self, state: TrainState | None = None) -> None:
        """See whether clock and counts are sound, ``state`` being reported. Raises DishonestError."""
        self._seen = self._seen or self._clock_is_off() or self._counts_are_off(state)
        if self._seen:
            raise DishonestError(self._seen)

    def _clock_is_off(self) -> str:
        first, sums, now = self._source(), self._clock.sums(), self._source()
        ran = {one.name: getattr(sums, one.name) - getattr(self._before, one.name) for one in fields(Seconds)}
        least, most = first - self._begun[1], now - self._begun[0]
        whole = abs(sum(ran.values()) - 2 * ran["elapsed"]) <= ROUNDING
        if not (whole and least - ROUNDING <= ran["elapsed"] <= most + ROUNDING):
            return (
                f"the clock was tampered with: it ran for {ran['elapsed']:.3g} s, the runner's own for "
                f"{most:.3g} s"
            )
        own = {what: spent + now - self._entered.get(what, now) for what, spent in self._spent.items()}
        booked, work = ran["referee"] + ran["records"], self._run_clock.first_work
        # A method that is resumed may think again off its time, until it first works.
        again = (now if work is None else work) - self._begun[0] if self._resumed else 0.0
        if booked > own["runner"] + again + ROUNDING:
            return (
                f"{booked:.3g} s were booked to referee and records, where the runner was at work for "
                f"{own['runner']:.3g} s: a method's work is on its own time"
            )
        if ran["data"] > own["data"] + ROUNDING:
            return (
                f"{ran['data']:.3g} s were booked to the making of data, which took {own['data']:.3g} s: "
                "train with task.trainer, and leave the clock alone"
            )
        return ""

    def _counts_are_off(self, state: TrainState | None) -> str:
        cost, counted = self._clock.cost, self._run_clock.counted
        if cost != counted:
            return f"costs were changed: {cost} on the clock, {counted} counted"
        if state is not None and state.step > cost.inner_steps:
            return f"{state.step} inner steps were trained, {cost.inner_steps} are on the clock"
        return ""

    def check(self, report: Report) -> None:
        """Validate the state of a report again and see whether the report is true. Raises DishonestError."""
        state = report.state
        assert state is not None
        if self._referee is None or state.trial != self._trial:
            self._referee, self._trial = Trainer(self._problem, self._seed, Clock()), state.trial
        if found := untrue(report, self._problem, self._referee.evaluate(state)):
            self._seen = f"an untrue report: {found}"
            raise DishonestError(self._seen)
