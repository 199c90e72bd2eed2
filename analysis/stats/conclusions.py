"""What the results answer: typed findings, each with its uncertainty, and without a word.

Questions put to each problem, all of them about one method, the reference:

* speed: against every other method, how many times longer did it need to the problem's headline target?
* accuracy: against every other method, how many points lower did it end?
* group: did greedy methods together end below it? (Without any: did those that search nothing?)

Rivals are all other methods, those that search nothing included. The p-values of a question are corrected
together, over its rivals and over the problems, by Holm's method, so that at most one study in twenty holds a
false answer of any one kind; intervals hold together at 95 % (Bonferroni). Fewer than ``LEAST`` common seeds
decide nothing. Speed has sign tests of the seeds' ratios, accuracy Wilcoxon's signed ranks. A run that failed
has no accuracy and no time: it is counted, named and compared with nothing.

Without the reference, the method with the highest median is compared with all others; which one that is was
the data's choice, so that all pairs count as compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from .comparisons import holm, paired_p
from .curves import by_problem, curves_of
from .frames import Floats, complete, failures, flag, numbers, scores_by_seed, settled
from .intervals import LEAST, LEVEL, median_spread, quantile, seeds_needed, signed_rank_interval
from .speedup import speedup_table
from .targets import chance, headline, targets_of

Outcome = Literal["ahead", "behind", "undecided", "few", "nothing"]
"""Of the first method: few is of fewer than ``LEAST`` common seeds, nothing of what cannot be compared."""


@dataclass(frozen=True, kw_only=True)
class Versus:
    """One method against the reference.

    Attributes
    ----------
    value, low, high : speed: how many times longer it needed (median over common seeds); accuracy: by how
        much the reference was above it (fractions). With the simultaneous 95 % interval, NaN without one.
    least, most : the same of single seeds, their range.
    bound : of a speed, ``speedup_table``'s; "" of an accuracy.
    p : of the test, corrected once the question's rivals are known together.
    reached : of a speed, in how many of the common seeds (it, the reference) got there.
    """

    method: str
    seeds: int
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    least: float = float("nan")
    most: float = float("nan")
    bound: str = ""
    p: float = 1.0
    outcome: Outcome = "undecided"
    reached: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Middle:
    """What one method came to: the median over its complete runs, and their interval or range."""

    method: str
    value: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answers to one question on one problem.

    Attributes
    ----------
    first : the reference; without one, the method with the highest median.
    rivals : one for each other method that has something to compare.
    compared : tests that were corrected together, over rivals and problems.
    failed : method, (failed, all) finished runs, of those with failed ones.
    """

    problem: str
    first: str
    rivals: tuple[Versus, ...] = ()
    compared: int = 0
    failed: dict[str, tuple[int, int]]

    def told(self, outcome: Outcome) -> list[Versus]:
        """The rivals with this outcome."""
        return [one for one in self.rivals if one.outcome == outcome]

    @property
    def needed(self) -> int:
        """Seeds from which the clearest difference could be told after correction."""
        return seeds_needed(self.compared)


@dataclass(frozen=True, kw_only=True)
class Speed(Finding):
    """Times to the problem's headline target (accuracy, share of the way from ``start`` to ``top``).

    ``times`` are the methods' median times to it over their complete runs, the soonest first (seconds;
    infinite where the median run never got there).
    """

    target: float
    share: float
    start: float
    top: float
    times: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Accuracy(Finding):
    """Test accuracy at the end.

    ``measure`` is final_test_metric (retrained), or incumbent_test_metric where no run was retrained;
    ``mine`` what the first method came to, ``best`` what the other with the highest median did.
    """

    measure: str
    mine: Middle
    best: Middle


@dataclass(frozen=True, kw_only=True)
class Group(Finding):
    """Test accuracy at the end, less the mean of several methods: greedy ones, or all that search nothing."""

    members: tuple[str, ...]
    greedy: bool
    measure: str


F = TypeVar("F", bound=Finding)


