"""Schedules as numbers: windows by name, one row a window, and which schedule a run ended with."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpobench_fds.errors import InputError

from .frames import CELL, complete, has_hypergradient, numbers

LONG_COLUMNS = [
    "problem", "method", "seed", "report", "hyperparameter", "window", "start", "end", "value",
    "hypergradient", "step_size",
]  # fmt: skip


def groups(names: Sequence[str]) -> dict[str, list[int]]:
    """Positions of each hyperparameter's windows, in the order of the windows: lr[0], lr[1] ..."""
    found: dict[str, list[tuple[int, int]]] = {}
    for position, name in enumerate(names):
        match = re.fullmatch(r"(.+?)(?:\[(\d+)\])?", name)
        if match is None:
            raise InputError(f"schedule name {name!r}", allowed="names such as lr[0]")
        found.setdefault(match[1], []).append((int(match[2] or 0), position))
    return {group: [position for _, position in sorted(windows)] for group, windows in found.items()}


def long_form(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a window of each report's schedule; none of a step rule of its own, which has no schedule.

    Returns
    -------
    problem, method, seed, report, hyperparameter, window, start and end (fractions of the horizon: window
    i of n holds from i/n up to (i+1)/n), value, hypergradient and step_size (NaN where none was recorded).
    """
    rows = []
    for row in reports.to_dict("records"):
        extra, count = row["extra"], len(row["schedule"])
        slope = _list(row["hypergradient"], count)
        step = _list(extra.get("step_sizes") if isinstance(extra, dict) else None, count)
        for group, positions in groups(row["schedule_names"] if count else []).items():
            n = len(positions)
            for i, at in enumerate(positions):
                rows.append({
                    "problem": row["problem"], "method": row["method"], "seed": row["seed"],
                    "report": row["report"], "hyperparameter": group, "window": i,
                    "start": i / n, "end": (i + 1) / n, "value": float(row["schedule"][at]),
                    "hypergradient": slope[at], "step_size": step[at],
                })  # fmt: skip
    return pd.DataFrame(rows, columns=LONG_COLUMNS)


def _list(values: object, count: int) -> Sequence[float]:
    """That many numbers; NaN if they were not recorded."""
    known = isinstance(values, (list, tuple, np.ndarray)) and np.ndim(values) == 1 and len(values) == count
    return [float(v) for v in values] if known else [float("nan")] * count  # type: ignore[attr-defined]


def final_schedules(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The report of every complete run whose schedule the referee trained again.

    The record names it (``final_report``). Of a run whose record names none, an old one or one that was not
    retrained, it is the last incumbent's; ``recorded`` says which of the two.

    Returns
    -------
    Rows of ``reports``, sorted by cell, with the column ``recorded``; none of a run without either.
    """
    runs, own = runs.drop_duplicates(CELL), reports[reports["status"] == "complete"]
    of_run = pd.MultiIndex.from_frame(runs[CELL]).get_indexer(pd.MultiIndex.from_frame(own[CELL]))
    # One more for the reports of a run that is not there: -1 is the last.
    named = np.append(numbers(runs["final_report"]), np.nan)[of_run]
    recorded = np.isfinite(named)
    chosen = own[recorded & (own["report"] == named)]
    rest = own[~recorded & own["incumbent"].astype(bool)].sort_values("report", kind="stable")
    last = rest.groupby(CELL, sort=False).tail(1)
    both: pd.DataFrame = pd.concat([chosen.assign(recorded=True), last.assign(recorded=False)])
    return both.sort_values(CELL)


def best_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """problem, method, best_seed: of its complete runs the one with the best incumbent by validation.

    Without one, by validation loss; of equals the lowest seed.
    """
    done = complete(runs).sort_values("seed", kind="stable")
    score = np.nan_to_num(numbers(done["incumbent_val_metric"]), nan=-np.inf)
    loss = np.nan_to_num(numbers(done["incumbent_val_loss"]), nan=np.inf)
    ordered = done.assign(score=-score, loss=loss).sort_values(["score", "loss"], kind="stable")
    first = ordered.drop_duplicates(["problem", "method"])[["problem", "method", "seed"]]
    return first.rename(columns={"seed": "best_seed"}).reset_index(drop=True)


def gradient_methods(reports: pd.DataFrame) -> list[str]:
    """Methods that step along hypergradients: of the gradient family, or with one recorded."""
    own = (reports["family"] == "gradient") | has_hypergradient(reports)
    return list(dict.fromkeys(reports.loc[own, "method"]))


MOST = 60
"""Outer steps of one run that a figure still shows apart."""


def outer_steps(reports: pd.DataFrame, method: str) -> pd.DataFrame:
    """``long_form`` of one run of a method a problem, the complete one with the lowest seed.

    Of more than ``MOST`` outer steps that many, evenly spaced, with the first and the last: a greedy method
    may have thousands.
    """
    own = reports[(reports["method"] == method) & (reports["status"] == "complete")]
    first = own.groupby("problem")["seed"].transform("min") if len(own) else own["seed"]
    return long_form(_thinned(own[own["seed"] == first].sort_values(["problem", "report"], kind="stable")))


def _thinned(reports: pd.DataFrame) -> pd.DataFrame:
    """At most ``MOST`` reports a problem."""
    number = reports.groupby("problem").cumcount().to_numpy()
    count = reports.groupby("problem")["report"].transform("size").to_numpy()
    slot = number * (MOST - 1) // np.maximum(count - 1, 1)
    kept = ~pd.DataFrame({"problem": reports["problem"].to_numpy(), "slot": slot}).duplicated().to_numpy()
    return reports[kept | (count <= MOST)]
