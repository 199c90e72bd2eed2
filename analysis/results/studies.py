"""Recorded suites as questions need them: times in trainings' worth, ends in points, tables as Markdown."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpobench_fds.errors import InputError
from hpobench_fds.metrics import METRICS

from ..loading import Loaded, load
from ..looks import Looks
from ..stats.comparisons import holm, paired_p
from ..stats.conclusions import final_scores
from ..stats.conditioning import noisy
from ..stats.frames import complete, flag, numbers
from ..stats.intervals import LEVEL, median_interval, signed_rank_interval
from ..stats.retrained import in_hand, is_retrained
from ..stats.target_times import target_times
from ..stats.targets import ways

NEVER = "never"


@dataclass(frozen=True)
class Study:
    """A results folder. Its curves are those of the weights in hand, which every incumbent has."""

    loaded: Loaded

    @classmethod
    def of(cls, folder: Path) -> Study:
        return cls(load(folder))

    @property
    def runs(self) -> pd.DataFrame:
        return self.loaded.runs

    @cached_property
    def reports(self) -> pd.DataFrame:
        reports = self.loaded.reports
        return in_hand(reports) if is_retrained(reports) else reports

    @cached_property
    def ways(self) -> dict[str, tuple[float, float]]:
        """Problem: from where to where retrained incumbents lead: the initial schedule's, the best median."""
        return ways(self.loaded.reports, self.runs)

    @cached_property
    def looks(self) -> Looks:
        return Looks.of(self.runs)

    @property
    def problems(self) -> list[str]:
        return [str(name) for name in dict.fromkeys(self.runs["problem"])]

    @property
    def methods(self) -> list[str]:
        return [str(name) for name in dict.fromkeys(self.runs["method"])]

    @property
    def searching(self) -> list[str]:
        """The methods that search, in the order of appearance."""
        return [str(name) for name in dict.fromkeys(self.runs.loc[flag(self.runs, "searches"), "method"])]

    @property
    def seeds(self) -> int:
        """The fewest that a method has on a problem."""
        return int(complete(self.runs).groupby(["problem", "method"])["seed"].nunique().min())

    @property
    def commit(self) -> str:
        """The one that all runs were made from. Raises InputError of several, or of changed sources."""
        return self._one_clean(self.runs["commit"])

    @property
    def commits(self) -> dict[str, str]:
        """Method: the commit that all of its runs were made from. Raises InputError as ``commit``."""
        return {str(m): self._one_clean(own) for m, own in self.runs.groupby("method", sort=False)["commit"]}

    def _one_clean(self, commits: pd.Series[str]) -> str:
        found = sorted(set(commits))
        if len(found) != 1 or not found[0] or "dirty" in found[0]:
            told = ", ".join(found) or "no commit"
            raise InputError(f"recorded from {told}", where=self.loaded.folder, allowed="one clean commit")
        return str(found[0])

    def horizon(self, problem: str) -> int:
        """Inner steps of a whole training: gradients that a training is worth."""
        return int(self.loaded.suite["problems"][problem]["config"]["horizon"])

    @property
    def budgets(self) -> dict[str, float]:
        """Problem: gradient-equivalents."""
        problems = self.loaded.suite["problems"]
        return {name: float(problems[name]["budget"]["gradient_equivalents"]) for name in self.problems}

    @cached_property
    def times(self) -> pd.DataFrame:
        """``target_times`` with ``median``, ``low`` and ``high`` in trainings' worth; infinite for never."""
        table = _never(target_times(self.reports, self.runs))
        worth = table["problem"].map({p: self.horizon(p) for p in self.problems}).astype(float)
        return table.assign(**{name: table[name] / worth for name in ("median", "low", "high")})

    @cached_property
    def seconds(self) -> pd.DataFrame:
        """``target_times`` by the clock; a ``median`` that is never come to is infinite."""
        return _never(target_times(self.reports, self.runs, "seconds"))

    def time(self, problem: str, method: str, share: float, *, clock: bool = False) -> float:
        """Trainings' worth, or seconds by the clock, until that share of the way, in the median.

        Infinite for never, or skipped.
        """
        own = self.seconds if clock else self.times
        found = own[(own["problem"] == problem) & (own["method"] == method) & np.isclose(own["share"], share)]
        return float(found["median"].iloc[0]) if len(found) else np.inf

    def end(self, problem: str, method: str) -> float:
        """The median retrained end in points; NaN of one that was skipped on the problem."""
        return float(self._medians.get((problem, method), np.nan))

    def told(self, problem: str, points: float) -> str:
        """An end with its unit: ``85.6 %``; of bits, below 0 where higher is better, as they are."""
        metric = METRICS[str(self.runs.loc[self.runs["problem"] == problem, "metric"].iloc[0])]
        if metric.higher_is_better:
            return f"{points:.1f} %"
        return f"{-points / 100:.2f} {metric.name}"

    @cached_property
    def _medians(self) -> dict[Hashable, float]:
        return self.ends["median"].to_dict()

    @cached_property
    def ends(self) -> pd.DataFrame:
        """problem, method: median, low, high, least and most of retrained test accuracy in points.

        low and high are the 95 % interval of the median over seeds, NaN below six; least and most the range.
        """
        rows = []
        for problem, here in complete(self.runs).groupby("problem", sort=False):
            wide, _ = final_scores(here)
            for method in wide:
                values = 100 * wide[method].dropna().to_numpy(float)
                low, high = median_interval(values)
                rows.append((problem, method, np.median(values), low, high, values.min(), values.max()))
        names = ["problem", "method", "median", "low", "high", "least", "most"]
        return pd.DataFrame(rows, columns=names).set_index(["problem", "method"])


