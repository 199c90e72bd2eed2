"""What the pages of a site say of each suite, problem and method, worked out once for all of them.

Standings describe the median run and claim nothing; whether a difference can be told is said by the tests on
each suite's own page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..looks import KINDS, Looks, look_by_rule
from ..stats import profiles
from ..stats.frames import failures, settled
from ..stats.target_times import target_times
from .shelf import FileNames, Volume
from .worked import Worked


@dataclass(frozen=True)
class Standing:
    """One label of a suite on one of its problems; ``row`` is of the verdict table, ``time`` of the times."""

    volume: Volume
    problem: str
    label: str
    row: Mapping[str, Any]
    time: Mapping[str, Any] | None  # to the headline target, in gradients; None where there is no target
    place: int | None  # by that time; None where the median run never got there
    of: int
    soonest_search: bool  # of the methods that search
    beats_floor: bool  # by a test


@dataclass
class Suite:
    """A suite that can be read, with its numbers."""

    volume: Volume
    worked: Worked
    score: dict[str, Mapping[str, Any]]  # by label; empty where nothing is compared
    standings: list[Standing]
    failed: dict[str, tuple[int, int]]
    problems: dict[str, str]  # name: file name of its page, of those with finished runs

    @property
    def looks(self) -> Looks:
        return self.worked.looks

    @property
    def labels(self) -> dict[str, Mapping[str, Any]]:
        """Every label of the suite, with or without runs: its adapter, options and space."""
        assert self.volume.loaded is not None
        found: dict[str, Mapping[str, Any]] = self.volume.loaded.suite["methods"]
        return found


@dataclass
class MethodFacts:
    """An adapter over all suites: ``labels`` are (suite, label)."""

    name: str
    file: str
    label: str
    kind: str
    traits: Mapping[str, bool]
    labels: list[tuple[Suite, str]] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)


def suite_facts(volume: Volume, names: FileNames, reference: str) -> Suite:
    """The numbers of a suite that is loaded; ``names`` gives its problems' file names."""
    assert volume.loaded is not None
    reports, runs = volume.loaded.reports, volume.loaded.runs
    worked = Worked.of(reports, runs, reference, volume.loaded.retrained)
    done = settled(runs)
    problems = {str(p): names(f"{volume.key}-{p}") for p in dict.fromkeys(done["problem"])}
    score: dict[str, Mapping[str, Any]] = {}
    if len(set(done["method"])) > 1:
        table = profiles.scores(profiles.times(reports, runs))
        score = {str(row["method"]): row for row in _rows(table)}
    return Suite(volume, worked, score, _standings(volume, worked), failures(runs), problems)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _standings(volume: Volume, worked: Worked) -> list[Standing]:
    assert volume.loaded is not None
    reports, runs = volume.loaded.reports, volume.loaded.runs
    if settled(runs).empty:
        return []
    times = target_times(reports, runs)
    times = times[times["headline"].astype(bool)]
    floors = worked.floors
    above = set(floors.loc[floors["outcome"] == "above", ["problem", "method"]].itertuples(index=False))
    found = []
    for row in _rows(worked.verdict):
        own = times[times["problem"] == row["problem"]]
        there = own[(own["bound"] == "") & np.isfinite(own["median"].astype(float))]
        order = there.sort_values("median", kind="stable")
        placed = list(map(str, order["method"]))
        searching = list(map(str, order.loc[order["searches"].astype(bool), "method"]))
        time = next(iter(_rows(own[own["method"] == row["method"]])), None)
        label = str(row["method"])
        found.append(
            Standing(
                volume, str(row["problem"]), label, row, time,
                placed.index(label) + 1 if label in placed else None, len(own),
                searching[:1] == [label], (row["problem"], row["method"]) in above,
            )
        )  # fmt: skip
    return found


def methods_of(suites: list[Suite]) -> list[MethodFacts]:
    """Every adapter that a suite names, by kind and name."""
    names, found = FileNames(), dict[str, MethodFacts]()
    for suite in suites:
        assert suite.volume.loaded is not None
        rows = {str(row["method"]): row for row in _rows(suite.volume.loaded.runs)}
        for label, method in suite.labels.items():
            adapter = str(method["adapter"])
            row = rows.get(label, {})
            if adapter not in found:
                found[adapter] = MethodFacts(adapter, "", look_by_rule(adapter).label, "others", {})
            own = found[adapter]
            if row and not own.traits:  # of the first suite that ran it
                own.kind = suite.looks.kind_of.get(label, "others")
                own.traits = {name: bool(row[name]) for name in TRAITS}
            own.labels.append((suite, label))
            own.standings += [one for one in suite.standings if one.label == label]
    order = sorted(found.values(), key=lambda one: (KINDS.index(one.kind), one.label.lower()))
    for one in order:
        one.file = names(one.name)
    return order


TRAITS = {
    "greedy": "moves hyperparameters while a training runs",
    "exact": "its hypergradient is that of the whole training",
    "truncated": "its hypergradient is of the last steps of a training alone",
    "multi_fidelity": "chooses by trainings shorter than the horizon too",
    "searches": "searches",
}
"""What a record says of a method's class, in words."""
