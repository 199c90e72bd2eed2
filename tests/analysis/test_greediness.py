"""What greedy methods lose: planted schedules and accuracies come out as they were put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis import greediness
from hpobench_fds.analysis.style import CannotDraw

SEEDS = range(6)
FINAL = {"fds": 0.90, "reverse": 0.85, "hd": 0.70, "truncated_reverse": 0.80, "tpe": 0.95}


def schedule(first: float) -> list[float]:
    return [first, first / 2, 0.9, 1e-4]


@pytest.fixture
def made(results: Results) -> Results:
    """Method m of seed s ends at FINAL[m] + s / 100 with a first learning rate of FINAL[m] + s."""
    for method, final in FINAL.items():
        for seed in SEEDS:
            results.add(
                method, seed, [(1, 0.5), (2, 0.6)], final=final + seed / 100,
                schedules=[schedule(0.0), schedule(final + seed)],
            )  # fmt: skip
    return results


# ---------------------------------------------------------------------------------------- what is retrained


def test_the_last_incumbent_is_retrained(results: Results) -> None:
    values = [schedule(0.1), schedule(0.2), schedule(0.3)]
    flags = [True, True, False]
    results.add("fds", 0, [(1, 0.5), (2, 0.8), (3, 0.7)], incumbent=flags, schedules=values)
    results.add("fds", 1, [(1, 0.5)], status="failed")
    found = greediness.retrained(results.reports)
    assert found["seed"].tolist() == [0]
    assert found["schedule"].iloc[0] == values[1]


def test_an_incumbent_of_a_short_training_is_not_but_the_best_of_the_longest(results: Results) -> None:
    values = [schedule(0.1), schedule(0.2), schedule(0.3)]
    flags = [True, False, False]
    results.add("fds", 0, [(1, 0.9), (2, 0.6), (3, 0.7)], incumbent=flags, schedules=values)
    results.add("fds", 1, [(1, 0.9), (2, 0.95)], schedules=values[:2])
    reports = results.reports.assign(fidelity=[0.1, 1.0, 1.0, 0.1, 1.0])
    assert greediness.retrained(reports)["schedule"].tolist() == [values[2], values[1]]


# ------------------------------------------------------------------------------------------------- the loss


def test_the_loss_is_the_difference_from_the_best_non_greedy_method(made: Results) -> None:
    table = greediness.losses(*made.both).set_index("method")
    assert table["difference"].to_dict() == pytest.approx(
        {"fds": 0.0, "reverse": -0.05, "hd": -0.2, "truncated_reverse": -0.1}
    )
    assert set(table["reference"]) == {"fds"}
    assert table["greedy"].to_dict() == {
        "fds": False, "reverse": False, "hd": True, "truncated_reverse": True,
    }  # fmt: skip
    # The luck of a seed is shared by all methods, so that paired differences have none of it.
    np.testing.assert_allclose(table["low"], table["difference"], atol=1e-12)
    np.testing.assert_allclose(table["high"], table["difference"], atol=1e-12)


def test_the_interval_is_that_of_a_bootstrap_over_seeds(results: Results) -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        results.add("fds", seed, [(1, 0.9)], final=0.9, schedules=[schedule(0.1)])
        results.add("hd", seed, [(1, 0.8)], final=0.8 + rng.normal(0, 0.02), schedules=[schedule(0.2)])
    row = greediness.losses(*results.both).set_index("method").loc["hd"]
    half = 1.96 * 0.02 / np.sqrt(30)
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.35)
    assert row["low"] < -0.1 < row["high"]


def test_which_method_is_the_best_is_uncertain_too(results: Results) -> None:
    """Two non-greedy methods, each the better in half of the seeds: the best of a resample gains by it."""
    for seed in range(10):
        lucky = 0.1 * (seed % 2)
        results.add("fds", seed, [(1, 0.9)], final=0.8 + lucky, schedules=[schedule(0.1)])
        results.add("reverse", seed, [(1, 0.9)], final=0.9 - lucky, schedules=[schedule(0.2)])
        results.add("hd", seed, [(1, 0.9)], final=0.85, schedules=[schedule(0.3)])
    row = greediness.losses(*results.both).set_index("method").loc["hd"]
    assert row["difference"] == pytest.approx(0, abs=1e-12)
    assert row["high"] == pytest.approx(0, abs=1e-9)
    assert row["low"] < -0.01


def test_the_adapter_says_who_is_greedy_whatever_the_label(made: Results) -> None:
    reports, runs = (f.replace({"method": {"hd": "mine"}}) for f in made.both)
    table = greediness.losses(reports, runs).set_index("method")
    assert bool(table.loc["mine", "greedy"])


def test_a_failed_run_counts_as_zero_and_is_told(made: Results) -> None:
    made.add("hd", 6, [(1, 0.5)], status="failed")
    for method in ("fds", "reverse"):
        made.add(method, 6, [(1, 0.5)], final=0.9, schedules=[schedule(0.5)])
    row = greediness.losses(*made.both).set_index("method").loc["hd"]
    assert row["seeds"] == 7
    assert row["accuracy"] == pytest.approx((6 * 0.7 + 0.15) / 7)
    assert "counted as 0: 1." in greediness.draw_loss(*made.both).caption


def test_a_single_seed_has_no_interval(results: Results) -> None:
    for method in ("fds", "hd"):
        results.add(method, 0, [(1, 0.5)], schedules=[schedule(len(method))])
    row = greediness.losses(*results.both).iloc[0]
    assert np.isnan(row["low"])
    assert np.isnan(row["high"])


def test_the_dots_are_in_points_filled_for_greedy_methods(made: Results) -> None:
    drawn = greediness.draw_loss(*made.both)
    ax = drawn.figure.axes[0]
    dots = {str(line.get_gid()): line for line in ax.lines if line.get_gid()}
    assert dots["loss:hd"].get_xdata()[0] == pytest.approx(-20)  # type: ignore[index]
    assert dots["loss:hd"].get_markerfacecolor() != "white"
    assert dots["loss:fds"].get_markerfacecolor() == "white"
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "HD (greedy)", "Truncated reverse", "Reverse", "FDS",
    ]  # fmt: skip
    for part in ("n = 6 seeds", "paired by seed", "95 % bootstrap", "FDS on digits"):
        assert part in drawn.caption


# -------------------------------------------------------------------------------------------- the schedules


def test_medians_of_each_method_beside_the_best_of_all(made: Results) -> None:
    table = greediness.median_schedules(*made.both)
    first = table[(table["hyperparameter"] == "lr") & (table["window"] == 0)]
    values = {(row.method, row.kind): row.value for row in first.itertuples()}
    assert values == pytest.approx(
        {
            ("tpe", "best"): 0.95 + 2.5, ("fds", "not greedy"): 0.9 + 2.5,
            ("reverse", "not greedy"): 0.85 + 2.5, ("hd", "greedy"): 0.7 + 2.5,
            ("truncated_reverse", "greedy"): 0.8 + 2.5,
        }
    )  # fmt: skip
    assert (table["seeds"] == 6).all()


def test_one_panel_a_hyperparameter(made: Results) -> None:
    drawn = greediness.draw_schedules(*made.both)
    assert [ax.get_ylabel() for ax in drawn.figure.axes] == ["learning rate", "momentum", "weight decay"]
    assert [len(ax.patches) for ax in drawn.figure.axes] == [5, 5, 5]
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words[0] == "best of all methods"
    assert "TPE on digits" in drawn.caption
    assert "Greedy: HD (greedy), Truncated reverse" in drawn.caption


# -------------------------------------------------------------------------------------------------- no figure

DRAW = [greediness.draw_schedules, greediness.draw_loss]


@pytest.mark.parametrize("draw", DRAW)
def test_suites_that_only_measure_hypergradients_have_none(results: Results, draw: object) -> None:
    for method in ("reverse", "hd"):
        for seed in SEEDS:
            results.add(method, seed, [(1, 0.5)], schedules=[schedule(0.1)])
    with pytest.raises(CannotDraw, match="different schedules"):
        draw(*results.both)  # type: ignore[operator]


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("methods", [("fds", "tpe"), ("hd", "tpe")])
def test_both_kinds_are_needed(results: Results, methods: tuple[str, str], draw: object) -> None:
    for method in methods:
        results.add(method, 0, [(1, 0.5)], schedules=[schedule(float(method == "tpe"))])
    with pytest.raises(CannotDraw, match="both a greedy and a non-greedy"):
        draw(*results.both)  # type: ignore[operator]


@pytest.mark.parametrize("style", ["paper", "slides"])
@pytest.mark.parametrize("draw", DRAW)
def test_two_problems_are_legible(made: Results, style: str, draw: object) -> None:
    reports, runs = (pd.concat([f, f.assign(problem="fashion-lenet")], ignore_index=True) for f in made.both)
    assert_legible(draw(reports, runs, style=style).figure)  # type: ignore[operator]