def beside(runs: pd.DataFrame, column: str, measure: str = "random_search") -> dict[str, float]:
    """Method: medians of a column over those of another method, in the median over problems.

    Nothing where the other one did not run.
    """
    table = complete(runs).pivot_table(column, "problem", "method", aggfunc="median", observed=True)
    if measure not in table:
        return {}
    return {str(m): float(v) for m, v in table.div(table[measure], axis=0).median().items()}


def _never(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(median=np.where(table["bound"] == "", numbers(table["median"]), np.inf))


def per_seed(runs: pd.DataFrame, problem: str, method: str) -> pd.Series[float]:
    """Retrained test accuracy in points by seed, of complete runs; of one without an answer guessing's."""
    wide, _ = final_scores(runs[runs["problem"] == problem])
    found: pd.Series[float] = 100 * wide[method].dropna().sort_index()
    return found


def unsound(study: Study, method: str = "fds") -> dict[str, dict[str, float]]:
    """Problem: percent of a method's hypergradients: ill conditioned, ``ill``, and overflowed, ``lost``."""
    table = noisy(study.reports)
    own = table[table["method"] == method].set_index("problem")
    return {
        str(problem): {"ill": 100 * float(row["ill"]), "lost": 100 * float(row["lost"])}
        for problem, row in own.iterrows()
    }


def worth(trainings: float, digits: int = 1) -> str:
    """``7.9``, or ``never``."""
    return f"{trainings:.{digits}f}" if np.isfinite(trainings) else NEVER


def between(row: Any, digits: int = 1) -> str:
    """``86.3 (85.8 to 86.7)`` of a row with median, low and high; without an interval the median alone."""
    text = f"{row['median']:.{digits}f}"
    if not np.isfinite(row["low"]):
        return text
    return f"{text} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text."""
    lines = [f"| {' | '.join(headings)} |", f"|---|{'---:|' * (len(headings) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def paired(ends: Mapping[str, pd.Series[float]], reference: str) -> dict[str, dict[str, Any]]:
    """Every other method's ends less the reference's, seed by seed, in points.

    ``difference`` is Hodges and Lehmann's median, ``low`` and ``high`` its 95 % interval, which holds for all
    rivals together; ``p`` is Holm's; ``told`` says whether the test tells the two apart.
    """
    own, found = ends[reference], dict[str, dict[str, Any]]()
    rivals = {
        method: (one - own).dropna().to_numpy(float) for method, one in ends.items() if method != reference
    }
    corrected = holm(np.array([paired_p(gaps) for gaps in rivals.values()]))
    for (method, gaps), p in zip(rivals.items(), corrected.tolist(), strict=True):
        middle, low, high = signed_rank_interval(gaps, 1 - LEVEL / len(rivals))
        found[method] = {"difference": middle, "low": low, "high": high, "p": p, "told": p < LEVEL}
    return found
