"""Findings without words: planted answers, and claims that are rare where there is nothing to be found."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import conclusions
from hpobench_fds.analysis.stats.conclusions import Accuracy, Group, Speed, findings


def board(finals: dict[str, list[float]]) -> Results:
    """Final accuracies, a list of seeds a method, all at one second; on one problem."""
    made = Results()
    for method, values in finals.items():
        for seed, value in enumerate(values):
            made.add(method, seed, [(1.0, value)])
    return made


def test_findings_hold_the_numbers_of_what_they_say() -> None:
    made = Results()
    for seed in range(7):
        made.add("fds", seed, [(1, 0.3), (2, 0.9)]).add("tpe", seed, [(12, 0.3), (24, 0.8 + 0.01 * seed)])
        made.add("hd", seed, [(0.5, 0.95)], final=0.85).add("bohb", seed, [(30, 0.5)])
    speed, accuracy, group = findings(*made.both)
    assert isinstance(speed, Speed)
    assert (speed.first, speed.rival, speed.among, speed.black_box) == ("fds", "tpe", 2, True)
    assert (speed.target, speed.bound, speed.value) == (0.9, ">", 500)
    assert [(one.method, one.value) for one in speed.sooner] == [("hd", 4)]
    assert isinstance(accuracy, Accuracy)
    assert (accuracy.rival, accuracy.measure, accuracy.among) == ("hd", "final_test_accuracy", 3)
    assert accuracy.means == pytest.approx((0.9, 0.85))
    assert isinstance(group, Group)
    assert (group.members, group.greedy, group.seeds) == (("hd",), True, 7)
    assert group.value == pytest.approx(0.05)


@pytest.mark.parametrize("greedy", [True, False])
def test_a_third_partys_method_is_greedy_if_its_class_says_so(greedy: bool) -> None:
    made = board({"fds": [0.9, 0.91, 0.92]})
    for seed in range(3):
        made.add("mine", seed, [(1.0, 0.8)], family="gradient", traits={"greedy": greedy})
    groups = [found for found in findings(*made.both) if isinstance(found, Group)]
    assert [group.members for group in groups] == ([("mine",)] if greedy else [])


def test_schedules_set_by_hand_are_those_that_do_not_search() -> None:
    made = board({"fds": [0.9, 0.91, 0.92], "grid": [0.5, 0.5, 0.5], "cosine": [0.6, 0.6, 0.6]})
    (group,) = (found for found in findings(*made.both) if isinstance(found, Group))
    assert (group.members, group.greedy) == (("cosine",), False)


def test_under_the_null_claims_are_rare() -> None:
    """Six like methods, five seeds: a 95 % interval may err in one of twenty sets of results."""
    rng, claims, sets = np.random.default_rng(11), 0, 60
    for _ in range(sets):
        names = ("fds", "tpe", "bohb", "cmaes", "gp", "random_search")
        made = board({m: (0.9 + 0.01 * rng.normal(size=5)).tolist() for m in names})
        found = conclusions.accuracy(made.runs, "fds")
        assert found is not None
        claims += found.outcome != "undecided"
    # At a rate of 5 % more than 8 of 60 have probability 0.2 %.
    assert claims <= 8


def test_gap_is_the_paired_t_interval() -> None:
    mean, low, high = conclusions.gap(np.array([1.0, 2.0, 3.0]))
    assert (mean, (high - low) / 2) == pytest.approx((2.0, 4.302653 / np.sqrt(3)))
    assert np.isnan(conclusions.gap(np.array([1.0]))[1])
