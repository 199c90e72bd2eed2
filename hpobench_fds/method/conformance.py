"""The conformance kit: does a method keep the contract? On a tiny problem, in seconds.

In a test::

    from hpobench_fds.method.conformance import assert_conforms

    def test_my_method_keeps_the_contract():
        assert_conforms(MyMethod)

``hpobench check my_method.py:MyMethod`` runs the same rules from the command line. Time in the kit is
counted in work, one second an inner step, so that verdicts do not depend on the machine.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import torch
from pydantic import BaseModel

from hpobench_fds.data import dataset as data_module
from hpobench_fds.errors import InputError
from hpobench_fds.method.contract import Family, Method, Report, Task
from hpobench_fds.method.registry import options_as_data, parse_options
from hpobench_fds.plain import require_plain
from hpobench_fds.training.clock import Budget, Clock, Cost, Seconds
from hpobench_fds.training.problem import LOOK_EVERY, Problem, ProblemConfig, load_problem
from hpobench_fds.training.state import TrainState
from hpobench_fds.training.trainer import Trainer, evaluate_on

TRAININGS = 12  # whole trainings that a plain run may spend
LONG = 3 * LOOK_EVERY  # inner steps of a training that a budget may cut short
LIMIT = 2 * LONG + LOOK_EVERY + 10  # a budget that ends in the middle of one
RUNAWAY = 4  # a method that spends this many times its budget is cut off
LOOKS = 1_000_000  # at the clock, in one run
SLACK = 1e-9  # share of a range that rounding may carry a schedule outside it


# --------------------------------------------------------------------------------------- what is answered


@dataclass(frozen=True)
class Finding:
    """What became of one rule: its name, the verdict, what was seen, and what to do about it."""

    rule: str
    passed: bool
    seen: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        if self.passed:
            return f"ok      {self.rule}"
        return f"FAILED  {self.rule}: {self.seen}\n        -> {self.remedy}"


def check_method(
    method: type[Method], options: Mapping[str, Any] | BaseModel | None = None, *, trainings: int = TRAININGS
) -> list[Finding]:
    """Hold a method against every rule of the contract.

    Parameters
    ----------
    options : to run it with, as a table or as the method's own type. Options that end a warm-up or
        shrink a population early let the kit see more of the search.
    trainings : budget of a run, in whole trainings of the tiny problem.

    Returns
    -------
    one finding a rule, in a fixed order. What cannot even be built or run has no more findings after
    the rule that says so.
    """
    bench = _Bench(method, options, trainings)
    findings = []
    for rule in RULES:
        seen = bench.verdict(rule)
        findings.append(Finding(rule.name, not seen, seen, "" if not seen else rule.remedy))
        if seen and rule.first:
            break
    return findings


def assert_conforms(
    method: type[Method], options: Mapping[str, Any] | BaseModel | None = None, *, trainings: int = TRAININGS
) -> None:
    """Raise AssertionError, naming each failed rule with what to do, unless the method keeps them all."""
    failed = [finding for finding in check_method(method, options, trainings=trainings) if not finding.passed]
    if failed:
        name = getattr(method, "__name__", str(method))
        raise AssertionError("\n".join([f"{name} breaks {len(failed)} rule(s):", *map(str, failed)]))


# ------------------------------------------------------------------------------------- the tiny problems


LEARNED = ("lr and momentum", "weight_decay")


@functools.cache
def tiny_problem(kind: str = "plain", learned: str = LEARNED[0]) -> Problem:
    """The kit's problems, on 200 digits and without their test data.

    kind : plain: 20 steps; lr on a log scale. wide: the paper's ranges, with zero and negative values.
    long: a training that the budget cuts short.
    learned : lr and momentum, or weight_decay alone for a method that skips the former.
    """
    wide = kind == "wide"
    space: dict[str, dict[str, Any]] = {
        "lr": {"windows": 2, "low": 0.01, "high": 0.5, "initial": 0.05, "scale": "log"},
        "momentum": {"low": 0.0, "high": 0.9, "initial": 0.5},
        "weight_decay": {"low": 0.0, "high": 1e-2, "initial": 5e-4, "learn": False},
    }
    if learned == "weight_decay":
        space["lr"] = {"initial": 0.05, "learn": False}
        space["momentum"] = {"initial": 0.5, "learn": False}
        low = -4e-3 if wide else 0.0
        space["weight_decay"] = {"windows": 2, "low": low, "high": 4e-3, "initial": 0.0}
    elif wide:
        space["lr"] = {"windows": 2, "low": -1.0, "high": 1.0, "initial": 0.0}
        space["momentum"] = {"low": -1.5, "high": 1.5, "initial": 0.0}
    config = ProblemConfig.model_validate(
        {
            "dataset": "digits",
            "model": "mlp",
            "train_limit": 200,
            "batch_size": 4 if kind == "long" else 16,
            "horizon": LONG if kind == "long" else 20,
            "space": space,
        }
    )
    return load_problem(config, name=f"conformance-{kind}")[0]


# ------------------------------------------------------------------------------------ watching one run


class _Runaway(BaseException):
    """Ends a method that will not stop; no Exception, lest the method catch it."""


class _WorkTime:
    """Time that passes with work, and by a hair at each look, as time does."""

    def __init__(self) -> None:
        self.now, self.looks = 0.0, 0

    def __call__(self) -> float:
        self.looks += 1
        if self.looks > LOOKS:
            raise _Runaway("it looks at the clock and never stops")
        self.now += 1e-7
        return self.now


class _WorkClock(Clock):
    """One second an inner step. Cuts a runaway off."""

    def __init__(self, most: int, earlier: Seconds | None = None, cost: Cost | None = None) -> None:
        self.time, self.most = _WorkTime(), most
        self.counted = cost.inner_steps if cost else 0
        super().__init__(self.time, earlier=earlier, cost=cost)

    def count(self, *, steps: int = 0, gradients: float = 0.0, products: int = 0) -> None:
        super().count(steps=steps, gradients=gradients, products=products)
        self.time.now += steps
        self.counted += steps
        if self.counted > self.most:
            raise _Runaway(f"still training after {self.counted} steps")


class _FaultyTrainer(Trainer):
    """A trainer whose trials numbered so start from weights that are not finite, so that they diverge."""

    def __init__(self, *arguments: Any, faulty: Callable[[int], bool], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.faulty = faulty

    def start(self, trial: int) -> TrainState:
        state = super().start(trial)
        if self.faulty(trial):
            state.w.fill_(math.nan)
        return state


def _sound(trial: int) -> bool:
    return False


@dataclass(frozen=True)
class _Seen:
    """One report, as far as it must be the same in a repeated run."""

    schedule: tuple[float, ...]
    loss: float
    accuracy: float
    fidelity: float
    steps: int  # on the clock


@dataclass(frozen=True)
class _Saved:
    """One checkpoint: all that a run needs to go on, and how many reports came before it."""

    content: bytes
    reports: int
    clock: Seconds
    cost: Cost


@dataclass
class _Trace:
    """All that a run let be seen. Complaints are by rule."""

    seen: list[_Seen] = field(default_factory=list)
    saved: list[_Saved] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    complaints: dict[str, str] = field(default_factory=dict)
    error: str = ""
    steps: int = 0

    def complain(self, rule: str, seen: str) -> None:
        self.complaints.setdefault(rule, seen)


class _Listener:
    """Looks at each report while its state still is what was reported."""

    def __init__(self, trace: _Trace, clock: Clock, trainer: _FaultyTrainer) -> None:
        self._trace, self._clock, self._problem = trace, clock, trainer.problem
        # Another one, since the method's own keeps its trial's data and counts on the method's clock.
        self._referee = _FaultyTrainer(trainer.problem, trainer.seed, Clock(), faulty=trainer.faulty)

    def report(self, report: Report) -> None:
        number, space = len(self._trace.seen), self._problem.space
        vector = space.to_vector(report.schedule)
        if complaint := self._outside(report, vector):
            self._trace.complain("bounds", f"report {number}: {complaint}")
        elif complaint := self._untrue(report):
            self._trace.complain("truth", f"report {number}: {complaint}")
        evaluation, steps = report.evaluation, self._clock.cost.inner_steps
        if report.state is not None and report.state.step > steps:
            self._trace.complain("clock", f"{report.state.step} steps trained, {steps} counted on the clock")
        self._trace.seen.append(
            _Seen(tuple(vector.tolist()), float(evaluation.loss), evaluation.accuracy, report.fidelity, steps)
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
            _Saved(
                content.getvalue(),
                len(self._trace.seen),
                self._clock.sums(),
                dataclasses.replace(self._clock.cost),
            )
        )

    def _outside(self, report: Report, vector: np.ndarray) -> str:
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
            if not fixed.learn and set(report.schedule[name]) != {fixed.initial}:
                return f"{name} is not learned and must stay {fixed.initial:g}"
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
        if not (near and math.isclose(truth.accuracy, evaluation.accuracy, abs_tol=1e-6)):
            return (
                f"validation loss {evaluation.loss:.6g} and accuracy {evaluation.accuracy:.6g}, but the "
                f"reported state has {truth.loss:.6g} and {truth.accuracy:.6g}"
            )
        if "values" in report.extra or self._explains(report, state):
            return ""
        return f"training its schedule for {state.step} steps gives other weights than the reported ones"

    def _explains(self, report: Report, state: TrainState) -> bool:
        """Whether the schedule makes the weights: its first steps, or stretched over as many."""
        for horizon in dict.fromkeys((self._problem.horizon, state.step)):
            again = self._referee.start(state.trial)
            if state.step:
                self._referee.train(again, report.schedule, state.step, horizon)
            if torch.allclose(again.w, state.w, rtol=1e-3, atol=1e-5):
                return True
        return False


@contextmanager
def _watching_data(trace: _Trace) -> Iterator[None]:
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
def _global_streams(seed: int) -> Iterator[None]:
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


# ---------------------------------------------------------------------------------------------- the bench


class _BrokenError(Exception):
    """A rule is broken; the message is what was seen."""


class _Bench:
    """Runs one method in many ways and remembers the plain run."""

    def __init__(
        self, method: type[Method], options: Mapping[str, Any] | BaseModel | None, trainings: int
    ) -> None:
        self.method, self.trainings, self._options = method, trainings, options
        self._runs, self._learned = 0, LEARNED[0]

    def verdict(self, rule: Rule) -> str:
        """What was seen of a broken rule in a line, or nothing."""
        try:
            rule.check(self)
        except _BrokenError as broken:
            return " ".join(str(broken).split()) or "broken"
        return ""

    def problem(self, kind: str) -> Problem:
        return tiny_problem(kind, self._learned)

    def skips(self) -> str | None:
        """Settle on a problem that the method does not skip; else why it skips the first one."""
        reasons = []
        for self._learned in LEARNED:
            reason = self.method(self.options()).skip(self.problem("plain"))
            if reason is None:
                return None
            reasons.append(reason)
        return reasons[0]

    def options(self) -> Any:
        given = self._options
        return (
            parse_options(self.method, given or {}) if given is None or isinstance(given, Mapping) else given
        )

    @functools.cached_property
    def plain(self) -> _Trace:
        """The run that others are compared with."""
        return self.run()

    def run(
        self,
        kind: str = "plain",
        *,
        steps: int | None = None,
        seconds: float | None = None,
        method_seed: int | None = None,
        faulty: Callable[[int], bool] = _sound,
        saved: _Saved | None = None,
    ) -> _Trace:
        """One run; an exception ends up in the trace."""
        problem, trace = self.problem(kind), _Trace()
        if steps is None and seconds is None:
            steps = self.trainings * problem.horizon
        most = RUNAWAY * int(steps or seconds or 0) + problem.horizon
        clock = _WorkClock(most, saved.clock if saved else None, saved.cost if saved else None)
        trainer = _FaultyTrainer(problem, 1, clock, Budget(clock, seconds, steps), faulty=faulty)
        restored = torch.load(io.BytesIO(saved.content), weights_only=True) if saved else None
        listener = _Listener(trace, clock, trainer)
        task = Task(trainer, listener, method_name=self.method.name, restored=restored)
        if method_seed is not None:
            task.seed, task.rng = method_seed, np.random.default_rng(method_seed)
        self._runs += 1
        with _watching_data(trace), _global_streams(self._runs):
            self._spend(task, trace)
        trace.steps = clock.cost.inner_steps
        if trace.steps != clock.counted:
            trace.complain(
                "clock", f"{clock.counted} steps were counted, and {trace.steps} left on the clock"
            )
        return trace

    def _spend(self, task: Task, trace: _Trace) -> None:
        task.clock.start()
        before = task.clock.sums()
        try:
            self.method(self.options()).run(task)
        except _Runaway as runaway:
            trace.error = f"it was cut off: {runaway}"
            trace.complain("budget", str(runaway))
        except (Exception, SystemExit) as error:
            trace.error = f"{type(error).__name__}: {error}"
        after = task.clock.sums()
        if (after.referee, after.records) != (before.referee, before.records):
            trace.complain("clock", "it booked time of its own to the referee or the records")


# ------------------------------------------------------------------------------------------- the rules


@dataclass(frozen=True)
class Rule:
    """A rule of the contract. ``first``: without it the others cannot be checked."""

    name: str
    remedy: str
    check: Callable[[_Bench], None]
    first: bool = False


def _declares(bench: _Bench) -> None:
    method = bench.method
    name = getattr(method, "name", None)
    if not (isinstance(name, str) and name.replace("-", "_").isidentifier()):
        raise _BrokenError(f"name is {name!r}")
    if method.family not in get_args(Family):
        raise _BrokenError(f"family is {method.family!r}, not one of {', '.join(get_args(Family))}")
    if not (isinstance(method.paper, str) and method.paper.strip()):
        raise _BrokenError("paper is empty")
    if not (method.__doc__ or "").strip():
        raise _BrokenError("it has no docstring")


def _has_options(bench: _Bench) -> None:
    options = bench.method.Options
    if not (
        isinstance(options, type) and (issubclass(options, BaseModel) or dataclasses.is_dataclass(options))
    ):
        raise _BrokenError("Options is neither a pydantic model nor a dataclass")
    try:
        defaults = parse_options(bench.method, {})
    except InputError as error:
        raise _BrokenError(f"an option has no default: {error}") from error
    try:
        again = parse_options(bench.method, options_as_data(defaults))
    except InputError as error:
        raise _BrokenError(f"its defaults, written down and read again, are refused: {error}") from error
    if again != defaults:
        raise _BrokenError("its defaults are others once written down and read again")
    try:
        parse_options(bench.method, {"no_such_option": 1})
    except InputError:
        return
    raise _BrokenError("an unknown option is taken without a word")


def _runs(bench: _Bench) -> None:
    try:
        reason = bench.skips()
    except InputError as error:
        raise _BrokenError(f"its options are refused: {error}") from error
    except Exception as error:
        raise _BrokenError(f"skip() raised {type(error).__name__}: {error}") from error
    if reason is not None:
        raise _BrokenError(f"it skips the kit's problems: {reason}")
    trace = bench.plain
    if trace.error and "budget" not in trace.complaints:
        raise _BrokenError(trace.error)
    if not any(math.isfinite(seen.loss) for seen in trace.seen):
        raise _BrokenError(f"no finite evaluation among {len(trace.seen)} reports")


def _bounds(bench: _Bench) -> None:
    for kind in ("plain", "wide"):
        trace = bench.plain if kind == "plain" else bench.run("wide")
        _no_error(trace)
        _no_complaint(trace, "bounds")


def _truth(bench: _Bench) -> None:
    _no_complaint(bench.plain, "truth")


def _clock(bench: _Bench) -> None:
    trace = bench.plain
    _no_complaint(trace, "clock")
    if any(later < earlier for earlier, later in pairwise(trace.seconds)):
        raise _BrokenError("the clock went back between two reports")


def _stops(bench: _Bench, **budget: int) -> None:
    problem = bench.problem("long")
    (limit,) = budget.values()
    trace = bench.run("long", **budget)  # type: ignore[arg-type]
    _no_complaint(trace, "budget")
    _no_error(trace)
    late = trace.steps - limit
    if late > problem.steps_per_epoch:
        raise _BrokenError(
            f"{late} inner steps after the budget of {limit}; an epoch has {problem.steps_per_epoch}"
        )


def _stops_on_steps(bench: _Bench) -> None:
    _no_complaint(bench.plain, "budget")
    _stops(bench, steps=LIMIT)


def _stops_on_seconds(bench: _Bench) -> None:
    _stops(bench, seconds=LIMIT)


def _same_seed(bench: _Bench) -> None:
    _same(bench.plain, bench.run(), 0, "the repeated run")


def _other_seed(bench: _Bench) -> None:
    if not is_stochastic(bench.method):
        return
    other = bench.run(method_seed=7)
    if [seen.schedule for seen in other.seen] == [seen.schedule for seen in bench.plain.seen]:
        raise _BrokenError("another seed tried the very same schedules")


def _survives(bench: _Bench) -> None:
    for what, faulty in (("every third", lambda trial: trial % 3 == 1), ("every", lambda trial: True)):
        trace = bench.run("wide", faulty=faulty)
        if trace.error:
            raise _BrokenError(f"with {what} training diverging: {trace.error}")
        for rule in ("bounds", "truth"):
            # What is wrong without any divergence is told under its own rule.
            if rule in trace.complaints and rule not in bench.plain.complaints:
                raise _BrokenError(f"with {what} training diverging: {trace.complaints[rule]}")
        if what == "every" and any(math.isfinite(seen.loss) for seen in trace.seen):
            raise _BrokenError("a training that diverged was reported with a finite loss")


def _resumes(bench: _Bench) -> None:
    plain = bench.plain
    _no_complaint(plain, "resumes")
    if len(plain.seen) < 2:
        return  # nothing between two reports to be interrupted
    if not plain.saved:
        raise _BrokenError(f"{len(plain.seen)} reports and no checkpoint")
    places = sorted({0, len(plain.saved) // 2, max(0, len(plain.saved) - 2)})
    for saved in (plain.saved[place] for place in places):
        again = bench.run(saved=saved)
        _same(plain, again, saved.reports, f"gone on from after {saved.reports} reports, the run")


def _test_data(bench: _Bench) -> None:
    _no_complaint(bench.plain, "test data")


def _no_error(trace: _Trace) -> None:
    if trace.error:
        raise _BrokenError(trace.error)


def _no_complaint(trace: _Trace, rule: str) -> None:
    if rule in trace.complaints:
        raise _BrokenError(trace.complaints[rule])


def _same(plain: _Trace, again: _Trace, skipped: int, what: str) -> None:
    _no_error(again)
    rest = plain.seen[skipped:]
    for number, (one, other) in enumerate(zip(rest, again.seen, strict=False), skipped):
        for name in ("schedule", "loss", "accuracy", "fidelity", "steps"):
            if getattr(one, name) != getattr(other, name):
                before, after = getattr(one, name), getattr(other, name)
                raise _BrokenError(f"{what} differs at report {number}: {name} was {before}, is {after}")
    if len(rest) != len(again.seen):
        raise _BrokenError(f"{what} has {len(again.seen)} reports instead of {len(rest)}")
    if plain.steps != again.steps:
        raise _BrokenError(f"{what} spent {again.steps} inner steps instead of {plain.steps}")


def is_stochastic(method: type[Method]) -> bool:
    """Whether a search depends on its seed: as the class declares, else as black-box methods do."""
    return bool(getattr(method, "stochastic", method.family == "black box"))


RULES = (
    Rule(
        "declares itself",
        'give the class a docstring, name = "my_method", a family ("gradient", "black box" or "baseline") '
        "and the paper it comes from",
        _declares,
        first=True,
    ),
    Rule(
        "has options with defaults",
        "let Options be a subclass of Method.Options with a default for every field; it refuses unknown keys",
        _has_options,
        first=True,
    ),
    Rule(
        "runs and reports",
        "run() must not raise, and must report at least one training that did not diverge",
        _runs,
        first=True,
    ),
    Rule(
        "stays in bounds",
        "project with task.space.clip, or map the unit cube with task.space.from_unit",
        _bounds,
    ),
    Rule(
        "reports what it trained",
        "report the evaluation that task.train returned, with that state and the schedule it was trained "
        'with; if hyperparameters moved within a window, put them into extra["values"]',
        _truth,
    ),
    Rule(
        "keeps the clock",
        "leave task.clock alone: all of a method's work is on its own account",
        _clock,
    ),
    Rule(
        "stops on a step budget",
        "look at task.budget.exhausted before each training, and at least once an epoch within one",
        _stops_on_steps,
    ),
    Rule(
        "stops on a time budget",
        "ask task.budget.exhausted, which knows both kinds of budget, rather than counting steps",
        _stops_on_seconds,
    ),
    Rule(
        "same seed, same search",
        "draw from task.rng or seed a library with task.seed; use no global random stream, time or hash",
        _same_seed,
    ),
    Rule(
        "another seed, another search",
        "draw from task.rng; if the search draws nothing, declare stochastic = False on the class",
        _other_seed,
    ),
    Rule(
        "survives divergence",
        "a diverged training has loss inf and its state is not finite: handle outcome.ending == 'diverged' "
        "(hpobench_fds.method.black_box.score gives libraries a finite value)",
        _survives,
    ),
    Rule(
        "resumes from its saved state",
        "call task.checkpoint with all that the rest of the run depends on, as plain data, and go on from "
        "task.restored; AskTell does both if ask depends on task.rng and on what it was told alone",
        _resumes,
    ),
    Rule(
        "never touches test data",
        "use task.problem and task.trainer; load no data set",
        _test_data,
    ),
)
