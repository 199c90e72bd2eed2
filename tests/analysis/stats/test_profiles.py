"""Performance profiles of planted times."""

from __future__ import annotations

import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import profiles


def test_a_planted_profile(results: Results) -> None:
    for seed in range(4):
        results.add("fds", seed, [(10, 0.9)])
        results.add("tpe", seed, [(5 if seed == 0 else 40, 0.9)])
        results.add("bohb", seed, [(1, 0.3)])
    table = profiles.profile(profiles.times(*results.both))
    own = {m: g.set_index("factor")["share"].to_dict() for m, g in table.groupby("method")}
    assert own["fds"] == {1.0: 0.75, 2.0: 1.0}
    assert own["tpe"] == {1.0: 0.25, 4.0: 1.0}
    assert own["bohb"] == {1.0: 0.0}
    assert (table["instances"] == 4).all()


def test_an_instance_that_nobody_solves_stays_in_the_count(results: Results) -> None:
    for seed in range(4):
        hopeless = seed == 3
        results.add("fds", seed, [(10, 0.2 if hopeless else 0.9)])
        results.add("tpe", seed, [] if hopeless else [(20, 0.9)], status="failed" if hopeless else "complete")
    last = profiles.profile(profiles.times(*results.both)).groupby("method")["share"].last()
    assert last.to_dict() == {"fds": 0.75, "tpe": 0.75}


def test_different_seeds_on_different_problems_make_no_phantom_instances(results: Results) -> None:
    for problem, seed in (("a", 0), ("a", 1), ("b", 7)):
        results.add("fds", seed, [(1, 0.9)], problem=problem).add("tpe", seed, [(2, 0.9)], problem=problem)
    table = profiles.profile(profiles.times(*results.both))
    assert set(table["instances"]) == {3}


def test_the_target_is_the_best_methods_less_the_margin(results: Results) -> None:
    for seed, accuracy in enumerate([0.7, 0.8, 0.9]):
        results.add("fds", seed, [(1, accuracy)]).add("tpe", seed, [(1, 0.5)])
    assert profiles.times(*results.both, margin=0.05)["target"].unique() == pytest.approx([0.75])


def test_an_instance_that_a_method_did_not_run_is_not_solved_by_it(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("fds", 1, [(1, 0.9)]).add("tpe", 0, [(2, 0.9)])
    table = profiles.profile(profiles.times(*results.both))
    assert table.groupby("method")["share"].last().to_dict() == {"fds": 1.0, "tpe": 0.5}
