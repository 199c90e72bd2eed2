"""FDS with twice the gradients, among all of core's methods."""

from __future__ import annotations

import pandas as pd
import pytest
from hpobench_fds.analysis.results import twice
from hpobench_fds.analysis.results.studies import Study
from test_core_numbers import study_of

PROBLEMS = ("a-wide", "b-wide")


@pytest.fixture
def studies() -> tuple[Study, Study]:
    """With twice the gradients FDS ends at 0.9 on the one, above the floor, as before on the other."""
    alone = study_of({p: {"fds": 0.7, "pbt": 0.75, "random_search": 0.6, "cosine": 0.8} for p in PROBLEMS})
    more = study_of({"a-wide": {"fds": 0.9}, "b-wide": {"fds": 0.7}})
    more.loaded.runs["seconds"] *= 2
    return alone, more


def test_it_is_held_against_itself_and_against_all_others(studies: tuple[Study, Study]) -> None:
    found = twice.numbers(*studies)["fds"]
    assert (found["seconds"], found["seconds_once"]) == (pytest.approx(2.0), 1.0)
    assert (found["above"], found["above_once"]) == (1, 0)
    assert (found["reached"], found["reached_once"]) == (1, 0)
    assert found["most"] == pytest.approx(100 * 0.2 / (0.9025 - 0.1), abs=0.5)
    assert found["least"] == pytest.approx(0.0, abs=1e-9)


def test_nothing_of_core_changes_by_being_joined(studies: tuple[Study, Study]) -> None:
    alone, more = studies
    both = twice.joined(alone, more)
    assert set(both.methods) == {*alone.methods, "fds-twice"}
    pd.testing.assert_frame_equal(both.runs.iloc[: len(alone.runs)], alone.runs, check_dtype=False)
