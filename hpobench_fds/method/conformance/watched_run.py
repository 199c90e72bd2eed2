"""What one run of a method is watched with: a clock of work, a trainer that may fail, ears that check."""

from __future__ import annotations

import dataclasses
import io
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hpobench_fds.data import dataset as data_module
from hpobench_fds.method.contract import Report
from hpobench_fds.plain import require_plain
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Account, Clock, Cost, Seconds
from hpobench_fds.training.own_rules import OwnRule
from hpobench_fds.training.state import TrainState
from hpobench_fds.training.trainer import Trainer, evaluate_on

LOOKS = 1_000_000  # at the clock, in one run
STOLEN = 0.5  # seconds, of work: less than an inner step has
SLACK = 1e-9  # share of a range that rounding may carry a schedule outside it


class Runaway(BaseException):
    """Ends a method that will not stop; no Exception, lest the method catch it."""


class _WorkTime:
    """Time that passes with work, and by a hair at each look, as time does."""

    def __init__(self) -> None:
        self.now, self.looks = 0.0, 0

    def __call__(self) -> float:
        self.looks += 1
        if self.looks > LOOKS:
            raise Runaway("it looks at the clock and never stops")
        self.now += 1e-7
        return self.now


class WorkClock(Clock):
    """One second an inner step. Cuts a runaway off, and sees who lays hands on it."""

    def __init__(self, most: int, earlier: Seconds | None = None, cost: Cost | None = None) -> None:
        self.time, self.most = _WorkTime(), most
        self.counted = cost.inner_steps if cost else 0
        self.stops, self.data = 0, Counter[str]()  # how often "made" by the trainer, "charged" by anyone
        super().__init__(self.time, earlier=earlier, cost=cost)

    def stop(self) -> None:
        self.stops += 1
        super().stop()

    @contextmanager
    def charge(self, account: Account) -> Iterator[None]:
        if account == "data":
            self.data["charged"] += 1
        with super().charge(account):
            yield

    def making_data(self) -> AbstractContextManager[None]:
        """What the kit's trainers enter while they make a trial's data."""
        if self._account is not None:
            self.data["made"] += 1
        return self.aside("data")

    @contextmanager
    def watched(self, trace: Trace) -> Iterator[None]:
        """A method is at work inside: complain if the clock is not left alone."""
        time, begun, before = self.time, self.time.now, self.sums()
        try:
            yield
        finally:
            after, passed = self.sums(), time.now - begun
            ran = after.elapsed - before.elapsed
            if self.stops:
                trace.complain("clock", "it stopped the clock")
            if self._source is not time or abs(ran - passed) > STOLEN:
                trace.complain(
                    "clock", f"the clock was tampered with: it ran for {ran:.3g} s of {passed:.3g}"
                )
            if (after.referee, after.records) != (before.referee, before.records):
                trace.complain("clock", "it booked time of its own to the referee or the records")
            if self.data["charged"] != self.data["made"]:
                trace.complain("clock", "it booked time of its own to the making of data")

    def count(self, *, steps: int = 0, gradients: float = 0.0, products: int = 0) -> None:
        super().count(steps=steps, gradients=gradients, products=products)
        self.time.now += steps
        self.counted += steps
        if self.counted > self.most:
            raise Runaway(f"still training after {self.counted} steps")


