"""The rules of the contract: how each is checked, and what to do where it is broken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

from pydantic import BaseModel

from hpobench_fds.errors import InputError
from hpobench_fds.method.conformance.bench import Bench
from hpobench_fds.method.conformance.problems import LIMIT
from hpobench_fds.method.conformance.watched_run import Trace
from hpobench_fds.method.contract import Family, Method
from hpobench_fds.method.registry import options_as_data, parse_options


class BrokenRuleError(Exception):
    """A rule is broken; the message is what was seen."""


@dataclass(frozen=True)
class Rule:
    """A rule of the contract. ``first``: without it the others cannot be checked."""

    name: str
    remedy: str
    check: Callable[[Bench], None]
    first: bool = False


def _declares(bench: Bench) -> None:
    method = bench.method
    name = getattr(method, "name", None)
    if not (isinstance(name, str) and name.replace("-", "_").isidentifier()):
        raise BrokenRuleError(f"name is {name!r}")
    if method.family not in get_args(Family):
        raise BrokenRuleError(f"family is {method.family!r}, not one of {', '.join(get_args(Family))}")
    if not (isinstance(method.paper, str) and method.paper.strip()):
        raise BrokenRuleError("paper is empty")
    if not (method.__doc__ or "").strip():
        raise BrokenRuleError("it has no docstring")


def _has_options(bench: Bench) -> None:
    options = bench.method.Options
    if not (
        isinstance(options, type) and (issubclass(options, BaseModel) or dataclasses.is_dataclass(options))
    ):
        raise BrokenRuleError("Options is neither a pydantic model nor a dataclass")
    try:
        defaults = parse_options(bench.method, {})
    except InputError as error:
        raise BrokenRuleError(f"an option has no default: {error}") from error
    try:
        again = parse_options(bench.method, options_as_data(defaults))
    except InputError as error:
        raise BrokenRuleError(f"its defaults, written down and read again, are refused: {error}") from error
    if again != defaults:
        raise BrokenRuleError("its defaults are others once written down and read again")
    try:
        parse_options(bench.method, {"no_such_option": 1})
    except InputError:
        return
    raise BrokenRuleError("an unknown option is taken without a word")


def _runs(bench: Bench) -> None:
    try:
        reason = bench.skips()
    except InputError as error:
        raise BrokenRuleError(f"its options are refused: {error}") from error
    except Exception as error:
        raise BrokenRuleError(f"skip() raised {type(error).__name__}: {error}") from error
    if reason is not None:
        raise BrokenRuleError(f"it skips the kit's problems: {reason}")
    trace = bench.plain
    if trace.error and "budget" not in trace.complaints:
        raise BrokenRuleError(trace.error)
    if not any(math.isfinite(seen.loss) for seen in trace.seen):
        raise BrokenRuleError(f"no finite evaluation among {len(trace.seen)} reports")


def _bounds(bench: Bench) -> None:
    for kind in ("plain", "wide"):
        trace = bench.plain if kind == "plain" else bench.run("wide")
        _no_error(trace)
        _no_complaint(trace, "bounds")


def _truth(bench: Bench) -> None:
    _no_complaint(bench.plain, "truth")


def _clock(bench: Bench) -> None:
    trace = bench.plain
    _no_complaint(trace, "clock")
    if any(later < earlier for earlier, later in pairwise(trace.seconds)):
        raise BrokenRuleError("the clock went back between two reports")


def _stops(bench: Bench, **budget: int) -> None:
    problem = bench.problem("long")
    (limit,) = budget.values()
    trace = bench.run("long", **budget)  # type: ignore[arg-type]
    _no_complaint(trace, "budget")
    _no_error(trace)
    late = trace.steps - limit
    if late > problem.steps_per_epoch:
        raise BrokenRuleError(
            f"{late} inner steps after the budget of {limit}; an epoch has {problem.steps_per_epoch}"
        )


def _stops_on_steps(bench: Bench) -> None:
    _no_complaint(bench.plain, "budget")
    _stops(bench, steps=LIMIT)


def _stops_on_seconds(bench: Bench) -> None:
    _stops(bench, seconds=LIMIT)


def _same_seed(bench: Bench) -> None:
    _same(bench.plain, bench.run(), 0, "the repeated run")


def _other_seed(bench: Bench) -> None:
    if not is_stochastic(bench.method):
        return
    other = bench.run(method_seed=7)
    if [seen.schedule for seen in other.seen] == [seen.schedule for seen in bench.plain.seen]:
        raise BrokenRuleError("another seed tried the very same schedules")


def _survives(bench: Bench) -> None:
    for what, faulty in (("every third", lambda trial: trial % 3 == 1), ("every", lambda trial: True)):
        trace = bench.run("wide", faulty=faulty)
        if trace.error:
            raise BrokenRuleError(f"with {what} training diverging: {trace.error}")
        for rule in ("bounds", "truth"):
            # What is wrong without any divergence is told under its own rule.
            if rule in trace.complaints and rule not in bench.plain.complaints:
                raise BrokenRuleError(f"with {what} training diverging: {trace.complaints[rule]}")
        if what == "every" and any(math.isfinite(seen.loss) for seen in trace.seen):
            raise BrokenRuleError("a training that diverged was reported with a finite loss")


def _resumes(bench: Bench) -> None:
    plain = bench.plain
    _no_complaint(plain, "resumes")
    if len(plain.seen) < 2:
        return  # nothing between two reports to be interrupted
    if not plain.saved:
        raise BrokenRuleError(f"{len(plain.seen)} reports and no checkpoint")
    places = sorted({0, len(plain.saved) // 2, max(0, len(plain.saved) - 2)})
    for saved in (plain.saved[place] for place in places):
        again = bench.run(saved=saved)
        _same(plain, again, saved.reports, f"gone on from after {saved.reports} reports, the run")


def _test_data(bench: Bench) -> None:
    _no_complaint(bench.plain, "test data")


def _no_error(trace: Trace) -> None:
    if trace.error:
        raise BrokenRuleError(trace.error)


def _no_complaint(trace: Trace, rule: str) -> None:
    if rule in trace.complaints:
        raise BrokenRuleError(trace.complaints[rule])


def _same(plain: Trace, again: Trace, skipped: int, what: str) -> None:
    _no_error(again)
    rest = plain.seen[skipped:]
    for number, (one, other) in enumerate(zip(rest, again.seen, strict=False), skipped):
        for name in ("schedule", "loss", "metric", "fidelity", "steps"):
            if getattr(one, name) != getattr(other, name):
                before, after = getattr(one, name), getattr(other, name)
                raise BrokenRuleError(f"{what} differs at report {number}: {name} was {before}, is {after}")
    if len(rest) != len(again.seen):
        raise BrokenRuleError(f"{what} has {len(again.seen)} reports instead of {len(rest)}")
    if plain.steps != again.steps:
        raise BrokenRuleError(f"{what} spent {again.steps} inner steps instead of {plain.steps}")


def is_stochastic(method: type[Method]) -> bool:
    """Whether a search depends on its seed: as the class declares, else as black-box methods do."""
    return bool(getattr(method, "stochastic", method.family == "black box"))


RULES = (
    Rule(
        "declares itself",
        'give the class a docstring, name = "my_method", a family ("gradient", "black box" or "baseline") '
        "and the paper it comes from",
        _declares,
    ),
    Rule(
        "has options with defaults",
        "let Options be a subclass of Method.Options with a default for every field; it refuses unknown keys",
        _has_options,
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
        "with; if hyperparameters moved within a window, report their values of each step (values=)",
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
