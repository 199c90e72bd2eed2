"""Accuracy against the number of hyperparameters, on problems that differ in nothing else."""

from __future__ import annotations

import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis import scaling
from hpobench_fds.analysis.style import CannotDraw


def add(results: Results, method: str, size: int, accuracy: float, seed: int = 0, **more: object) -> None:
    name = str(more.pop("name", f"windows-{size}"))
    results.add(method, seed, [(1.0, accuracy)], problem=name, **more)  # type: ignore[arg-type]
    results._runs[-1]["schedule_names"] = [f"lr[{i}]" for i in range(size)]


def series(results: Results, seeds: int = 3) -> Results:
    """FDS stays, TPE falls as there is more to find: they cross between 3 and 9."""
    tpe = {1: 0.9, 3: 0.88, 9: 0.7, 27: 0.5}
    for size, its in tpe.items():
        for seed in range(seeds):
            add(results, "fds", size, 0.86 + 0.001 * seed, seed, final=0.87)
            add(results, "tpe", size, its + 0.001 * seed, seed, final=its - 0.1)
            add(results, "random_search", size, its - 0.05, seed)
    return results


def test_medians_by_number_and_what_was_trained_again_apart(results: Results) -> None:
    table = scaling.accuracies(series(results).runs).set_index(["method", "hyperparameters", "measure"])
    assert table.loc[("tpe", 9, "incumbent_test_accuracy"), "median"] == pytest.approx(0.701)
    assert table.loc[("tpe", 9, "incumbent_test_accuracy"), "low"] == pytest.approx(0.7)
    assert table.loc[("tpe", 9, "final_test_accuracy"), "median"] == pytest.approx(0.6)
    assert set(table["series"]) == {"windows"}
    assert set(table["seeds"]) == {3}


def test_where_hypergradients_overtake_the_best_black_box_method(results: Results) -> None:
    (row,) = scaling.overtaken(scaling.accuracies(series(results).runs)).to_dict("records")
    assert row == {"series": "windows", "method": "fds", "above": [9, 27], "of": [1, 3, 9, 27]}
    drawn = scaling.draw(*results.both)
    assert "FDS's incumbents are above every black-box method's at 9, 27 of 1, 3, 9, 27 hyperparameters." in (
        drawn.caption
    )
    assert "n = 3 seeds" in drawn.caption


def test_a_run_that_failed_counts_as_nothing_reached(results: Results) -> None:
    series(results)
    for seed in (3, 4, 5):
        results.add("tpe", seed, [], problem="windows-9", status="failed")
        results._runs[-1]["schedule_names"] = [f"lr[{i}]" for i in range(9)]
    table = scaling.accuracies(results.runs).set_index(["method", "hyperparameters", "measure"])
    assert table.loc[("tpe", 9, "incumbent_test_accuracy"), "median"] == pytest.approx(0.35)


def test_lines_go_through_the_medians_in_order(results: Results) -> None:
    for size in (27, 3, 9):
        add(results, "fds", size, size / 100)
    drawn = scaling.draw(*results.both)
    incumbent, again = drawn.figure.axes
    (line,) = [a for a in incumbent.lines if a.get_gid() == "scaling:fds"]
    assert list(line.get_ydata()) == pytest.approx([3, 9, 27])
    assert list(line.get_xdata()) == pytest.approx([3, 9, 27], rel=0.05)
    assert incumbent.get_ylabel() == "test accuracy (%)"
    assert {ax.get_xlabel() for ax in (incumbent, again)} == {"hyperparameters (number)"}
    assert "a single seed" in drawn.caption


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_its_words_can_be_read(results: Results, style: str) -> None:
    assert_legible(scaling.draw(*series(results).both, style=style).figure)


@pytest.mark.parametrize("names", [["a", "b", "c"], ["w-1", "w-3"], ["w-1", "w-3", "x-9"], ["1", "3", "9"]])
def test_other_suites_are_no_series(results: Results, names: list[str]) -> None:
    for size, name in zip((1, 3, 9), names, strict=False):
        add(results, "fds", size, 0.5, name=name)
    with pytest.raises(CannotDraw, match="no 3 problems that differ in their number of hyperparameters"):
        scaling.draw(*results.both)


def test_two_problems_of_one_size_are_no_series(results: Results) -> None:
    for name, size in {"w-1": 1, "w-2": 3, "w-3": 9, "w-4": 9}.items():
        add(results, "fds", size, 0.5, name=name)
    assert scaling.accuracies(results.runs).empty
