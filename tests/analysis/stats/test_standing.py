"""What makes a study exploratory."""

from __future__ import annotations

import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.standing import Reason, reasons


def study(seeds: int) -> Results:
    made = Results()
    for seed in range(seeds):
        made.add("fds", seed, [(1, 0.9)]).add("tpe", seed, [(1, 0.8)])
    return made


def test_six_seeds_made_alike_are_a_confirmation() -> None:
    runs = study(6).runs.assign(commit="abc", machine="cpu 1", software="torch 2")
    assert reasons(runs) == []


def test_the_fewest_seeds_count() -> None:
    assert reasons(study(6).add("hd", 0, [(1, 0.5)]).runs) == [Reason("seeds", 1)]


@pytest.mark.parametrize(
    ("column", "odd", "reason"),
    [("commit", "abc-dirty", Reason("dirty", 1)), ("commit", "def", Reason("commits", 2)),
     ("machine", "cpu 2", Reason("machines", 2)), ("software", "torch 3", Reason("software", 2)),
     ("jobs", 4, Reason("jobs", 4)), ("budget_seconds", 50.0, Reason("budgets", 1)),
     ("budget_gradient_equivalents", 50.0, Reason("budgets", 1)),
     ("mixed_clock", True, Reason("mixed", 1)),
     ("crowding", "it was suspended", Reason("crowded", 1)),
     ("commit", "abc def-dirty", Reason("dirty", 1))],
)  # fmt: skip
def test_one_odd_run_is_enough(column: str, odd: object, reason: Reason) -> None:
    runs = study(6).runs.assign(commit="abc", machine="cpu 1", software="torch 2")
    runs.loc[0, column] = odd
    assert reason in reasons(runs)


def test_what_was_not_recorded_is_no_second_kind() -> None:
    runs = study(6).runs.assign(commit="abc", machine="", software="")
    runs.loc[0, "machine"] = "cpu 1"
    assert reasons(runs) == []
