"""The verdict table's numbers: medians, targets, failures and marks with planted answers."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, close
from hpobench_fds.analysis.stats.verdict_table import COLUMNS, verdict_table


def small(results: Results) -> Results:
    for seed, accuracy in enumerate([0.80, 0.82, 0.87]):
        results.add("fds", seed, [(1, 0.5), (2, accuracy)], final=accuracy + 0.05, budget=100)
        results.add("tpe", seed, [(20, accuracy)], final=accuracy + 0.04, budget=100, used=90 + seed)
    return results


def test_planted_numbers(results: Results) -> None:
    table = verdict_table(*small(results).both).set_index("method")
    assert set(table["measure"]) == {"final_test_metric"}
    assert table.loc["fds", "accuracy"] == pytest.approx(0.87)
    assert table.loc["fds", "values"] == pytest.approx((0.85, 0.87, 0.92))
    assert table.loc["fds", ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx([0.85, 0.92])
    assert table.loc["tpe", ["seconds", "gradient_equivalents"]].tolist() == [91, 91 * 12]
    assert set(table["target"]) == {0.95 * 0.82}
    assert table.loc["fds", ["seconds_to_target", "seeds_at_target"]].tolist() == [2, 3]
    # 99 % of the way is 0.8118, which the first seed misses.
    assert table["targets_reached"].tolist() == pytest.approx([14 / 15, 14 / 15])
    assert table.loc["fds", "fidelity"] == 1.0
    assert table.loc["tpe", "speedup"] == pytest.approx(10)
    assert table.loc["tpe", "reference"] == "fds"
    assert table["best"].to_dict() == {"fds": True, "tpe": False}
    assert table["diverged"].isna().all()
    assert list(table.index) == ["fds", "tpe"]


def test_from_six_seeds_on_the_accuracy_has_the_interval_of_its_median(results: Results) -> None:
    for seed in range(9):
        results.add("fds", seed, [(1, 0.8 + 0.01 * seed)])
    row = verdict_table(*results.both).iloc[0]
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.81, 0.87))


def test_a_method_does_not_win_by_the_seeds_that_it_lost(results: Results) -> None:
    small(results)
    for seed in range(3):
        results.add(
            "bohb", seed, [(1, 0.95)] if seed == 1 else [], status="complete" if seed == 1 else "failed"
        )
    table = verdict_table(*results.both).set_index("method")
    assert table.loc["bohb", "accuracy"] == pytest.approx(0.95)
    assert not table.loc["bohb", "best"]
    assert table.loc["fds", "best"]
    assert table.loc["bohb", ["seeds", "complete", "failed", "accuracy_seeds"]].tolist() == [3, 1, 2, 1]
    assert table.loc["bohb", "targets_reached"] == pytest.approx(1 / 3)  # failed runs reached nothing
    assert table.loc["bohb", "reasons"] == "it broke"


def test_a_method_that_only_failed_is_a_row_without_numbers(results: Results) -> None:
    small(results).add("hd", 0, [], status="failed", used=1)
    row = verdict_table(*results.both).set_index("method").loc["hd"]
    assert (row["failed"], row["complete"], row["bound"], row["accuracy_seeds"]) == (1, 0, "?", 0)
    assert np.isnan(row["accuracy"])
    assert np.isnan(row["speedup"])


def test_without_retraining_the_weights_in_hand_are_the_measure_of_the_whole_table(results: Results) -> None:
    small(results)
    runs = results.runs.assign(final_test_metric=None)
    runs.loc[runs["method"] == "tpe", "incumbent_test_metric"] = 0.99
    table = verdict_table(results.reports, runs).set_index("method")
    assert set(table["measure"]) == {"incumbent_test_metric"}
    assert table["best"].to_dict() == {"tpe": True, "fds": False}


@pytest.mark.parametrize(("seeds", "marked"), [(4, False), (6, False), (7, True), (10, True)])
def test_ties_are_marked_only_where_the_seeds_could_tell(results: Results, seeds: int, marked: bool) -> None:
    """Three methods are three pairs: seven seeds (2 x 3 / 128 < 5 %)."""
    table = verdict_table(*close(results, seeds).both).set_index("method")
    assert set(table["needed"].dropna()) == {7}
    best = str(table.index[0])
    other = "tpe" if best == "fds" else "fds"
    assert table.loc[[other, "hd"], "tie"].tolist() == [marked, False]
    assert (table.loc["hd", "p"] < 0.05) == marked


def test_unfinished_and_skipped_runs_enter_the_counts_alone(results: Results) -> None:
    runs = small(results).add("fds", 9, [(1, 0.01)], status="running").add("cmaes", 0, []).runs
    runs.loc[runs["method"] == "cmaes", ["stopped", "reason"]] = ["skipped", "needs two hyperparameters"]
    table = verdict_table(results.reports, runs).set_index("method")
    assert (table.loc["fds", "seeds"], table.loc["fds", "unfinished"]) == (4, 1)
    assert table.loc["fds", "accuracy"] == pytest.approx(0.87)
    assert table.loc["cmaes", ["skipped", "complete", "failed", "unfinished"]].tolist() == [1, 0, 0, 0]
    assert table.loc["cmaes", "reasons"] == "needs two hyperparameters"
    assert not table.loc["cmaes", "best"]
    assert not table.loc["cmaes", "tie"]


def test_empty_results_give_an_empty_table(results: Results) -> None:
    assert list(verdict_table(*results.both).columns) == COLUMNS


def test_a_method_that_failed_in_most_seeds_is_not_the_best_that_others_are_held_against(
    results: Results,
) -> None:
    for seed in range(20):
        lost = seed < 11
        results.add("hd", seed, [] if lost else [(1, 0.99)], status="failed" if lost else "complete")
        results.add("fds", seed, [(1, 0.9 + 1e-3 * (seed % 3))])
        results.add("tpe", seed, [(1, 0.8999 + 1e-3 * ((seed + 1) % 3))])
    table = verdict_table(*results.both).set_index("method")
    assert table["best"].to_dict() == {"hd": False, "fds": True, "tpe": False}
    assert table.loc["tpe", "tie"]
