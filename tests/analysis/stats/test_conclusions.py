"""Findings without words: planted answers, and outcomes that few seeds or a crash cannot have."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.conclusions import Accuracy, Finding, Group, Speed, findings


def board(finals: dict[str, list[float]], problem: str = "digits") -> Results:
    """Final accuracies, a list of seeds a method, all at one second; on one problem."""
    made = Results()
    for method, values in finals.items():
        for seed, value in enumerate(values):
            made.add(method, seed, [(1.0, value)], problem=problem)
    return made


def of(kind: type[Finding], made: Results, reference: str = "fds") -> Finding:
    (found,) = (f for f in findings(*made.both, reference) if isinstance(f, kind))
    return found


def outcomes(found: Finding) -> dict[str, str]:
    return {one.method: one.outcome for one in found.rivals}


SPREAD = [0.0, 0.004, -0.003, 0.002, 0.001, -0.002, 0.003, -0.001, 0.0005, -0.0005]


def test_findings_hold_the_numbers_of_what_they_say() -> None:
    made = Results()
    for seed in range(8):
        made.add("fds", seed, [(1, 0.3), (2, 0.9)]).add("tpe", seed, [(12, 0.3), (24, 0.86)])
        made.add("hd", seed, [(0.5, 0.9)], final=0.85 + 0.001 * seed).add("bohb", seed, [(30, 0.5)])
    speed, accuracy, group = findings(*made.both)
    assert isinstance(speed, Speed)
    assert speed.target == pytest.approx(0.95 * 0.9)
    assert speed.times == (("hd", 0.5), ("fds", 2.0), ("tpe", 24.0), ("bohb", np.inf))
    assert outcomes(speed) == {"tpe": "ahead", "hd": "behind", "bohb": "ahead"}
    values = {one.method: (one.value, one.bound, one.reached) for one in speed.rivals}
    assert values == {"tpe": (12, "", (8, 8)), "hd": (0.25, "", (8, 8)), "bohb": (500, ">", (0, 8))}
    assert isinstance(accuracy, Accuracy)
    assert (accuracy.measure, accuracy.mine.value, accuracy.best.method) == (
        "final_test_metric",
        0.9,
        "tpe",
    )
    assert accuracy.best.value == 0.86
    assert outcomes(accuracy) == {"tpe": "ahead", "hd": "ahead", "bohb": "ahead"}
    assert accuracy.compared == 3
    assert isinstance(group, Group)
    assert (group.members, group.greedy, group.rivals[0].seeds) == (("hd",), True, 8)
    assert group.rivals[0].value == pytest.approx(0.0465)


def test_the_floor_is_a_rival_like_any_other() -> None:
    made = Results()
    for seed in range(8):
        made.add("fds", seed, [(7, 0.86)]).add("cosine", seed, [(0.6, 0.866)]).add("tpe", seed, [(60, 0.86)])
    assert outcomes(of(Speed, made)) == {"cosine": "behind", "tpe": "ahead"}
    assert outcomes(of(Accuracy, made)) == {"cosine": "behind", "tpe": "undecided"}


@pytest.mark.parametrize("seeds", range(1, 6))
def test_fewer_than_six_seeds_claim_nothing_however_large_the_difference(seeds: int) -> None:
    made = Results()
    for seed in range(seeds):
        made.add("fds", seed, [(1, 0.9)]).add("hd", seed, [(100, 0.5)]).add("tpe", seed, [(90, 0.9)])
    assert {one.outcome for f in findings(*made.both) for one in f.rivals} == {"few"}


def test_more_rivals_need_more_seeds() -> None:
    """Six seeds can tell one rival (p = 2/64), and not the same one among three (Holm: 6/64)."""
    ahead = {"fds": [0.9] * 6, "tpe": [0.8] * 6}
    assert outcomes(of(Accuracy, board(ahead))) == {"tpe": "ahead"}
    found = of(Accuracy, board(ahead | {"gp": [0.9] * 6, "bohb": [0.9] * 6}))
    assert set(outcomes(found).values()) == {"undecided"}
    assert (found.compared, found.needed) == (3, 7)


def test_problems_are_corrected_for_like_rivals() -> None:
    made = board({"fds": [0.9] * 6, "tpe": [0.8] * 6}, "a")
    for seed in range(6):
        made.add("fds", seed, [(1, 0.9)], problem="b").add("tpe", seed, [(1, 0.8)], problem="b")
    found = [f for f in findings(*made.both) if isinstance(f, Accuracy)]
    assert [f.compared for f in found] == [2, 2]
    assert [f.rivals[0].p for f in found] == [4 / 64, 4 / 64]


def test_without_the_reference_every_pair_counts_as_compared() -> None:
    made = board({"tpe": [0.9] * 8, "bohb": [0.8] * 8, "gp": [0.7] * 8})
    found = of(Accuracy, made)
    assert isinstance(found, Accuracy)
    assert (found.first, found.best.method, found.compared) == ("tpe", "bohb", 3)
    assert outcomes(found) == {"bohb": "ahead", "gp": "ahead"}
    assert not [f for f in findings(*made.both) if not isinstance(f, Accuracy)]


def test_a_crashed_method_is_compared_with_nothing_and_named() -> None:
    made = board({"fds": [0.9] * 6, "tpe": [0.8] * 6})
    for seed in range(6):
        made.add("exits", seed, [], status="failed", used=0.0)
    for found in findings(*made.both):
        if not isinstance(found, Group):
            assert outcomes(found)["exits"] == "nothing"
            assert found.failed == {"exits": (6, 6)}
    accuracy = of(Accuracy, made)
    assert np.isnan(next(one.value for one in accuracy.rivals if one.method == "exits"))


def test_a_reference_that_failed_everywhere_is_compared_with_nothing() -> None:
    made = Results()
    for seed in range(6):
        made.add("fds", seed, [], status="failed").add("tpe", seed, [(1, 0.9)])
    assert {one.outcome for f in findings(*made.both) for one in f.rivals} == {"nothing"}


@pytest.mark.parametrize("greedy", [True, False])
def test_a_third_partys_method_is_greedy_if_its_class_says_so(greedy: bool) -> None:
    made = board({"fds": [0.9, 0.91, 0.92]})
    for seed in range(3):
        made.add("mine", seed, [(1.0, 0.8)], family="gradient", traits={"greedy": greedy})
    groups = [found for found in findings(*made.both) if isinstance(found, Group)]
    assert [group.members for group in groups] == ([("mine",)] if greedy else [])


def test_schedules_set_by_hand_are_those_that_do_not_search() -> None:
    made = board({"fds": [0.9, 0.91, 0.92], "grid": [0.5, 0.5, 0.5], "cosine": [0.6, 0.6, 0.6]})
    group = of(Group, made)
    assert isinstance(group, Group)
    assert (group.members, group.greedy) == (("cosine",), False)


def test_a_run_that_ended_with_nothing_counts_as_guessing_not_as_zero() -> None:
    made = board({"fds": [0.9] * 6, "tpe": [0.8] * 5}).add("tpe", 5, [])
    runs = made.runs.assign(classes=10.0)
    (found,) = (f for f in findings(made.reports, runs) if isinstance(f, Accuracy))
    assert found.rivals[0].most == pytest.approx(0.8)
