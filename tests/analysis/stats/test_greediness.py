"""What greedy methods lose: planted schedules and accuracies come out as they were put in."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import greediness
from planted_greediness import finals, schedule


@pytest.fixture
def made(results: Results) -> Results:
    return finals(results)


def test_the_loss_is_the_difference_from_the_best_non_greedy_method(made: Results) -> None:
    table = greediness.losses(*made.both).set_index("method")
    assert table["difference"].to_dict() == pytest.approx(
        {"fds": 0.0, "reverse": -0.05, "hd": -0.2, "truncated_reverse": -0.1}
    )
    assert set(table["reference"]) == {"fds"}
    assert table["kind"].to_dict() == {
        "fds": "not greedy", "reverse": "not greedy", "hd": "greedy", "truncated_reverse": "truncated",
    }  # fmt: skip
    # The luck of a seed is shared by all methods, so that paired differences have none of it. Six seeds and a
    # choice between two exact methods are too few for an interval.
    assert table["low"].isna().all()


def test_the_interval_is_as_wide_as_its_normal_limit(results: Results) -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        results.add("fds", seed, [(1, 0.9)], final=0.9, schedules=[schedule(0.1)])
        results.add("hd", seed, [(1, 0.8)], final=0.8 + rng.normal(0, 0.02), schedules=[schedule(0.2)])
    row = greediness.losses(*results.both).set_index("method").loc["hd"]
    half = 1.96 * 0.02 / np.sqrt(30) * np.sqrt(np.pi / 3)  # of Hodges and Lehmann's estimate
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.35)
    assert row["low"] < -0.1 < row["high"]


def test_the_choice_of_the_best_exact_method_widens_the_interval(results: Results) -> None:
    rng = np.random.default_rng(1)
    for seed in range(8):
        results.add("fds", seed, [(1, 0.9)], final=0.9, schedules=[schedule(0.1)])
        results.add("hd", seed, [(1, 0.9)], final=0.8 + rng.normal(0, 0.02), schedules=[schedule(0.3)])
    alone = greediness.losses(*results.both).set_index("method").loc["hd"]
    for seed in range(8):
        results.add("reverse", seed, [(1, 0.9)], final=0.7, schedules=[schedule(0.2)])
    chosen = greediness.losses(*results.both).set_index("method").loc["hd"]
    assert chosen["difference"] == alone["difference"]
    assert chosen["high"] - chosen["low"] > alone["high"] - alone["low"]


def test_the_class_says_who_is_greedy_whatever_the_label(made: Results) -> None:
    reports, runs = (f.replace({"method": {"hd": "mine"}}) for f in made.both)
    table = greediness.losses(reports, runs).set_index("method")
    assert table.loc["mine", "kind"] == "greedy"


def test_a_single_seed_has_no_interval(results: Results) -> None:
    for method in ("fds", "hd"):
        results.add(method, 0, [(1, 0.5)], schedules=[schedule(len(method))])
    row = greediness.losses(*results.both).iloc[0]
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])


def test_a_run_of_each_method_beside_the_best_of_all(made: Results) -> None:
    table = greediness.typical_schedules(*made.both)
    first = table[(table["hyperparameter"] == "lr") & (table["window"] == 0)]
    values = {(row.method, row.kind): row.value for row in first.itertuples()}
    assert values == pytest.approx(
        {
            ("tpe", "best"): 0.95 + 2, ("fds", "not greedy"): 0.9 + 2,
            ("reverse", "not greedy"): 0.85 + 2, ("hd", "greedy"): 0.7 + 2,
            ("truncated_reverse", "truncated"): 0.8 + 2,
        }
    )  # fmt: skip
    assert (table["seeds"] == 6).all()


def test_a_truncated_method_beside_an_exact_one_is_enough(results: Results) -> None:
    for method in ("fds", "truncated_reverse", "implicit"):
        results.add(method, 0, [(1, 0.5)], schedules=[schedule(len(method))])
    table = greediness.losses(*results.both)
    assert table["kind"].tolist() == ["not greedy", "truncated"]
