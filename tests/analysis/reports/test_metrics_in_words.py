"""Tables, sentences and axes speak of the problem's metric, and know which way is better."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricate import Results, write_folder
from hpobench_fds.analysis import loading
from hpobench_fds.analysis.figures import anytime, catalogue, outer_steps, speedup, speedup_curve
from hpobench_fds.analysis.looks import Looks
from hpobench_fds.analysis.reports import tables
from hpobench_fds.analysis.reports.sentences import verdict
from hpobench_fds.analysis.stats.targets import chance, targets_of
from hpobench_fds.analysis.stats.verdict_table import verdict_table


def made(results: Results) -> Results:
    """Eight seeds: FDS soon at about 3, TPE later at about 2; what that is the metric says."""
    for seed in range(8):
        late = 2.0 + 0.002 * seed
        results.add("fds", seed, [(1, 5.0), (2, 3.0)], final=3.0 + 0.002 * seed)
        results.add("tpe", seed, [(4, 5.0), (9, late)], final=late)
    return results


def loaded(results: Results, tmp_path: Path, metric: str) -> loading.Loaded:
    folder = write_folder(results, tmp_path / metric)
    for path in folder.glob("cells/*/*/*/run.json"):
        run = json.loads(path.read_text())
        run["data"] = {"classes": 64, "metric": metric, "train": 9, "test": 9}
        path.write_text(json.dumps(run))
    return loading.load(folder)


@pytest.fixture
def bits(results: Results, tmp_path: Path) -> loading.Loaded:
    return loaded(made(results), tmp_path, "bits a token")


def test_fewer_bits_are_better(bits: loading.Loaded) -> None:
    assert bits.runs.groupby("method")["final_test_metric"].median().to_dict() == pytest.approx(
        {"fds": -3.007, "tpe": -2.007}
    )
    table = verdict_table(bits.reports, bits.runs)
    assert table["method"].tolist() == ["tpe", "fds"]
    assert table["best"].tolist() == [True, False]
    assert chance(bits.runs) == {"digits": -6.0}


def test_the_floor_of_bits_is_the_fewest(results: Results, tmp_path: Path) -> None:
    for seed in range(8):
        results.add("default", seed, [(2.0, 4.0)], used=2.0).add("cosine", seed, [(2.0, 3.5)], used=2.0)
    both = loaded(made(results), tmp_path, "bits a token")
    (text,) = (s for s in verdict(both.reports, both.runs) if s.startswith("The floor"))
    assert (
        "is Cosine: 3.500 (median; 95 % interval 3.500 to 3.500, 8 seeds) test bits a token in hand" in text
    )
    assert "beaten in the median run of FDS (after 2.0 s" in text
    assert "accuracy" not in text


def test_tables_have_bits_as_they_are(bits: loading.Loaded) -> None:
    table, looks = verdict_table(bits.reports, bits.runs), Looks.of(bits.runs)
    text = tables.to_markdown(table, looks)
    assert "Retrained test bits a token: median (95 % interval)" in text
    assert "2.007 (2.000 to 2.014)" in text
    assert "accuracy" not in text
    target = targets_of(bits.reports, bits.runs).query("headline")["target"].iloc[0]
    assert f"Seconds to {-target:.3f}: median" in text


def test_sentences_say_lower_and_better(bits: loading.Loaded) -> None:
    text = " ".join(verdict(bits.reports, bits.runs))
    assert "Lowest retrained test bits a token: TPE 2.007" in text
    assert "Better than FDS: TPE (by 1.000 bits" in text
    assert "accuracy" not in text
    assert "points" not in text
    assert "%" not in text.replace("95 % interval", "").replace("95 % of the way", "")


def test_axes_have_the_name_and_values_as_they_are(bits: loading.Loaded) -> None:
    figure = anytime.draw(bits.reports, bits.runs)
    (ax,) = [ax for ax in figure.figure.axes if ax.get_ylabel()]
    assert ax.get_ylabel() == "test bits a token"
    low, high = ax.get_ylim()
    assert (low, high) == pytest.approx((-5.2, -1.8), abs=0.3)
    figure.figure.canvas.draw()
    texts = {label.get_text() for label in ax.get_yticklabels()}
    assert {"3", "4"} <= texts
    assert "accuracy" not in Looks.of(bits.runs).shown().words(figure.caption)
    assert "test bits a token" in speedup.draw(bits.reports, bits.runs).figure.axes[0].get_xlabel()
    curve = speedup_curve.draw(bits.reports, bits.runs).figure
    assert any("bits a token asked for" in ax.get_xlabel() for ax in curve.axes)


def test_r_squared_is_in_percent_and_guessed_at_nothing(results: Results, tmp_path: Path) -> None:
    for seed in range(8):
        results.add("fds", seed, [(1, 0.2), (2, 0.4)], final=0.4 + 0.001 * seed)
        results.add("tpe", seed, [(1, -0.5), (2, 0.3)], final=0.3)
    squared = loaded(results, tmp_path, "R²")
    assert chance(squared.runs) == {"digits": 0.0}
    text = tables.to_markdown(verdict_table(squared.reports, squared.runs), Looks.of(squared.runs))
    assert "Retrained test R² (%): median" in text
    assert "40.4 (40.0 to 40.7)" in text
    assert "Highest retrained test R²: FDS 40.4 %" in " ".join(verdict(squared.reports, squared.runs))
    loss = anytime.draw(squared.reports, squared.runs, metric="val_loss").figure.axes[0]
    assert loss.get_ylabel() == "validation loss (squared error)"


def test_problems_with_metrics_of_their_own_say_which(results: Results, tmp_path: Path) -> None:
    for problem in ("one", "two"):
        for seed in range(6):
            results.add("fds", seed, [(1, 0.5)], problem=problem).add(
                "tpe", seed, [(1, 0.4)], problem=problem
            )
    runs = results.runs
    runs["metric"] = np.where(runs["problem"] == "one", "accuracy", "R²")
    looks = Looks.of(runs)
    assert (looks.shown("one").name, looks.shown("two").name, looks.shown().name) == (
        "accuracy",
        "R²",
        "metric",
    )
    names = tables.headings(verdict_table(results.reports, runs), looks)
    assert names[2].startswith("Retrained test metric: accuracy (%) or R² (%): median")
    titles = [ax.get_title(loc="left") for ax in anytime.draw(results.reports, runs).figure.axes]
    assert {"one: accuracy (%)", "two: R² (%)"} <= set(titles)
    assert isinstance(verdict_table(results.reports, runs), pd.DataFrame)


def test_a_hyperparameter_that_a_problem_does_not_have_leaves_its_panel_empty(results: Results) -> None:
    schedules, slopes = [[0.1, 0.2, 0.9, 1e-4]] * 2, [[1.0, -1.0, 0.5, 0.0]] * 2
    for problem in ("one", "two"):
        results.add(
            "fds", 0, [(1, 0.5), (2, 0.6)], problem=problem, schedules=schedules, hypergradients=slopes
        )
    reports = results.reports
    two = (reports["problem"] == "two").to_numpy()
    for column in ("schedule_names", "schedule", "hypergradient"):
        reports.loc[two, column] = reports.loc[two, column].map(lambda values: list(values)[:2])
    figure = outer_steps.draw(reports, results.runs, "fds")
    off = [ax for ax in figure.figure.axes if not ax.axison]
    assert len(off) == 2 * 2  # schedules and signs of momentum and weight decay on the second problem


def test_a_figure_with_a_fault_costs_a_page_itself_alone(
    bits: loading.Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> object:
        raise ZeroDivisionError("a slip")

    monkeypatch.setitem(catalogue.FIGURES, "ranks", broken)  # type: ignore[arg-type]
    drawn = catalogue.draw_frames(bits.reports, bits.runs, tmp_path, ["ranks", "anytime"], skip_faults=True)
    assert drawn.skipped == {"ranks": "a fault: ZeroDivisionError: a slip"}
    assert set(drawn.captions) == {"anytime"}
    with pytest.raises(ZeroDivisionError):
        catalogue.draw_frames(bits.reports, bits.runs, tmp_path, ["ranks", "anytime"])
