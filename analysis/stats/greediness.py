"""What methods lose that do not look to the end: the schedules that they end with, and their test accuracy.

A greedy method moves its hyperparameters during one training, by what the loss says now; a truncated one
judges them by the last K steps. Both stand against exact ones, whose hypergradients see the whole horizon.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import NoAnswer, complete, flag, numbers
from .intervals import LEAST, LEVEL, signed_rank_interval
from .schedules import final_schedules, long_form
from .targets import chance

KINDS = ("greedy", "truncated", "not greedy")
"""Of gradient-based methods; not greedy are the exact ones. Others, such as implicit ones, have no kind."""


def final_accuracy(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Final test accuracy of every run that has ended, on problems where some method moved its schedule.

    Columns problem, method, kind (of ``KINDS``, or none), seed, accuracy; a run that ended with nothing in
    hand counts as guessing, one that failed has no accuracy and no row.

    Raises NoAnswer where no method moved: suites that only measure hypergradients.
    """
    own = final_schedules(reports, runs)
    distinct = own["schedule"].map(tuple).groupby(own["problem"]).nunique()
    ended = complete(runs)
    ended = ended[ended["problem"].isin(distinct.index[distinct > 1])]
    if ended.empty:
        raise NoAnswer("no problem has runs that ended with different schedules")
    kind = np.select([flag(ended, "greedy"), flag(ended, "truncated"), flag(ended, "exact")], KINDS, "")
    table = ended[["problem", "method", "seed"]].assign(kind=kind)
    values, guess = numbers(ended["final_test_metric"]), table["problem"].map(chance(ended))
    return table.assign(accuracy=np.where(np.isnan(values), guess, values)).reset_index(drop=True)


def _gradient_based(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Rows of methods of some kind, of the problems that have exact ones and others."""
    own = accuracy[accuracy["kind"] != ""]
    exact = (own["kind"] == "not greedy").groupby(own["problem"])
    both = exact.transform("any") & ~exact.transform("all")
    if not both.any():
        raise NoAnswer(
            "no problem has both a greedy and a non-greedy gradient-based method (nor a truncated and an "
            "exact one)"
        )
    return own[both]


def typical_schedules(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Of each method the retrained schedule of its middle run: that with the (lower) median final accuracy.

    Medians of each window's value over seeds would be a schedule that nobody ran.

    Returns
    -------
    problem, method, kind (of ``KINDS``, or "best": the method with the best median final test accuracy,
    of any family), hyperparameter, window, start, end (fractions of the horizon), value, seed, and over how
    many seeds.

    Raises NoAnswer where no problem has methods to be compared.
    """
    accuracy = final_accuracy(reports, runs)
    kinds = _gradient_based(accuracy).drop_duplicates(["problem", "method"])[["problem", "method", "kind"]]
    middle = accuracy.groupby(["problem", "method"], sort=False)["accuracy"].median()
    best = middle.groupby(level="problem", sort=False).idxmax()
    first = [pair for pair in best.tolist() if pair[0] in set(kinds["problem"])]
    wanted = pd.concat(
        [pd.DataFrame(first, columns=["problem", "method"]).assign(kind="best"), kinds], ignore_index=True
    )
    table = long_form(final_schedules(reports, runs))
    seeds = table.groupby(["problem", "method"])["seed"].transform("nunique")
    own = table.assign(seeds=seeds).merge(_middle_runs(accuracy, table), on=["problem", "method", "seed"])
    columns = ["problem", "method", "hyperparameter", "window", "start", "end", "value", "seed", "seeds"]
    return wanted.merge(own[columns], on=["problem", "method"])


def _middle_runs(accuracy: pd.DataFrame, schedules: pd.DataFrame) -> pd.DataFrame:
    """problem, method, seed of the run with the (lower) median accuracy of those that have a schedule."""
    there = schedules[["problem", "method", "seed"]].drop_duplicates()
    own = accuracy.merge(there, on=["problem", "method", "seed"])
    own = own.sort_values(["accuracy", "seed"], kind="stable")
    groups = own.groupby(["problem", "method"], sort=False)
    middle = groups.cumcount() == (groups["seed"].transform("size") - 1) // 2
    return own.loc[middle, ["problem", "method", "seed"]]


LOSS_COLUMNS = [
    "problem", "method", "kind", "accuracy", "reference", "difference", "low", "high", "seeds",
]  # fmt: skip


def losses(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Final test accuracy of each gradient-based method minus that of the best exact one, seed by seed.

    Over the seeds that the method has in common with all exact ones; the best is the one with the highest
    median over these. ``difference`` is Hodges and Lehmann's median of the paired differences, ``low`` and
    ``high`` the interval that goes with it, at 1 - 0.05 / k for the choice among k exact ones; below six
    seeds the range of the differences, NaN with a single seed. ``accuracy`` is the method's median.
    Fractions.

    Raises NoAnswer where no problem has methods to be compared.
    """
    rows = []
    for problem, own in _gradient_based(final_accuracy(reports, runs)).groupby("problem", sort=False):
        wide = own.pivot_table("accuracy", "seed", "method", sort=False)
        kinds = own.drop_duplicates("method").set_index("method")["kind"]
        others = [m for m in wide.columns if kinds[m] == "not greedy"]
        for method in wide.columns:
            both = wide[list(dict.fromkeys([method, *others]))].dropna()
            if len(both):
                reference, values = _against_best(both, str(method), others)
                rows.append({"problem": problem, "method": method, "kind": kinds[method],
                             "reference": reference, "seeds": len(both), **values})  # fmt: skip
    return pd.DataFrame(rows, columns=LOSS_COLUMNS)


def _against_best(accuracy: pd.DataFrame, method: str, others: list[str]) -> tuple[str, dict[str, float]]:
    """The best of the others, and the method's difference from it with its interval."""
    reference = str(accuracy[others].median().idxmax())
    gaps = (accuracy[method] - accuracy[reference]).to_numpy(np.float64)
    middle, low, high = signed_rank_interval(gaps, 1 - LEVEL / len(others))
    if len(gaps) < LEAST:
        low, high = (float(gaps.min()), float(gaps.max())) if len(gaps) > 1 else (np.nan, np.nan)
    values = {"accuracy": float(accuracy[method].median()), "difference": middle, "low": low, "high": high}
    return reference, values
