"""Ranks, profiles, duels and the speedup's curve, on results whose verdict is planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results, assert_legible, make_study, rising
from hpobench_fds.analysis import duels, profiles, ranks, speedup_curve
from hpobench_fds.analysis.style import CannotDraw
from scipy import stats

from hpobench_fds.errors import InputError


def board(results: Results, table: dict[str, list[list[float]]]) -> Results:
    """Final accuracies, a list a problem of a list a seed."""
    for method, problems in table.items():
        for i, seeds in enumerate(problems):
            for seed, accuracy in enumerate(seeds):
                results.add(method, seed, [(1.0, accuracy)], problem=f"p{i}")
    return results


# ---- ranks --------------------------------------------------------------------------------------------


def test_mean_ranks_of_a_planted_board(results: Results) -> None:
    board(results, {"a": [[0.9], [0.8], [0.7]], "b": [[0.8], [0.9], [0.6]], "c": [[0.1], [0.1], [0.6]]})
    found = ranks.mean_ranks(ranks.scores(*results.both))
    assert found.to_dict() == pytest.approx({"a": 4 / 3, "b": (2 + 1 + 2.5) / 3, "c": (3 + 3 + 2.5) / 3})
    assert list(found.index) == ["a", "b", "c"]


def test_a_score_is_the_median_and_a_failed_seed_is_0(results: Results) -> None:
    board(results, {"a": [[0.5, 0.6, 0.9]], "b": [[0.95]]})
    results.add("b", 1, [], problem="p0", status="failed").add("b", 2, [], problem="p0", status="failed")
    assert ranks.scores(*results.both).loc["p0"].to_dict() == {"a": 0.6, "b": 0.0}


def test_the_critical_difference_is_the_published_one() -> None:
    # Demsar (2006), section 3.2.2: four classifiers, 14 data sets, q = 2.569 at 5 %, CD = 1.25.
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert ranks.critical_difference(2, 6) == pytest.approx(1.960 * np.sqrt(6 / 36), abs=1e-3)


def test_friedman_is_scipys_and_needs_three_methods() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), columns=list("abc"))
    assert ranks.friedman(table) == stats.friedmanchisquare(*table.to_numpy().T).pvalue
    assert np.isnan(ranks.friedman(table[["a", "b"]]))


def test_groups_of_like_methods_are_the_largest_ones() -> None:
    values = pd.Series([1.0, 1.5, 2.4, 4.0, 4.5])
    assert ranks.alike(values, 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert ranks.alike(values, 9.0) == [(0, 4)]
    assert ranks.alike(values, 0.1) == []


def test_a_method_that_did_not_run_everywhere_is_left_out_and_named(results: Results) -> None:
    board(results, {"fds": [[0.9], [0.9]], "tpe": [[0.8], [0.8]], "bohb": [[0.95]]})
    drawn = ranks.draw(*results.both)
    assert drawn.data["method"].tolist() == ["fds", "tpe"]
    assert "BOHB" in drawn.caption
    with pytest.raises(InputError, match="every problem"):
        ranks.mean_ranks(ranks.scores(*results.both))


def test_one_problem_has_no_ranks(results: Results) -> None:
    board(results, {"fds": [[0.9]], "tpe": [[0.8]]})
    with pytest.raises(CannotDraw, match="two problems"):
        ranks.draw(*results.both)


@pytest.mark.parametrize("count", [2, 3, 7, 14])
@pytest.mark.parametrize("style", ["paper", "slides"])
def test_the_diagram_is_legible(results: Results, count: int, style: str) -> None:
    rng = np.random.default_rng(0)
    board(results, {f"method_{i}": [[a] for a in rng.uniform(size=30) / (i + 1)] for i in range(count)})
    assert_legible(ranks.draw(*results.both, style=style).figure)


# ---- profile ------------------------------------------------------------------------------------------


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


def test_a_profile_is_drawn_on_a_log_axis_from_one(study: Results) -> None:
    ax = profiles.draw(*study.both).figure.axes[0]
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[0] == 1
    assert {line.get_gid() for line in ax.lines} == set(study.runs["method"])


# ---- duels --------------------------------------------------------------------------------------------


def test_holm_of_known_numbers() -> None:
    np.testing.assert_allclose(duels.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert duels.holm(np.array([0.9, 0.8])).max() == 1.0


def test_planted_wins_ties_and_losses(results: Results) -> None:
    noise = [0.0, 0.01, -0.01, 0.02, -0.02]
    good, bad = [0.9 + e for e in noise], [0.5 - e for e in noise]
    even = [0.9 + e for e in (0.01, -0.02, 0.02, -0.01, 0.0)]
    board(results, {"fds": [good, good, bad], "tpe": [bad, even, good]})
    table = duels.duels(*results.both)
    assert table["result"].tolist() == ["win", "tie", "loss"]
    assert table["difference"].iloc[0] == pytest.approx(0.4)
    counts = duels.matrix(table).set_index(["method", "other"])
    assert counts.loc[("fds", "tpe")].tolist() == [1, 1, 1]
    assert counts.loc[("tpe", "fds")].tolist() == [1, 1, 1]


def test_the_direction_of_a_win(results: Results) -> None:
    board(results, {"fds": [[0.9, 0.91, 0.92]], "tpe": [[0.5, 0.52, 0.51]]})
    counts = duels.matrix(duels.duels(*results.both)).set_index(["method", "other"])
    assert counts.loc[("fds", "tpe")].tolist() == [1, 0, 0]
    assert counts.loc[("tpe", "fds")].tolist() == [0, 0, 1]


def test_p_values_are_paired(results: Results) -> None:
    base = [0.1, 0.3, 0.5, 0.7, 0.9]  # far apart between seeds, always one point apart within
    better = [b + 0.01 + e for b, e in zip(base, [0, 1e-3, -1e-3, 5e-4, -5e-4], strict=True)]
    board(results, {"fds": [better], "tpe": [base]})
    row = duels.duels(*results.both).iloc[0]
    assert row["result"] == "win"
    assert row["p"] == pytest.approx(stats.ttest_rel(better, base).pvalue)


def test_equal_results_and_single_seeds_are_ties(results: Results) -> None:
    board(results, {"fds": [[0.5, 0.5], [0.9]], "tpe": [[0.5, 0.5], [0.1]]})
    assert duels.duels(*results.both)["result"].tolist() == ["tie", "tie"]


@pytest.mark.parametrize(("seeds", "result"), [(2, "tie"), (5, "tie"), (6, "win")])
def test_a_constant_difference_says_no_more_than_its_signs(results: Results, seeds: int, result: str) -> None:
    board(results, {"fds": [[0.75] * seeds], "tpe": [[0.5] * seeds]})
    row = duels.duels(*results.both).iloc[0]
    assert (row["result"], row["p"]) == (result, 2 * 0.5**seeds)


def test_the_matrix_prints_its_counts(study: Results) -> None:
    drawn = duels.draw(*study.both)
    texts = [t.get_text() for t in drawn.figure.axes[0].texts]
    assert len(texts) == 30
    assert all(sum(map(int, t.split("/"))) == 2 for t in texts)


# ---- speedup against target ---------------------------------------------------------------------------


def test_the_curve_has_the_planted_factor_everywhere(results: Results) -> None:
    steps = [(1.0, 0.3), (2.0, 0.6), (4.0, 0.9)]
    for seed in range(3):
        results.add("fds", seed, steps).add("tpe", seed, [(7 * t, a) for t, a in steps])
    table = speedup_curve.table(*results.both, count=9)
    assert table["speedup"].tolist() == pytest.approx([7] * 9)
    assert (table["target"].min(), table["target"].max()) == (0.3, 0.9)


def test_the_curve_turns_into_a_bound_where_a_method_stops_improving(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.3), (2, 0.9)], budget=100).add("tpe", seed, [(5, 0.6)], budget=100)
    table = speedup_curve.table(*results.both, count=7)
    assert (table.loc[table["target"] <= 0.6, "bound"] == "").all()
    assert (table.loc[table["target"] > 0.61, "bound"] == ">").all()
    assert table["speedup"].iloc[-1] == 50
    ax = speedup_curve.draw(*results.both).figure.axes[0]
    assert ax.get_yscale() == "log"
    assert {line.get_gid() for line in ax.lines} >= {"exact:tpe", "bound:tpe"}


def test_a_reference_alone_has_no_curve(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)])
    with pytest.raises(CannotDraw, match="FDS"):
        speedup_curve.draw(*results.both)


@pytest.mark.parametrize("style", ["paper", "slides"])
@pytest.mark.parametrize("module", [profiles, duels, speedup_curve])
def test_texts_do_not_overlap(study: Results, module: object, style: str) -> None:
    assert_legible(module.draw(*study.both, style=style).figure)  # type: ignore[attr-defined]


def test_many_methods_with_long_names_are_legible() -> None:
    study, rng = make_study(), np.random.default_rng(3)
    for i in range(8):
        for seed in range(3):
            study.add(f"a_rather_long_label_{i}", seed, rising(3.0 + i, rng))
    from hpobench_fds.analysis import anytime, schedules, speedup

    for module in (anytime, speedup, schedules, duels, profiles, speedup_curve):
        assert_legible(module.draw(*study.both).figure)


def test_two_methods_make_a_legible_matrix(results: Results) -> None:
    board(results, {"fds": [[0.9, 0.8]], "random_search": [[0.5, 0.6]]})
    assert_legible(duels.draw(*results.both).figure)


def test_an_instance_that_a_method_did_not_run_is_not_solved_by_it(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("fds", 1, [(1, 0.9)]).add("tpe", 0, [(2, 0.9)])
    table = profiles.profile(profiles.times(*results.both))
    assert table.groupby("method")["share"].last().to_dict() == {"fds": 1.0, "tpe": 0.5}


def test_a_failed_seed_loses_its_duel_rather_than_being_left_out(results: Results) -> None:
    board(results, {"fds": [[0.8, 0.8, 0.8]], "tpe": [[0.9, 0.9]]})
    results.add("tpe", 2, [], problem="p0", status="failed")
    row = duels.duels(*results.both).iloc[0]
    assert row["seeds"] == 3
    assert row["difference"] == pytest.approx((0.8 - 0.9 + 0.8 - 0.9 + 0.8) / 3)
