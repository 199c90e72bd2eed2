"""Figures of the hypergradient's noise, from records with a planted truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis import figures
from hpobench_fds.analysis.figures import noise_snr, noise_steps, noise_windows
from hpobench_fds.analysis.stats import noise_samples
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.window_sharing import error_of, shared
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from planted_noise import STEPS, add, planted

from hpobench_fds.records.frames import load_results
from hpobench_fds.run.suite_run import run_suite

DRAW = [noise_steps.draw, noise_windows.draw, noise_snr.draw]


@pytest.fixture
def made(results: Results) -> Results:
    add(results, "reverse", planted(30))
    return add(results, "hd", 5 + planted(30, rng_seed=1))


def lines(ax: Axes) -> dict[str, Line2D]:
    return {str(line.get_gid()): line for line in ax.lines if line.get_gid()}


@pytest.mark.parametrize(
    ("seeds", "steps", "why"), [(7, STEPS, "8 seeds"), (30, 15, "16 windows")], ids=["seeds", "windows"]
)
@pytest.mark.parametrize("draw", DRAW)
def test_few_seeds_or_few_windows_are_no_figure(
    results: Results, draw: object, seeds: int, steps: int, why: str
) -> None:
    add(results, "reverse", planted(seeds, steps))
    with pytest.raises(NoAnswer, match=why):
        draw(*results.both)  # type: ignore[operator]


def test_the_errors_the_bound_and_the_planted_best_width(made: Results) -> None:
    drawn = noise_windows.draw(*made.both)
    own = drawn.data[drawn.data["series"] == "shared"].set_index("windows")
    g = planted(30)
    for windows in (1, 6, STEPS):
        error = error_of(shared(g, windows), g)
        row = own.loc[windows]
        assert row["mse"] == pytest.approx(error.mse)
        assert row["variance"] + row["drift"] == pytest.approx(row["mse"])
        assert row["low"] < row["mse"] < row["high"]
        assert row["ratio"] == pytest.approx(error.mse / g.var(0, ddof=1).mean())
    assert own.loc[STEPS, "ratio_error"] == pytest.approx(0, abs=1e-12)
    best = own[own["best"].astype(bool)]
    assert len(best) == 1
    assert 5 <= best["width"].iloc[0] <= 12
    assert (own["bound"] > 0).all()
    line = lines(drawn.figure.axes[0])["shared: mean squared error"]
    assert list(line.get_xdata()) == sorted(own["width"])
    assert list(line.get_ydata()) == pytest.approx(own.sort_values("width")["ratio"].tolist())
    left, right = drawn.figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    bound = lines(right)["the theorem's bound"]
    assert list(bound.get_ydata()) == pytest.approx(
        (own.sort_values("width")["bound"] / own.loc[STEPS, "mse"]).tolist()
    )


def test_the_greedy_error_is_measured_against_the_exact_mean(made: Results) -> None:
    drawn = noise_windows.draw(*made.both)
    greedy = drawn.data[drawn.data["series"] == "greedy"].iloc[0]
    assert greedy["drift"] == pytest.approx(25, rel=0.1)
    assert greedy["variance"] == pytest.approx(1, rel=0.15)
    (words,) = (text.get_text() for text in drawn.figure.axes[0].texts if text.get_gid() == "greedy")
    assert words.endswith(f"greedy: {greedy['ratio']:,.3g}")
    assert "% of it bias" in drawn.caption


def test_the_papers_values_stand_beside_horizons_of_its_length_only(results: Results, made: Results) -> None:
    assert "paper" not in set(noise_windows.draw(*made.both).data["series"])
    long = add(Results(), "reverse", planted(10, 250, 0.001))
    drawn = noise_windows.draw(*long.both)
    paper = drawn.data[drawn.data["series"] == "paper"].set_index("width")
    assert paper.loc[50, "mse"] == 0.0375
    assert paper.loc[50, "ratio"] == pytest.approx(0.0375 / 0.072)
    assert "the paper's (SVHN)" in lines(drawn.figure.axes[0])


def test_the_caption_says_what_was_found_and_how(made: Results) -> None:
    caption = noise_windows.draw(*made.both).caption
    for part in (
        "n = 30 seeds",
        "jackknife",
        "Sigma^2 = ",
        "Signs that",
        "epsilon = ",
        "c = ",
        "least at W = ",
        "loose",
    ):
        assert part in caption


def test_sharing_that_only_hurts_is_shown_as_such(results: Results) -> None:
    rng = np.random.default_rng(0)
    g = 3.0 * np.arange(STEPS) + rng.normal(size=(20, STEPS))
    drawn = noise_windows.draw(*add(results, "reverse", g).both)
    own = drawn.data[drawn.data["series"] == "shared"]
    assert own.loc[own["best"].astype(bool), "width"].tolist() == [1]
    assert own["ratio"].max() > 100


def test_runs_without_a_hypergradient_are_counted(made: Results) -> None:
    made.add("reverse", 30, [], status="failed").add("reverse", 31, [], status="running")
    assert "left out: 1." in noise_windows.draw(*made.both).caption
    assert noise_steps.draw(*made.both).data["seeds"].max() == 30


def test_steps_shared_over_the_best_windows_and_greedy(made: Results) -> None:
    drawn = noise_steps.draw(*made.both)
    table, g = drawn.data, planted(30)
    own = table[table["series"] == "not shared"]
    np.testing.assert_allclose(own["mean"], g.mean(0))
    np.testing.assert_allclose(own["deviation"], g.std(0, ddof=1))
    np.testing.assert_allclose(own["low"], np.quantile(g, 0.25, axis=0))
    best = noise_samples.windows_of(noise_samples.samples(made.reports)[0]).best
    np.testing.assert_allclose(table.loc[table["series"] == "shared", "mean"], shared(g, best).mean(0))
    above, below = drawn.figure.axes
    assert set(lines(above)) == {"not greedy, not shared", "not greedy, shared"}
    assert set(lines(below)) == {"not greedy, not shared", "greedy"}
    unit = np.quantile(np.abs(5 + planted(30, rng_seed=1)), 0.95)
    expected = (5 + planted(30, rng_seed=1)).mean(0) / unit
    np.testing.assert_allclose(np.asarray(lines(below)["greedy"].get_ydata()), expected)
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words == ["not greedy, not shared", "not greedy, shared", "greedy"]


def test_without_a_greedy_method_there_is_none_in_the_legend(results: Results) -> None:
    drawn = noise_steps.draw(*add(results, "fds", planted(8)).both)
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words == ["not greedy, not shared", "not greedy, shared"]


def test_signal_to_noise(made: Results) -> None:
    drawn = noise_snr.draw(*made.both)
    g = planted(30)
    line = lines(drawn.figure.axes[0])["not greedy, not shared"]
    np.testing.assert_allclose(np.asarray(line.get_ydata()), np.abs(g.mean(0)) / g.std(0, ddof=1))
    assert drawn.figure.axes[0].get_yscale() == "log"
    assert "median over steps" in drawn.caption


def test_from_a_suite_to_the_figures(tmp_path: Path) -> None:
    """Frozen greedy, exact and truncated methods run through the real runner and store."""
    lr = {"windows": 16, "initial": np.linspace(0.1, 0.01, 16).tolist()}
    once = {"outer_steps": 1}
    suite = {
        "name": "tiny-noise", "seeds": "0-7", "device": "cpu", "budget": {"seconds": 60},
        "problems": {
            "tiny": {
                "dataset": "digits", "horizon": 16, "batch_size": 16, "train_limit": 200, "test_limit": 50,
                "space": {"lr": lr, "momentum": {"initial": 0.9, "learn": False}},
            }
        },
        "methods": {
            "reverse": once, "hd": {"frozen": True, "validation_batch": 100},  # all there are
            "last-2": {"adapter": "truncated_reverse", "last": 2, **once},
            "last-8": {"adapter": "truncated_reverse", "last": 8, **once},
        },
    }  # fmt: skip
    assert run_suite(suite, tmp_path, methods="reverse,hd").exit_code == 0
    assert run_suite(suite, tmp_path, methods="last-2,last-8", seeds="0-1").exit_code == 0
    names = ["noise_steps", "noise_windows", "noise_snr", "truncation", "greediness_loss"]
    drawn = figures.draw_all(tmp_path, only=names, formats=("png",))
    assert set(drawn.captions) == set(names[:4])
    assert "different schedules" in drawn.skipped["greediness_loss"]  # nothing was learned
    greedy, exact = noise_samples.samples(load_results(tmp_path))[0].both() or (None, None)
    assert greedy is not None
    assert exact is not None
    # After the last step nothing comes; before it, the two are not the same.
    np.testing.assert_allclose(greedy[:, -1], exact[:, -1], rtol=1e-3)
    assert np.isclose(greedy[:, :8], exact[:, :8], rtol=0.1).mean() < 0.1
    found = pd.read_csv(tmp_path / "figures" / "truncation.csv")
    assert set(found["last"].dropna()) == {2, 8, 16}


@pytest.mark.parametrize("style", ["paper", "slides"])
@pytest.mark.parametrize("draw", DRAW)
def test_two_problems_are_legible(made: Results, style: str, draw: object) -> None:
    add(made, "reverse", planted(12, 250, 0.001), problem="fashion-lenet")
    assert_legible(draw(*made.both, style=style).figure)  # type: ignore[operator]
