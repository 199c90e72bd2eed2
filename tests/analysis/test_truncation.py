"""Truncated and greedy hypergradients against exact ones of the same training."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis import truncation
from hpobench_fds.analysis.style import CannotDraw

EXACT = [3.0, 4.0, 1.0, -2.0]  # two learning rates, momentum, weight decay


def add(
    results: Results, method: str, found: list[float], last: int, *, problem: str = "digits",
    horizon: int = 100, seed: int = 0, lr: float = 0.1, adapter: str | None = None,
) -> Results:  # fmt: skip
    results.add(
        method, seed, [(horizon / 10, 0.5)], problem=problem,
        schedules=[[lr, 0.05, 0.9, 1e-4]], hypergradients=[found],
    )  # fmt: skip
    results._reports[-1] |= {"products": last, "adapter": adapter or method}
    return results


def series(results: Results, horizon: int = 100, seeds: int = 3, problem: str = "digits") -> Results:
    for seed in range(seeds):
        keywords = {"problem": problem, "horizon": horizon, "seed": seed}
        add(results, "reverse", EXACT, horizon, **keywords)  # type: ignore[arg-type]
        for last in (1, horizon // 10, horizon // 2):
            found = [0.0, 4.0 * last / horizon + 0.01 * seed, 0.5, 0.0]
            add(results, f"k{last}", found, last, adapter="truncated_reverse", **keywords)  # type: ignore[arg-type]
        add(results, "hd", [-300.0, 400.0, 1.0, 1.0], 0, **keywords)  # type: ignore[arg-type]
    return results


def test_the_three_measures() -> None:
    same = truncation.compare(np.array([3.0, 4.0]), np.array([3.0, 4.0]))
    assert same == pytest.approx({"relative": 0, "cosine": 1, "signs": 1})
    half = truncation.compare(np.array([0.0, 4.0]), np.array([3.0, 4.0]))
    assert half == pytest.approx({"relative": 3 / 5, "cosine": 4 / 5, "signs": 1 / 2})
    against = truncation.compare(np.array([-6.0, -8.0]), np.array([3.0, 4.0]))
    assert against == pytest.approx({"relative": 3, "cosine": -1, "signs": 0})
    nothing = truncation.compare(np.zeros(2), np.array([3.0, 4.0]))
    assert (nothing["relative"], nothing["signs"]) == (1, 0)
    assert np.isnan(nothing["cosine"])


def test_each_hyperparameter_is_compared_with_its_seeds_exact_one(results: Results) -> None:
    add(results, "reverse", EXACT, 100)
    add(results, "t", [0.0, 4.0, 0.5, -2.0], 20, adapter="truncated_reverse")
    table = truncation.errors(results.reports).set_index(["method", "hyperparameter"])
    row = table.loc[("t", "lr")]
    assert (row["kind"], row["horizon"], row["last"], row["share"]) == ("truncated", 100, 20, 0.2)
    assert row["relative"] == pytest.approx(3 / 5)
    assert table.loc[("t", "momentum"), "relative"] == pytest.approx(0.5)
    assert table.loc[("t", "weight_decay"), "relative"] == 0
    assert table.loc[("reverse", "lr"), "last"] == 100
    assert table.loc[("reverse", "lr"), "relative"] == 0


def test_a_short_outer_step_has_the_horizon_that_it_ran(results: Results) -> None:
    series(results, seeds=1)
    reports = results.reports.assign(inner_steps=10, fidelity=0.1)
    assert set(truncation.errors(reports)["horizon"]) == {100}


def test_other_schedules_seeds_and_later_reports_are_not_compared(results: Results) -> None:
    add(results, "reverse", EXACT, 100)
    add(results, "t", EXACT, 20, lr=0.2, adapter="truncated_reverse")
    add(results, "t", EXACT, 20, seed=1, adapter="truncated_reverse")
    add(results, "t", EXACT, 20, adapter="truncated_reverse")
    results._reports[-1]["report"] = 1
    assert set(truncation.errors(results.reports)["method"]) == {"reverse"}


def test_an_exact_hypergradient_of_zero_has_no_relative_error(results: Results) -> None:
    add(results, "reverse", [0.0, 0.0, 1.0, -2.0], 100)
    assert set(truncation.errors(results.reports)["hyperparameter"]) == {"momentum", "weight_decay"}


def test_two_labels_of_the_same_length_are_counted_once(results: Results) -> None:
    series(results)
    for seed in range(3):
        add(results, "again", [9.0, 9.0, 9.0, 9.0], 10, seed=seed, adapter="truncated_reverse")
    table = truncation.summary(truncation.errors(results.reports))
    own = table[(table["last"] == 10) & (table["hyperparameter"] == "lr") & (table["metric"] == "relative")]
    assert own["seeds"].tolist() == [3]


def test_medians_over_seeds_are_drawn_against_the_share_of_the_horizon(results: Results) -> None:
    drawn = truncation.draw(*series(results).both)
    relative, cosine, signs = drawn.figure.axes
    assert [ax.get_title(loc="left") for ax in (relative, cosine, signs)] == list(truncation.METRICS.values())
    line = next(a for a in relative.lines if a.get_gid() == "digits, T = 100")
    assert list(line.get_xdata()) == [0.01, 0.1, 0.5, 1]
    median = [float(np.hypot(3, 4 - 4 * share - 0.01)) / 5 for share in (0.01, 0.1, 0.5)]
    assert list(line.get_ydata()) == pytest.approx([*median, 0])
    greedy = next(a for a in relative.lines if a.get_gid() == "greedy:digits, T = 100")
    assert list(greedy.get_xdata()) == [0.01]
    assert list(greedy.get_ydata()) == pytest.approx([float(np.hypot(303, 396)) / 5])
    assert "n = 3 seeds" in drawn.caption
    assert "99.7 at T = 100" in drawn.caption


def test_a_line_a_horizon(results: Results) -> None:
    series(series(results), 1000, problem="long")
    drawn = truncation.draw(*results.both)
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words == ["digits, T = 100", "long, T = 1,000", "greedy, with the horizon's marker"]


def test_an_ordinary_suite_with_one_truncation_is_no_figure(results: Results) -> None:
    add(results, "reverse", EXACT, 100)
    add(results, "t", EXACT, 20, adapter="truncated_reverse")
    with pytest.raises(CannotDraw, match="last K steps for 2 K"):
        truncation.draw(*results.both)


def test_without_the_exact_one_there_is_no_figure(results: Results) -> None:
    series(results)
    reports = results.reports
    with pytest.raises(CannotDraw):
        truncation.draw(reports[reports["adapter"] != "reverse"], results.runs)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_it_is_legible(results: Results, style: str) -> None:
    series(series(series(results), 400, problem="digits-400"), 1000, problem="digits-1000")
    assert_legible(truncation.draw(*results.both, style=style).figure)
