"""FDS with twice core's gradients: by the clock a gradient of forward mode's takes less than another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from . import core, rivals
from .studies import Study, beside

TWICE = "-twice"


def numbers(alone: Study, more: Study) -> dict[str, Any]:
    """What FDS, and FDS up Ladder's rungs, come to with twice the gradients, among all of core's methods.

    By method of ``more``: its ``seconds`` over random search's, in the median over problems; what its ends
    ``gain``, in percent of the way, the median over data sets with ``least`` and ``most``; on how many
    problems it is at 95 % of the way, ``reached``, and ends ``above`` the floor. ``_once``: the same with
    core's gradients.
    """
    both = joined(alone, more)
    ends, floor = rivals.ends(both), rivals.floor(both)["of"]
    reached, spent = core.reaches(both)[0.95], beside(both.runs, "seconds")
    found: dict[str, Any] = {"seeds": more.seeds, "commit": more.commit}
    for method in more.methods:
        own = f"{method}{TWICE}"
        gain = (ends[own] - ends[method]).dropna()
        found[method] = {
            "seconds": spent[own], "seconds_once": spent[method],
            "gain": float(gain.median()), "least": float(gain.min()), "most": float(gain.max()),
            "reached": reached[own]["problems"], "reached_once": reached[method]["problems"],
            "above": floor[own]["above"], "above_once": floor[method]["above"],
        }  # fmt: skip
    return found


def joined(alone: Study, more: Study) -> Study:
    """All of both, whose methods have ``TWICE`` behind their names."""
    frames = {
        name: pd.concat(
            [getattr(alone.loaded, name), _renamed(getattr(more.loaded, name))], ignore_index=True
        )
        for name in ("runs", "reports", "retrained")
        if getattr(alone.loaded, name) is not None
    }
    return Study(replace(alone.loaded, **frames))


def _renamed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(method=frame["method"].astype(str) + TWICE)
