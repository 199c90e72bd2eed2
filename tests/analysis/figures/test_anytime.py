"""The anytime figure draws the numbers of ``curves.band``, and says what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import anytime
from hpobench_fds.analysis.stats.frames import NoAnswer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def line(ax: Axes, gid: str) -> Line2D:
    found = [artist for artist in ax.lines if artist.get_gid() == gid]
    assert len(found) == 1, gid
    return found[0]


def names(figure: Figure) -> list[str]:
    """Names at the ends of lines, alphabetically."""
    found = [text for ax in figure.axes for text in ax.texts if str(text.get_gid()).startswith("end:")]
    return sorted(text.get_text() for text in found)


def three(results: Results) -> Results:
    for seed, shift in enumerate([-0.1, 0.0, 0.1]):
        results.add("fds", seed, [(1, 0.5 + shift), (10, 0.8 + shift)], final=0.85 + shift, budget=100)
        results.add("tpe", seed, [(20, 0.6 + shift)], budget=100)
    return results


def test_the_line_is_the_median_over_seeds(results: Results) -> None:
    drawn = anytime.draw(*three(results).both)
    median = line(drawn.figure.axes[0], "median:fds")
    assert median.get_drawstyle() == "steps-post"
    assert list(median.get_xdata()) == [1, 10, 100]
    assert list(median.get_ydata()) == pytest.approx([0.5, 0.8, 0.8])
    table = drawn.data[(drawn.data["method"] == "fds") & (drawn.data["at"] == 10)]
    # Three seeds: the bootstrap's interval is their range.
    assert table[["low", "median", "high"]].iloc[0].tolist() == pytest.approx([0.7, 0.8, 0.9])
    quartiles = anytime.draw(*results.both, spread="quartiles").data
    own = quartiles[(quartiles["method"] == "fds") & (quartiles["at"] == 10)]
    assert own[["low", "median", "high"]].iloc[0].tolist() == pytest.approx([0.75, 0.8, 0.85])


def test_log_time_percent_axis_words_and_legend(results: Results) -> None:
    drawn = anytime.draw(*three(results).both)
    ax = drawn.figure.axes[0]
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("the method's clock (s)", "test accuracy (%)")
    assert names(drawn.figure) == ["FDS", "TPE"]
    assert "n = 3 seeds" in drawn.caption


def test_a_hollow_marker_shows_the_retrained_accuracy_and_can_be_left_out(results: Results) -> None:
    three(results)
    mark = line(anytime.draw(*results.both).figure.axes[0], "final:fds")
    assert list(mark.get_ydata()) == pytest.approx([0.85])
    assert mark.get_markerfacecolor() == "white"
    without = anytime.draw(*results.both, final=False)
    assert not any(str(a.get_gid()).startswith("final") for a in without.figure.axes[0].lines)
    assert "retraining" not in without.caption


def test_a_method_that_lost_most_of_its_seeds_has_no_line_but_is_in_the_numbers(results: Results) -> None:
    three(results)
    for seed in range(3):
        results.add("bohb", seed, [] if seed else [(1, 0.99)], status="failed" if seed else "complete")
    drawn = anytime.draw(*results.both)
    assert not any(a.get_gid() == "median:bohb" for a in drawn.figure.axes[0].lines)
    own = drawn.data[drawn.data["method"] == "bohb"]
    assert own["median"].isna().all()
    assert (own["seeds"] == 3).all()
    assert "Failed: BOHB in 2 of 3 runs." in drawn.caption


def test_a_stopped_method_holds_its_value_to_the_budget(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.7)], budget=100, used=5).add("tpe", seed, [(2, 0.6)], budget=100)
    drawn = anytime.draw(*results.both)
    own = drawn.data[drawn.data["method"] == "fds"]
    assert own["at"].tolist() == [0, 1, 5, 100]
    assert own["held"].tolist() == [False, False, False, True]
    assert own["median"].iloc[-1] == 0.7
    assert list(line(drawn.figure.axes[0], "median:fds").get_xdata()) == [1, 5]


def test_unfinished_runs_are_left_out_and_counted(results: Results) -> None:
    three(results).add("fds", 3, [(1, 0.01)], status="running")
    drawn = anytime.draw(*results.both)
    assert drawn.data.loc[drawn.data["method"] == "fds", "seeds"].eq(3).all()
    assert "Unfinished runs, left out: 1." in drawn.caption


def test_losses_and_other_axes_are_named_in_the_file(results: Results) -> None:
    drawn = anytime.draw(*three(results).both, metric="val_loss", against="inner_steps")
    assert drawn.name == "anytime_val_loss_inner_steps"
    assert drawn.figure.axes[0].get_xlabel() == "inner steps (number)"
    assert names(drawn.figure) == ["FDS", "TPE"]


def test_small_multiples_for_several_problems(study: Results) -> None:
    for problem in ("noise", "svhn", "cifar"):
        study.add("fds", 0, [(1, 0.5), (3, 0.8)], problem=problem)
    drawn = anytime.draw(*study.both)
    titles = [ax.get_title(loc="left") for ax in drawn.figure.axes if ax.axison]
    assert titles == ["digits", "fashion", "noise", "svhn", "cifar"]
    assert_legible(drawn.figure)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_texts_do_not_overlap(study: Results, style: str) -> None:
    assert_legible(anytime.draw(*study.both, style=style).figure)


def test_only_failed_cells_is_a_reason(results: Results) -> None:
    results.add("fds", 0, [], status="failed")
    with pytest.raises(NoAnswer, match="no method has a median"):
        anytime.draw(*results.both)


def test_a_single_report_at_time_zero_can_be_drawn(results: Results) -> None:
    results.add("fds", 0, [(0, 0.5)], budget=10)
    drawn = anytime.draw(*results.both)
    drawn.figure.draw_without_rendering()
    assert np.isfinite(drawn.figure.axes[0].get_xlim()).all()


def test_errors_on_a_log_axis(results: Results) -> None:
    drawn = anytime.draw(*three(results).both, error=True)
    ax = drawn.figure.axes[0]
    assert (drawn.name, ax.get_yscale(), ax.get_ylabel()) == ("anytime_error", "log", "test error (%)")
    assert list(line(ax, "median:fds").get_ydata()) == pytest.approx([0.5, 0.2, 0.2])
    assert list(line(ax, "final:fds").get_ydata()) == pytest.approx([0.15])
    table = drawn.data[(drawn.data["method"] == "fds") & (drawn.data["at"] == 10)]
    assert table["median"].item() == pytest.approx(0.8)  # the numbers stay accuracies


def test_errors_are_legible(study: Results) -> None:
    assert_legible(anytime.draw(*study.both, error=True).figure)


@pytest.mark.parametrize(("error", "edges"), [(False, (0.45, 0.85)), (True, (0.15, 0.55))])
def test_the_band_lies_around_the_median(results: Results, error: bool, edges: tuple[float, float]) -> None:
    # Quartiles 0.45 and 0.55 of the first report, 0.75 and 0.85 of the second.
    ax = anytime.draw(*three(results).both, error=error, spread="quartiles").figure.axes[0]
    polygon = ax.collections[-1].get_paths()[0].vertices[:, 1]
    heights = np.asarray(polygon)
    if not error:
        heights = heights[heights > 0]  # at the very first report one seed of three is enough for a 0
    assert (heights.min(), heights.max()) == pytest.approx(edges)
    assert len(np.unique(np.round(heights, 6))) == 4


def test_a_loss_that_nearly_diverged_does_not_flatten_the_others(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.5), (2, 0.8)])
        results.add("tpe", seed, [(1, -1e20), (2, 0.7)])
    drawn = anytime.draw(*results.both, metric="val_loss")
    (ax,) = drawn.figure.axes
    assert 0.3 < ax.get_ylim()[1] < 10
    assert "Larger losses lie above the axis's end: TPE." in drawn.caption
    assert "above the axis's end" not in anytime.draw(*results.both).caption
