"""What the results answer: typed findings, each with its uncertainty, and without a word.

Three questions are put to each problem, all of them to one method, the reference:

* speed: how much sooner than the fastest black-box method did it reach its own final test accuracy?
* accuracy: did it end above the best of all other methods?
* greedy: did greedy methods end below it? (Without any: did schedules set by hand?)

An answer is a difference only if its 95 % interval excludes "none". The rival was picked for being the best
of k, which makes it look better than it is: a claim that the rival is ahead has to hold at level 1 - 0.05/k
(Bonferroni); a claim that the reference is ahead of the best of k needs no such thing. Fewer than
``LEAST`` seeds decide nothing. Speed has bootstrap intervals (``speedup``), accuracy paired t intervals over
common seeds, a finished seed without a value counting as accuracy 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from .frames import Floats, flag, numbers, scores_by_seed, settled
from .intervals import mean_interval
from .speedup import speedup_table

LEAST = 3
"""Seeds from which a difference may be claimed."""

Outcome = Literal["ahead", "behind", "undecided", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer on one problem.

    Attributes
    ----------
    first : the reference; without one, the method that is compared with the others.
    outcome : of ``first``.
    value, low, high : a speedup (times), or a difference of test accuracies (fractions), that of ``first``
        less the rival's; NaN where it is not known.
    seeds : that the two have in common; for speed, of the one that has fewer.
    """

    problem: str
    first: str
    outcome: Outcome
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    seeds: int = 0


