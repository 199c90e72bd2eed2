"""The two figures of greediness show planted schedules and accuracies."""

from __future__ import annotations

import pandas as pd
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import greediness_loss, greediness_schedules
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.greediness import losses
from planted_greediness import SEEDS, finals, schedule


@pytest.fixture
def made(results: Results) -> Results:
    return finals(results)


def test_a_failed_run_has_no_accuracy_and_is_told(made: Results) -> None:
    made.add("hd", 6, [(1, 0.5)], status="failed")
    for method in ("fds", "reverse"):
        made.add(method, 6, [(1, 0.5)], final=0.9, schedules=[schedule(0.5)])
    row = losses(*made.both).set_index("method").loc["hd"]
    assert row["seeds"] == 6
    assert row["accuracy"] == pytest.approx(0.725)
    assert "Failed: HD (greedy) in 1 of 7 runs." in greediness_loss.draw(*made.both).caption


def test_the_dots_are_in_points_filled_for_greedy_methods(made: Results) -> None:
    drawn = greediness_loss.draw(*made.both)
    ax = drawn.figure.axes[0]
    dots = {str(line.get_gid()): line for line in ax.lines if line.get_gid()}
    assert dots["loss:hd"].get_xdata()[0] == pytest.approx(-20)  # type: ignore[index]
    assert dots["loss:hd"].get_markerfacecolor() != "white"
    assert dots["loss:fds"].get_markerfacecolor() == "white"
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "HD (greedy)", "Truncated reverse", "Reverse", "FDS",
    ]  # fmt: skip
    for part in ("n = 6 seeds", "seed by seed", "95 % interval", "FDS on digits"):
        assert part in drawn.caption


def test_one_panel_a_hyperparameter(made: Results) -> None:
    drawn = greediness_schedules.draw(*made.both)
    assert [ax.get_ylabel() for ax in drawn.figure.axes] == [
        "learning rate (value)", "momentum (value)", "weight decay (value)",
    ]  # fmt: skip
    assert [len(ax.patches) for ax in drawn.figure.axes] == [5, 5, 5]
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words[0] == "best of all methods"
    assert "TPE on digits" in drawn.caption
    assert "Greedy: HD (greedy). Truncated: Truncated reverse." in drawn.caption


DRAW = [greediness_schedules.draw, greediness_loss.draw]


@pytest.mark.parametrize("draw", DRAW)
def test_suites_that_only_measure_hypergradients_have_none(results: Results, draw: object) -> None:
    for method in ("reverse", "hd"):
        for seed in SEEDS:
            results.add(method, seed, [(1, 0.5)], schedules=[schedule(0.1)])
    with pytest.raises(NoAnswer, match="different schedules"):
        draw(*results.both)  # type: ignore[operator]


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("methods", [("fds", "tpe"), ("hd", "tpe")])
def test_both_kinds_are_needed(results: Results, methods: tuple[str, str], draw: object) -> None:
    for method in methods:
        results.add(method, 0, [(1, 0.5)], schedules=[schedule(float(method == "tpe"))])
    with pytest.raises(NoAnswer, match="both a greedy and a non-greedy"):
        draw(*results.both)  # type: ignore[operator]


@pytest.mark.parametrize("style", ["paper", "slides"])
@pytest.mark.parametrize("draw", DRAW)
def test_two_problems_are_legible(made: Results, style: str, draw: object) -> None:
    reports, runs = (pd.concat([f, f.assign(problem="fashion-lenet")], ignore_index=True) for f in made.both)
    assert_legible(draw(reports, runs, style=style).figure)  # type: ignore[operator]
