"""The two frames of results, and what every module asks of them.

Accuracies are fractions in [0, 1], losses nats, times seconds of the method's fair clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hpobench_fds.errors import HpobenchError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CELL = ["problem", "method", "seed"]
"""What names one run."""


class NoAnswer(HpobenchError):  # noqa: N818 -- a verdict on the data, not a fault
    """The results do not hold what is asked of them; the message is the reason, in plain words."""


def numbers(column: pd.Series[Any]) -> Floats:
    """A column as floats; what was not recorded becomes NaN."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def flag(frame: pd.DataFrame, *names: str) -> Flags:
    """Where any of these columns is true: traits of the method, such as ``greedy`` or ``exact``."""
    found = np.zeros(len(frame), dtype=bool)
    for name in names:  # object columns: their ~ would be arithmetic on Python's bools
        found |= frame[name].to_numpy(dtype=bool, na_value=False)
    return found


def has_hypergradient(reports: pd.DataFrame) -> Flags:
    """Where a report recorded a hypergradient."""
    return reports["hypergradient"].map(lambda h: np.ndim(h) == 1).to_numpy(dtype=bool)


def split(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(problem, method, their rows), in the order of appearance."""
    for (problem, method), rows in frame.groupby(["problem", "method"], sort=False):
        yield str(problem), str(method), rows


def settled(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the runs that came to an end, complete or failed; works on reports and on runs.

    A run still under way, or interrupted, says nothing about its method yet. One that was skipped, since
    its method cannot run on that problem, is no run.
    """
    rows = frame[frame["status"].isin(["complete", "failed"])]
    return rows[~_skipped(rows)] if "stopped" in rows else rows


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the runs that did not fail: the only ones whose times and accuracies can be compared."""
    rows = settled(frame)
    return rows[rows["status"] == "complete"]


def failures(runs: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """(failed, all) finished runs of each method with failed ones, in the order of appearance."""
    done = settled(runs)
    failed = (done["status"] == "failed").groupby(done["method"], sort=False).agg(["sum", "size"])
    return {str(m): (int(f), int(n)) for m, f, n in failed.itertuples() if f}


def skipped(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of the runs whose method cannot run on their problem; ``reason`` says why."""
    return runs[_skipped(runs)]


def _skipped(runs: pd.DataFrame) -> Flags:
    return (runs["stopped"] == "skipped").to_numpy(dtype=bool, na_value=False)


def seed_counts(runs: pd.DataFrame) -> pd.Series[int]:
    """Number of seeds that came to an end, indexed by (problem, method)."""
    return settled(runs).groupby(["problem", "method"])["seed"].nunique()


def scores_by_seed(runs: pd.DataFrame, column: str, nothing: float = 0.0) -> pd.DataFrame:
    """A column of one problem's runs, a row a seed and a column a method.

    A failed run has no value: NaN. One that came to its end without any was handed in empty, and has
    ``nothing``, the accuracy of guessing.
    """
    done = complete(runs)
    values = done.assign(value=np.nan_to_num(numbers(done[column]), nan=nothing))
    wide = values.pivot_table("value", "seed", "method", sort=False)
    return wide.reindex(columns=list(dict.fromkeys(settled(runs)["method"])))