def findings(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> list[Finding]:
    """Every answer that the results hold, problem by problem; none where nothing can be compared."""
    done = settled(runs)
    speeds: list[Speed] = []
    accuracies: list[Accuracy] = []
    groups: list[Group] = []
    there = reference in set(done["method"])
    for problem in dict.fromkeys(done["problem"]):
        here = done[done["problem"] == problem]
        own = reports[reports["problem"] == problem]
        if len(here["method"].unique()) < 2 or (there and reference not in set(here["method"])):
            continue
        if there:
            speeds += _speed(own, here, reference)
            groups += _group(here, reference)
        accuracies += _accuracy(here, reference if there else None)
    every = [*_corrected(speeds), *_corrected(accuracies), *_corrected(groups)]
    order = {problem: i for i, problem in enumerate(dict.fromkeys(done["problem"]))}
    return sorted(every, key=lambda found: order[found.problem])


def _corrected(found: list[F]) -> list[F]:
    """The same with p-values corrected over all rivals of all problems, and what they say."""
    every = [one for finding in found for one in finding.rivals]
    extra = sum(finding.compared for finding in found)  # pairs that were looked at and are not listed
    p = np.concatenate([np.array([one.p for one in every], np.float64), np.ones(extra)])
    corrected = iter(holm(p)[: len(every)].tolist())
    total = len(p)
    judged = []
    for finding in found:
        rivals = tuple(_judged(one, next(corrected), finding) for one in finding.rivals)
        judged.append(replace(finding, rivals=rivals, compared=total))
    return judged


def _judged(one: Versus, p: float, finding: Finding) -> Versus:
    """One rival with its corrected p-value and its outcome."""
    if one.seeds == 0:
        return replace(one, outcome="nothing", p=1.0)
    if one.seeds < LEAST:
        return replace(one, outcome="few", p=1.0)
    if p >= LEVEL:
        return replace(one, outcome="undecided", p=p)
    none = 1.0 if isinstance(finding, Speed) else 0.0
    return replace(one, outcome="ahead" if one.value > none else "behind", p=p)


# ---- speed --------------------------------------------------------------------------------------------


def _speed(reports: pd.DataFrame, here: pd.DataFrame, reference: str) -> list[Speed]:
    """The reference against every other method; none where the problem has no target."""
    problem = str(here["problem"].iloc[0])
    goal = headline(targets_of(reports, here), problem)
    if goal is None:
        return []
    rivals = tuple(
        Versus(
            method=str(row["method"]), seeds=int(row["n_seeds"]),
            low=float(row["low"]), high=float(row["high"]), least=float(row["least"]),
            most=float(row["most"]), p=float(row["p"]), value=float(row["speedup"]), bound=str(row["bound"]),
            reached=(int(row["n_reached"]), int(row["n_reached_reference"])),
        )
        for row in speedup_table(reports, here, reference).to_dict("records")
    )  # fmt: skip
    times = median_times(reports, here, float(goal["target"]))
    return [
        Speed(
            problem=problem, first=reference, rivals=rivals, failed=failures(here),
            target=float(goal["target"]), share=float(goal["share"]), start=float(goal["start"]),
            top=float(goal["top"]),
            times=tuple(sorted(times.items(), key=lambda one: one[1])),
        )
    ]  # fmt: skip


def median_times(reports: pd.DataFrame, here: pd.DataFrame, target: float) -> dict[str, float]:
    """Median time (s) of each method's complete runs to a target; infinite where the median never gets there.

    Of one problem.
    """
    found: dict[str, float] = {}
    for methods in by_problem(curves_of(reports, complete(here))).values():
        for method, curves in methods.items():
            times = np.array([c.times_to(np.array([target]))[0] for c in curves], np.float64)
            found[method] = float(quantile(times, 0.5))
    return found


# ---- accuracy -----------------------------------------------------------------------------------------


def measure_of(runs: pd.DataFrame) -> str:
    """The one accuracy that these runs are compared by: retrained where any run was, else in hand."""
    retrained = np.isfinite(numbers(runs["final_test_metric"])).any()
    return "final_test_metric" if retrained else "incumbent_test_metric"


def final_scores(here: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """One problem's test accuracies, a row a seed and a column a method, and which: ``measure_of``'s.

    Failed runs are NaN; a run that ended with nothing in hand has the accuracy of guessing.
    """
    measure = measure_of(here)
    return scores_by_seed(here, measure, chance(here).get(str(here["problem"].iloc[0]), 0.0)), measure


def middle_of(method: str, values: Floats) -> Middle:
    """Median and spread of one method's values, NaN left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Middle(method=method, value=np.nan, low=np.nan, high=np.nan, seeds=0)
    low, high = median_spread(known)
    return Middle(
        method=method, value=float(np.median(known)), low=float(low), high=float(high), seeds=len(known)
    )


def _accuracy(here: pd.DataFrame, reference: str | None) -> list[Accuracy]:
    """The reference (without one, the method with the highest median) against every other."""
    wide, measure = final_scores(here)
    middles = {str(m): middle_of(str(m), wide[m].to_numpy(np.float64)) for m in wide.columns}
    known = {m: one.value for m, one in middles.items() if one.seeds}
    first = reference if reference is not None else max(known, key=lambda m: known[m], default="")
    others = [m for m in middles if m != first]
    if first not in middles or not any(m in known for m in others):
        return []
    count = len(middles)
    tests = count - 1 if reference is not None else count * (count - 1) // 2
    rivals = tuple(_difference(m, wide[first] - wide[m], tests) for m in others)
    best = max((m for m in others if m in known), key=lambda m: known[m])
    return [
        Accuracy(
            problem=str(here["problem"].iloc[0]), first=first, rivals=rivals, failed=failures(here),
            compared=tests - len(rivals), measure=measure, mine=middles[first], best=middles[best],
        )
    ]  # fmt: skip


def _difference(method: str, differences: pd.Series[float], tests: int) -> Versus:
    """One method's paired differences from the first, with an interval that holds over so many tests."""
    known: Floats = np.asarray(differences.dropna(), np.float64)
    value, low, high = signed_rank_interval(known, 1 - LEVEL / tests)
    least, most = (float(known.min()), float(known.max())) if len(known) else (np.nan, np.nan)
    return Versus(
        method=method, seeds=len(known), value=value, low=low, high=high, least=least, most=most,
        p=paired_p(known),
    )  # fmt: skip


def _group(here: pd.DataFrame, reference: str) -> list[Group]:
    """Greedy methods together against the reference; where there are none, those that search nothing.

    A method with failed runs leaves those seeds out for all; one that failed everywhere is left out itself.
    """
    methods = here.drop_duplicates("method").set_index("method")
    names = [str(m) for m in methods.index]
    greedy = dict(zip(names, flag(methods, "greedy"), strict=True))
    searches = dict(zip(names, flag(methods, "searches"), strict=True))
    wide, measure = final_scores(here)
    known = {str(m) for m in wide.columns if wide[m].notna().any()}
    members = [m for m in names if greedy[m] and m != reference and not greedy[reference] and m in known]
    kind = bool(members)
    members = members or [m for m in names if not searches[m] and m != reference and m in known]
    if not members or reference not in known:
        return []
    one = _difference(members[0], wide[reference] - wide[members].mean(axis=1, skipna=False), 1)
    return [
        Group(
            problem=str(here["problem"].iloc[0]), first=reference, rivals=(one,), failed=failures(here),
            members=tuple(members), greedy=kind, measure=measure,
        )
    ]  # fmt: skip
