"""Time to beat the floor, with planted truth: levels, times, censoring, failures; claims are rare."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.floor import COLUMNS, floor_table
from scipy import stats


def planted(seeds: int = 6) -> Results:
    """The floor is cosine's 0.8 after 2 s; tpe is above it at 30 s, hd in two seeds at 50 s, es never."""
    made = Results()
    for seed in range(seeds):
        made.add("default", seed, [(2.0, 0.7)], used=2.0)
        made.add("cosine", seed, [(2.0, 0.8)], used=2.0)
        made.add("tpe", seed, [(3.0, 0.6), (20.0, 0.8), (30.0 + seed, 0.81), (60.0, 0.9)])
        made.add("hd", seed, [(4.0, 0.5), (50.0, 0.85 if seed < 2 else 0.75)])
        made.add("es", seed, [(4.0, 0.5)])
    return made


def test_the_floor_is_the_best_of_those_that_search_nothing() -> None:
    table = floor_table(*planted().both)
    assert list(table.columns) == COLUMNS
    assert set(table["floor"]) == {"cosine"}
    assert set(table["level"]) == {0.8}
    assert set(table["floors"]) == {2}
    assert set(table["floor_seconds"]) == {2.0}
    assert list(table["method"]) == ["tpe", "hd", "es"]
    assert set(table["rivals"]) == {3}


def test_times_are_those_planted_and_as_good_as_the_floor_is_not_above_it() -> None:
    table = floor_table(*planted(12).both).set_index("method")
    tpe, hd, es = (table.loc[m] for m in ("tpe", "hd", "es"))
    assert (tpe["seconds"], tpe["bound"], tpe["n_above"]) == (35.5, "", 12)
    assert (tpe["least"], tpe["most"]) == (30.0, 41.0)
    # 1 - 0.05 / 3 over twelve seeds: the second of each end
    assert (tpe["low"], tpe["high"]) == (31.0, 40.0)
    assert (hd["seconds"], hd["bound"], hd["n_above"]) == (1000.0, ">", 2)
    assert (hd["least"], hd["most"], hd["high"]) == (50.0, np.inf, np.inf)
    assert (es["seconds"], es["bound"], es["n_above"], es["most"]) == (1000.0, ">", 0, np.inf)
    assert list(table["outcome"]) == ["above", "undecided", "undecided"]


def test_few_seeds_claim_nothing_and_have_no_interval() -> None:
    table = floor_table(*planted(3).both)
    assert set(table["outcome"]) == {"few"}
    assert table["low"].isna().all()
    assert table["least"].notna().all()


def test_a_failed_run_has_no_time_and_a_floor_that_fails_is_no_floor() -> None:
    made = planted(6)
    for seed in range(6):
        status = "failed" if seed < 4 else "complete"
        made.add("one_cycle", seed, [(2.0, 0.95)] if seed >= 4 else [], used=2.0, status=status)
        made.add("gp", seed, [] if seed == 0 else [(9.0, 0.9)], status="failed" if seed == 0 else "complete")
    table = floor_table(*made.both).set_index("method")
    assert set(table["floor"]) == {"cosine"}
    assert (table.loc["gp", "n_failed"], table.loc["gp", "n_seeds"]) == (1, 5)
    assert table.loc["gp", "seconds"] == 9.0


def test_without_a_floor_there_is_nothing() -> None:
    made = Results().add("tpe", 0, [(1.0, 0.5)]).add("fds", 0, [(1.0, 0.5)])
    assert floor_table(*made.both).empty
    assert list(floor_table(*made.both).columns) == COLUMNS
    alone = Results().add("cosine", 0, [(1.0, 0.5)])
    assert floor_table(*alone.both).empty


def test_each_problem_has_its_own() -> None:
    made = planted(6)
    for seed in range(6):
        made.add("default", seed, [(1.0, 0.5)], problem="other")
        made.add("tpe", seed, [(7.0, 0.6)], problem="other")
    table = floor_table(*made.both)
    other = table[table["problem"] == "other"]
    assert list(other["floor"]) == ["default"]
    assert list(other["seconds"]) == [7.0]


@pytest.mark.parametrize("floors", [1, 4])
def test_of_methods_alike_to_the_floor_claims_are_rare(floors: int) -> None:
    """200 studies of like methods, of which at most 5 % may hold a claim that one is above the floor."""
    rng, told = np.random.default_rng(floors), 0
    for _ in range(200):
        made = Results()
        for seed in range(8):
            luck = 0.01 * rng.normal()
            for i in range(floors):
                end = float(0.8 + luck + 0.01 * rng.normal())
                made.add(f"floor-{i}", seed, [(1.0, end)], traits={"searches": False})
            for method in ("tpe", "fds"):
                made.add(method, seed, [(1.0, 0.5), (9.0, float(0.8 + luck + 0.01 * rng.normal()))])
        told += bool((floor_table(*made.both)["outcome"] == "above").any())
    assert told <= stats.binom.isf(1e-3, 200, 0.05)


def test_a_true_gain_is_claimed() -> None:
    rng, told = np.random.default_rng(1), 0
    for _ in range(20):
        made = Results()
        for seed in range(10):
            made.add("cosine", seed, [(1.0, float(0.8 + 0.005 * rng.normal()))])
            made.add("tpe", seed, [(9.0, float(0.83 + 0.005 * rng.normal()))])
        told += (floor_table(*made.both)["outcome"] == "above").all()
    assert told >= 18


def test_a_run_that_ended_with_nothing_in_hand_counts_as_guessing() -> None:
    """Left out, the six seeds that were lucky would be a claim."""
    made = Results()
    for seed in range(12):
        made.add("cosine", seed, [(2.0, 0.8)], used=2.0)
        made.add("ladder", seed, [(9.0, 0.85 + 1e-3 * seed)] if seed % 2 else [])
    (row,) = floor_table(*made.both).to_dict("records")
    assert (row["n_common"], row["outcome"]) == (12, "undecided")
    assert row["p"] > 0.05