@dataclass(frozen=True)
class Sooner:
    """A method that was at the target before the reference: how many times longer the reference took."""

    method: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Speed(Finding):
    """The time to the reference's own final test accuracy, against the fastest black-box method's.

    Attributes
    ----------
    rival : None where the reference has no accuracy to be reached: the outcome is then unknown.
    among : of how many methods the rival is the fastest; black_box: whether they are black-box methods.
    bound : ``speedup_table``'s.
    sooner : methods of other kinds that were there before the reference, the soonest first.
    """

    rival: str | None = None
    among: int = 0
    black_box: bool = False
    target: float = float("nan")
    bound: str = ""
    sooner: tuple[Sooner, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Accuracy(Finding):
    """Test accuracy at the end, against the best of all other methods.

    Attributes
    ----------
    measure : final_test_accuracy, or incumbent_test_accuracy where no run was retrained.
    means : of ``first`` and of the rival, over all of their seeds.
    among : of how many methods the rival is the best; picks: for how many choices the interval is adjusted.
    """

    rival: str
    measure: str
    means: tuple[float, float]
    among: int
    picks: int


@dataclass(frozen=True, kw_only=True)
class Group(Finding):
    """Test accuracy at the end, less the mean of several methods: greedy ones, or schedules set by hand."""

    members: tuple[str, ...]
    greedy: bool


def findings(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> list[Finding]:
    """Every answer that the results hold, problem by problem; none where nothing can be compared."""
    done = settled(runs)
    found: list[Finding | None] = []
    for problem in dict.fromkeys(done["problem"]):
        here = done[done["problem"] == problem]
        if len(here["method"].unique()) < 2:
            continue
        if reference in set(here["method"]):
            found.append(_speed(reports[reports["problem"] == problem], here, reference))
            found += [accuracy(here, reference), _group(here, reference)]
        else:
            found.append(accuracy(here, None))
    return [finding for finding in found if finding is not None]


def _outcome(low: float, high: float, none: float, seeds: int) -> Outcome:
    """What an interval says, ``none`` standing for no difference."""
    if seeds < LEAST or np.isnan(low) or np.isnan(high):
        return "undecided"
    return "ahead" if low > none else "behind" if high < none else "undecided"


# ---- speed --------------------------------------------------------------------------------------------


def _speed(reports: pd.DataFrame, here: pd.DataFrame, reference: str) -> Speed:
    """The reference against the fastest black-box method; without any, against the fastest of all."""
    problem = str(here["problem"].iloc[0])
    table = speedup_table(reports, here, reference)
    black = set(here.loc[here["family"] == "black box", "method"]) - {reference}
    rivals = table[table["method"].isin(black)] if black else table
    known = rivals[rivals["bound"] != "?"]
    if known.empty:
        return Speed(problem=problem, first=reference, outcome="unknown")
    exact = known[known["bound"] == ""]
    row = (known if exact.empty else exact).sort_values("speedup", kind="stable").iloc[0].to_dict()
    if row["high"] < 1 and len(rivals) > 1:  # picked as the fastest: its lead has to be clearer
        pair, both = (f[f["method"].isin([reference, row["method"]])] for f in (here, reports))
        strict = speedup_table(both, pair, reference, level=1 - 0.05 / len(rivals)).iloc[0]
        row |= {"low": strict["low"], "high": strict["high"]}
    value, low, high = (float(row[name]) for name in ("speedup", "low", "high"))
    seeds = _seeds(row)
    return Speed(
        problem=problem, first=reference, outcome=_outcome(low, high, 1.0, seeds), value=value, low=low,
        high=high, seeds=seeds, rival=str(row["method"]), among=len(rivals), black_box=bool(black),
        target=float(row["target"]), bound=str(row["bound"]),
        sooner=_sooner(table[~table["method"].isin(rivals["method"])]),
    )  # fmt: skip


def _seeds(row: dict[Any, Any]) -> int:
    return int(min(row["n_seeds"], row["n_seeds_reference"]))


def _sooner(others: pd.DataFrame) -> tuple[Sooner, ...]:
    """Methods beside the black-box ones that were there before the reference: not to be passed over."""
    enough = others[["n_seeds", "n_seeds_reference"]].min(axis=1) >= LEAST
    early = others[enough & (others["bound"] == "") & (others["high"] < 1)]
    return tuple(
        Sooner(str(row["method"]), *(_inverse(row[name]) for name in ("speedup", "high", "low")))
        for row in early.sort_values("speedup", kind="stable").to_dict("records")
    )


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else float("inf")


# ---- accuracy -----------------------------------------------------------------------------------------


def final_scores(here: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Test accuracies, a row a seed and a column a method, and which: retrained, or the incumbents'."""
    measure = "final_test_accuracy"
    if not np.isfinite(numbers(here[measure])).any():
        measure = "incumbent_test_accuracy"
    return scores_by_seed(here, measure), measure


def gap(differences: Floats, level: float = 0.95) -> tuple[float, float, float]:
    """Mean difference with its t interval; NaN with fewer than two."""
    mean, half = mean_interval(differences, level)
    return mean, mean - half, mean + half


def accuracy(here: pd.DataFrame, reference: str | None) -> Accuracy | None:
    """One problem: the reference (without one, the best method) against the best of all others.

    None where there are no others with a common seed, or no method has an accuracy.
    """
    wide, measure = final_scores(here)
    first = reference if reference is not None else str(wide.mean().idxmax())
    others = wide.drop(columns=first)
    others = others[[m for m in others if len((wide[first] - wide[m]).dropna())]]
    if others.empty or not (wide.to_numpy(np.float64) > 0).any():
        return None
    rival, count = str(others.mean().idxmax()), others.shape[1]
    differences = (wide[first] - wide[rival]).dropna().to_numpy(np.float64)
    value, low, high = gap(differences)
    picked = reference is None or value < 0  # which of the two is ahead was the data's choice
    if picked and count > 1:
        value, low, high = gap(differences, 1 - 0.05 / count)
    return Accuracy(
        problem=str(here["problem"].iloc[0]), first=first, value=value, low=low, high=high,
        outcome=_outcome(low, high, 0.0, len(differences)), seeds=len(differences), rival=rival,
        measure=measure, means=(float(wide[first].mean()), float(wide[rival].mean())), among=count,
        picks=count if picked else 1,
    )  # fmt: skip


def _group(here: pd.DataFrame, reference: str) -> Group | None:
    """Greedy methods together against the reference; where there are none, schedules set by hand."""
    methods = here.drop_duplicates("method").set_index("method")
    names = [str(m) for m in methods.index]
    greedy = dict(zip(names, flag(methods, "greedy"), strict=True))
    searches = dict(zip(names, flag(methods, "searches"), strict=True))
    members = [m for m in names if greedy[m] and m != reference and not greedy[reference]]
    kind = bool(members)
    members = members or [m for m in names if not searches[m] and m != reference]
    if not members:
        return None
    wide, _ = final_scores(here)
    differences = (wide[reference] - wide[members].mean(axis=1, skipna=False)).dropna().to_numpy(np.float64)
    value, low, high = gap(differences)
    return Group(
        problem=str(here["problem"].iloc[0]), first=reference, members=tuple(members), greedy=kind,
        outcome=_outcome(low, high, 0.0, len(differences)), value=value, low=low, high=high,
        seeds=len(differences),
    )  # fmt: skip
