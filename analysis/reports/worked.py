"""What pages say of a suite, worked out once for all pages that say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..looks import Looks
from ..stats.floor import floor_table
from ..stats.frames import settled
from ..stats.verdict_table import verdict_table
from . import lead, sentences
from .page_data import page_data


@dataclass(frozen=True, eq=False)
class Worked:
    """Tables, sentences and the charts' data; ``leads`` and ``told_of`` by problem."""

    looks: Looks
    verdict: pd.DataFrame  # stats.verdict_table; without rows where no run came to an end
    floors: pd.DataFrame  # stats.floor
    data: dict[str, Any]  # page_data
    lead: str
    told: list[str]
    leads: Mapping[str, str]
    told_of: Mapping[str, list[str]]

    @classmethod
    def of(
        cls, reports: pd.DataFrame, runs: pd.DataFrame, reference: str, retrained: pd.DataFrame | None = None
    ) -> Worked:
        """Of the frames of a suite (``loading.Loaded``), with the method that others are compared with."""
        problems = list(dict.fromkeys(map(str, settled(runs)["problem"])))
        known = sentences.exploratory(runs)
        told = [one for one in sentences.verdict(reports, runs, reference) if one not in known]
        several = len(problems) > 1
        verdict = verdict_table(reports, runs, reference, retrained=retrained)
        return cls(
            Looks.of(runs), verdict if problems else verdict.iloc[:0],
            floor_table(reports, runs), page_data(reports, runs, reference),
            lead.lead(reports, runs, reference), told,
            lead.by_problem(reports, runs, reference) if several else {},
            sentences.by_problem(reports, runs, reference) if several else {},
        )  # fmt: skip

    def data_of(self, problem: str) -> dict[str, Any]:
        """The charts' data of one problem, with the methods that ran on it."""
        own = self.data["problems"][problem]
        ran = set(self.verdict.loc[self.verdict["problem"] == problem, "method"])
        return {
            **self.data, "problems": {problem: own}, "profile": {},
            "methods": [method for method in self.data["methods"] if method["name"] in ran],
        }  # fmt: skip
