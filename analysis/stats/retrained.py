"""The retrained anytime curve: what a user who stopped at a time would have been handed, trained again.

The referee retrains incumbents on several fresh draws each. Where it did, the test accuracy of an incumbent
is the median over its draws, a diverged draw counting as guessing; where it did not, the test accuracy of the
weights in hand stands, and captions say so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import CELL, NoAnswer, numbers
from .targets import chance


def by_report(retrained: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """problem, method, seed, report, test_metric, test_loss, draws, diverged (share of the draws).

    Of a frame with RETRAINED_COLUMNS: medians over the draws of a report. A diverged draw has the accuracy of
    guessing and an infinite loss.
    """
    guess = chance(runs)
    broken = retrained["diverged"].to_numpy(dtype=bool)
    accuracy = np.where(
        broken, retrained["problem"].map(guess).fillna(0.0), numbers(retrained["test_metric"])
    )
    loss = np.where(broken, np.inf, numbers(retrained["test_loss"]))
    draws = retrained[[*CELL, "report"]].assign(
        test_metric=accuracy, test_loss=loss, diverged=broken.astype(float), draws=1
    )
    how = {"test_metric": "median", "test_loss": "median", "draws": "sum", "diverged": "mean"}
    return draws.groupby([*CELL, "report"], as_index=False, sort=False).agg(how)


def primary(reports: pd.DataFrame, runs: pd.DataFrame, retrained: pd.DataFrame | None) -> pd.DataFrame:
    """The reports with the primary curve in their test columns, and ``retrained`` saying where it stands.

    ``in_hand`` keeps the test accuracy of the weights in hand, the secondary curve. Runs without any
    retraining keep what they had. In the others, incumbents that were not retrained are no
    point of the test curve: their test values become NaN, and ``curves`` passes over them.
    """
    if retrained is None or retrained.empty:
        return reports
    if retrained.groupby(CELL)["report"].nunique().max() < 2:
        return reports  # last incumbents alone are no curve: they would hide all that came before
    known = by_report(retrained, runs).set_index([*CELL, "report"])
    keys = pd.MultiIndex.from_frame(reports[[*CELL, "report"]])
    cells = pd.MultiIndex.from_frame(retrained[CELL]).unique()
    covered = pd.MultiIndex.from_frame(reports[CELL]).isin(cells)
    there = keys.isin(known.index)
    values = known.reindex(keys)
    made = reports.assign(retrained=covered & there, covered=covered, in_hand=reports["test_metric"])
    for name in ("test_metric", "test_loss"):
        made[name] = np.where(covered, values[name].to_numpy(np.float64), numbers(reports[name]))
    return made


def finals(runs: pd.DataFrame, retrained: pd.DataFrame | None) -> pd.DataFrame:
    """The runs with what their last incumbents came to in all draws, the median, if there are several.

    Of runs whose last incumbent was drawn once, that draw stands. A diverged draw counts as guessing.
    """
    if retrained is None or retrained.empty:
        return runs
    known = by_report(retrained, runs).rename(columns={"report": "final_report"})
    known = known[known["draws"] > 1].set_index([*CELL, "final_report"])
    values = known.reindex(pd.MultiIndex.from_frame(runs[[*CELL, "final_report"]]))
    made = runs.copy()
    for name in ("test_metric", "test_loss"):
        own = values[name].to_numpy(np.float64)
        made[f"final_{name}"] = np.where(np.isnan(own), numbers(runs[f"final_{name}"]), own)
    return made


def in_hand(reports: pd.DataFrame) -> pd.DataFrame:
    """The reports with the secondary curve in their test column: of the weights in hand, retrained or not.

    Raises NoAnswer where the primary curve is that already.
    """
    if not is_retrained(reports):
        raise NoAnswer("no run was retrained on its way: the curve of weights in hand is the primary one")
    return reports.assign(test_metric=reports["in_hand"]).drop(columns=["retrained", "covered"])


def is_retrained(reports: pd.DataFrame) -> bool:
    """Whether the test curve of any run is the retrained one."""
    return "retrained" in reports and bool(reports["retrained"].any())
