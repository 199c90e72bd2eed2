"""Windows by name, as the trainer counts them; the schedule that a run ended with."""

from __future__ import annotations

import math

import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import schedules
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.errors import InputError


def test_groups_follow_the_number_of_the_window_not_the_text() -> None:
    names = ["lr[10]", "lr[2]", "lr[0]", "momentum", "weight_decay[0]"]
    assert schedules.groups(names) == {"lr": [2, 1, 0], "momentum": [3], "weight_decay": [4]}


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"lr\[0\]"):
        schedules.groups([""])


def test_gradient_methods_by_family_or_by_what_they_recorded(results: Results) -> None:
    results.add("fds", 0, [(1, 0.1)]).add("tpe", 0, [(1, 0.1)])
    results.add("mine", 0, [(1, 0.1)], hypergradients=[[1.0, 1, 1, 1]])
    assert schedules.gradient_methods(results.reports) == ["fds", "mine"]


@given(st.integers(1, 12), st.integers(1, 400), st.data())
def test_a_window_covers_the_trainers_steps(n: int, horizon: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, horizon - 1))
    results = Results()
    Results.names, kept = tuple(f"lr[{i}]" for i in range(n)), Results.names
    try:
        results.add("fds", 0, [(1, 0.5)], schedules=[list(range(n))])
    finally:
        Results.names = kept
    table = schedules.long_form(results.reports)
    inside = table[(table["start"] <= step / horizon + 1e-12) & (step / horizon + 1e-12 < table["end"])]
    assert inside["value"].tolist() == [math.floor(n * step / horizon)]


def schedule(first: float) -> list[float]:
    return [first, first / 2, 0.9, 1e-4]


def test_the_schedule_that_the_record_names_is_the_one(results: Results) -> None:
    values = [schedule(0.1), schedule(0.2), schedule(0.3)]
    flags = [True, False, False]
    results.add("fds", 0, [(1, 0.9), (2, 0.6), (3, 0.7)], incumbent=flags, schedules=values, final_report=2)
    results.add("fds", 1, [(1, 0.9), (2, 0.95)], schedules=values[:2], final_report=1)
    reports = results.reports.assign(fidelity=[0.1, 1.0, 1.0, 0.1, 1.0])
    found = schedules.final_schedules(reports, results.runs)
    assert found["schedule"].tolist() == [values[2], values[1]]
    assert found["recorded"].all()


def test_of_an_old_record_that_names_none_it_is_the_last_incumbent(results: Results) -> None:
    values = [schedule(0.1), schedule(0.2), schedule(0.3)]
    flags = [True, True, False]
    results.add("fds", 0, [(1, 0.5), (2, 0.8), (3, 0.7)], incumbent=flags, schedules=values)
    results.add("fds", 1, [(1, 0.5)], status="failed")
    found = schedules.final_schedules(*results.both)
    assert found["seed"].tolist() == [0]
    assert found["schedule"].iloc[0] == values[1]
    assert not found["recorded"].any()


def test_no_reports_have_no_schedules(results: Results) -> None:
    assert schedules.final_schedules(*results.both).empty
    results.add("fds", 0, [], status="failed")
    assert schedules.final_schedules(*results.both).empty