class FaultyTrainer(Trainer):
    """A trainer whose trials numbered so start from weights that are not finite, so that they diverge."""

    def __init__(self, *arguments: Any, faulty: Callable[[int], bool], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.faulty = faulty

    def start(self, trial: int) -> TrainState:
        state = super().start(trial)
        if self.faulty(trial):
            state.w.fill_(math.nan)
        return state


def sound(trial: int) -> bool:
    return False


@dataclass(frozen=True)
class Seen:
    """One report, as far as it must be the same in a repeated run."""

    schedule: tuple[float, ...]
    loss: float
    metric: float
    fidelity: float
    steps: int  # on the clock


@dataclass(frozen=True)
class Saved:
    """One checkpoint: all that a run needs to go on, and how many reports came before it."""

    content: bytes
    reports: int
    clock: Seconds
    cost: Cost


@dataclass
class Trace:
    """All that a run let be seen. Complaints are by rule."""

    seen: list[Seen] = field(default_factory=list)
    saved: list[Saved] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    complaints: dict[str, str] = field(default_factory=dict)
    error: str = ""
    steps: int = 0

    def complain(self, rule: str, seen: str) -> None:
        self.complaints.setdefault(rule, seen)


class Listener:
    """Looks at each report while its state still is what was reported."""

    def __init__(self, trace: Trace, clock: Clock, trainer: FaultyTrainer) -> None:
        self._trace, self._clock, self._problem = trace, clock, trainer.problem
        # Another one, since the method's own keeps its trial's data and counts on the method's clock.
        self._referee = FaultyTrainer(trainer.problem, trainer.seed, Clock(), faulty=trainer.faulty)

    def report(self, report: Report) -> None:
        number, space = len(self._trace.seen), self._problem.space
        vector, complaint = np.zeros(0), ""
        if not isinstance(report.schedule, OwnRule):
            vector = space.to_vector(report.schedule)
            complaint = self._outside(report.schedule, vector)
        if complaint:
            self._trace.complain("bounds", f"report {number}: {complaint}")
        elif complaint := self._untrue(report):
            self._trace.complain("truth", f"report {number}: {complaint}")
        evaluation, steps = report.evaluation, self._clock.cost.inner_steps
        if report.state is not None and report.state.step > steps:
            self._trace.complain("clock", f"{report.state.step} steps trained, {steps} counted on the clock")
        self._trace.seen.append(
            Seen(tuple(vector.tolist()), float(evaluation.loss), evaluation.metric, report.fidelity, steps)
        )
        self._trace.seconds.append(self._clock.seconds)

    def checkpoint(self, state: dict[str, Any]) -> None:
        try:
            require_plain(state)
        except TypeError as error:
            self._trace.complain("resumes", f"checkpoint {len(self._trace.saved)}: {error}")
            return
        content = io.BytesIO()
        torch.save(state, content)
        self._trace.saved.append(
            Saved(
                content.getvalue(),
                len(self._trace.seen),
                self._clock.sums(),
                dataclasses.replace(self._clock.cost),
            )
        )

    def _outside(self, schedule: Schedule, vector: np.ndarray) -> str:
        space = self._problem.space
        if vector.shape != (space.size,):
            return f"{len(vector)} values where the space has {space.size}"
        slack = SLACK * (space.high - space.low)
        for name, value, low, high in zip(
            space.names, vector, space.low - slack, space.high + slack, strict=True
        ):
            if not low <= value <= high:
                return f"{name} = {value:g} is outside [{low:g}, {high:g}]"
        for name, fixed in space.spaces.items():
            if not fixed.learn and schedule.shape(name) != space.initial.shape(name):
                return f"{name} is not learned and must stay {fixed.initial}"
        return ""

    def _untrue(self, report: Report) -> str:
        """Evaluate the reported state again; then train the reported schedule again up to its step."""
        evaluation, state = report.evaluation, report.state
        if not math.isfinite(evaluation.loss):
            return "" if evaluation.loss == math.inf else f"a loss of {evaluation.loss}"
        if state is None:
            return "a finite evaluation without the trained state"
        if abs(report.fidelity - state.step / self._problem.horizon) > SLACK:
            return f"fidelity {report.fidelity:g}, but its state has {state.step} inner steps"
        data = self._referee.data(state.trial)
        truth = evaluate_on(self._problem, state, data.x_validation, data.y_validation)
        near = math.isclose(truth.loss, evaluation.loss, rel_tol=1e-4, abs_tol=1e-6)
        if not (near and math.isclose(truth.metric, evaluation.metric, abs_tol=1e-6)):
            return (
                f"validation loss {evaluation.loss:.6g} and accuracy {evaluation.metric:.6g}, but the "
                f"reported state has {truth.loss:.6g} and {truth.metric:.6g}"
            )
        if self._explains(report, state):
            return ""
        return f"training its schedule for {state.step} steps gives other weights than the reported ones"

    def _explains(self, report: Report, state: TrainState) -> bool:
        """Whether the schedule makes the weights: its first steps, or stretched over as many."""
        schedule = report.trained(self._problem.space)
        # Values of each step are of those steps, however few.
        horizons = (self._problem.horizon, state.step) if report.values is None else (state.step,)
        for horizon in dict.fromkeys(horizons):
            again = self._referee.start(state.trial)
            if state.step:
                self._referee.train(again, schedule, state.step, horizon)
            if torch.allclose(again.w, state.w, rtol=1e-3, atol=1e-5):
                return True
        return False


@contextmanager
def watching_data(trace: Trace) -> Iterator[None]:
    """Notice a method that makes a Dataset: those hold test data, and a method is given all it needs."""
    original = data_module.Dataset.__init__

    def noticed(self: Any, *arguments: Any, **keywords: Any) -> None:
        trace.complain("test data", "it loaded a dataset by itself, which holds test data")
        original(self, *arguments, **keywords)

    data_module.Dataset.__init__ = noticed  # type: ignore[method-assign]
    try:
        yield
    finally:
        data_module.Dataset.__init__ = original  # type: ignore[method-assign]


@contextmanager
def global_streams(seed: int) -> Iterator[None]:
    """Other global random streams in every run: a search that draws from them is found out."""
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.random.set_rng_state(before[2])
