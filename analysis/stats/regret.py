"""Regret: how far a schedule's expected loss lies above the least that any schedule of the space has."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import CELL, NoAnswer, numbers

ROUNDING = 1e-12  # as a share of the loss: a regret below that, of either sign, is none


def with_regret(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The reports of problems whose best schedule is known, with a column ``regret``.

    Regret is exact: the expectation over all draws of a training, in closed form, less the least one of the
    problem's space. It is NaN of reports that were no incumbents, and of step rules of their own. Below 0 are
    schedules that no method with the problem's space has: of values of each step, or of a space of the
    method's own.

    Raises
    ------
    NoAnswer : no such problem.
    """
    known = runs.dropna(subset="least_expected_loss").drop_duplicates(CELL)
    least = pd.Series(numbers(known["least_expected_loss"]), index=pd.MultiIndex.from_frame(known[CELL]))
    own = pd.MultiIndex.from_frame(reports[CELL])
    kept = reports[own.isin(least.index)]
    if kept.empty:
        raise NoAnswer("no problem's best schedule is known in closed form")
    floor = numbers(least.reindex(pd.MultiIndex.from_frame(kept[CELL])))
    regret = numbers(kept["expected_loss"]) - floor
    return kept.assign(regret=np.where(np.abs(regret) <= ROUNDING * floor, 0.0, regret))
