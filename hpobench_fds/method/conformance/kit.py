"""The verdict on a method, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hpobench_fds.method.conformance.bench import Bench
from hpobench_fds.method.conformance.problems import TRAININGS
from hpobench_fds.method.conformance.rules import RULES, BrokenRuleError, Rule
from hpobench_fds.method.contract import Method


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
    one finding a rule, in a fixed order. What does not run has no more findings after the rule that says so.
    """
    return list(findings(Bench(method, options, trainings)))


def findings(
    bench: Bench, rules: Sequence[Rule] = RULES, begin: Callable[[str], None] = lambda rule: None
) -> Iterator[Finding]:
    """What became of each rule, one after the other; ``begin`` is told of a rule before it is checked."""
    for rule in rules:
        begin(rule.name)
        seen = _seen_of(rule, bench)
        yield Finding(rule.name, not seen, seen, "" if not seen else rule.remedy)
        if seen and rule.first:
            return


def _seen_of(rule: Rule, bench: Bench) -> str:
    """What was seen of a broken rule in a line, or nothing."""
    try:
        rule.check(bench)
    except BrokenRuleError as broken:
        return " ".join(str(broken).split()) or "broken"
    return ""


def assert_conforms(
    method: type[Method], options: Mapping[str, Any] | BaseModel | None = None, *, trainings: int = TRAININGS
) -> None:
    """Raise AssertionError, naming each failed rule with what to do, unless the method keeps them all."""
    failed = [finding for finding in check_method(method, options, trainings=trainings) if not finding.passed]
    if failed:
        name = getattr(method, "__name__", str(method))
        raise AssertionError("\n".join([f"{name} breaks {len(failed)} rule(s):", *map(str, failed)]))
