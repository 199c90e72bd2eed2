"""Schedules are drawn as the piecewise constant functions that the trainer ran."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import outer_steps, schedules
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.schedules import MOST
from matplotlib.collections import LineCollection, QuadMesh


def test_the_final_incumbent_is_shown_not_the_last_report(results: Results) -> None:
    values = [[0.1, 0, 0, 0], [0.2, 0, 0, 0], [0.3, 0, 0, 0]]
    results.add("fds", 0, [(1, 0.5), (2, 0.8), (3, 0.6)], incumbent=[True, True, False], schedules=values)
    results.add("fds", 1, [(1, 0.5)], schedules=[[0.9, 0, 0, 0]], status="failed")
    drawn = schedules.draw(*results.both)
    first = drawn.data[(drawn.data["hyperparameter"] == "lr") & (drawn.data["window"] == 0)]
    assert first["value"].tolist() == [0.2]
    assert "not shown: 1" in drawn.caption
    assert "whose record does not name it, shown by their last incumbent's: 1" in drawn.caption


def test_the_schedule_that_the_record_names_is_shown_not_the_incumbent(results: Results) -> None:
    values = [[0.1, 0, 0, 0], [0.2, 0, 0, 0]]
    results.add("bohb", 0, [(1, 0.9), (2, 0.8)], incumbent=[True, False], schedules=values, final_report=1)
    drawn = schedules.draw(*results.both)
    assert drawn.data["value"].tolist()[0] == 0.2
    assert "last incumbent" not in drawn.caption


def test_one_panel_a_method_and_one_line_a_seed_the_best_of_them_bold(study: Results) -> None:
    drawn = schedules.draw(*study.both)
    panels = {
        (part.texts[-1].get_text(), ax.get_title(loc="left")): ax
        for part in drawn.figure.subfigs for ax in part.axes if ax.get_title(loc="left")
    }  # fmt: skip
    methods = ["FDS", "BOHB", "HD (greedy)", "TPE", "Random search"]  # one that searches nothing has none
    assert sorted(panels) == sorted((p, m) for p in ("digits", "fashion") for m in methods)
    for (problem, method), ax in panels.items():
        lines = [str(patch.get_gid()).split(":")[0] for patch in ax.patches]
        seeds = 4 if (problem, method) == ("digits", "TPE") else 5  # one failed
        assert sorted(lines) == ["bold", *["thin"] * (seeds - 1)]
    best = drawn.data[drawn.data["bold"]].groupby(["problem", "method"])["seed"].nunique()
    assert (best == 1).all()


def test_values_that_hold_are_dots_a_seed(study: Results) -> None:
    drawn = schedules.draw(*study.both)
    dots = [ax for part in drawn.figure.subfigs for ax in part.axes if "momentum" in ax.get_xlabel()]
    assert len(dots) == 2
    fds = [line for line in dots[0].lines if line.get_gid() == "value:fds"]
    assert sorted(len(line.get_xdata()) for line in fds) == [1, 4]


def test_the_cosine_that_was_run_stands_beside(study: Results) -> None:
    study.add("cosine", 0, [(1, 0.5)], problem="digits", schedules=[[0.1, 0.05, 0.9, 1e-4]])
    drawn = schedules.draw(*study.both)
    panel = next(ax for ax in drawn.figure.axes if ax.get_title(loc="left") == "FDS")
    (dashed,) = (patch for patch in panel.patches if patch.get_gid() == "cosine")
    assert list(dashed.get_data()[0]) == [0.1, 0.05]  # type: ignore[attr-defined]
    assert "cosine" in [text.get_text() for text in drawn.figure.legends[0].get_texts()]


def test_the_drawn_steps_are_the_values(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)], schedules=[[0.4, 0.1, 0.9, 1e-4]])
    patch = schedules.draw(*results.both).figure.axes[0].patches[0]
    values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
    assert list(values) == [0.4, 0.1]
    assert list(edges) == [0, 0.5, 1]


def outer(results: Results) -> Results:
    values = [[0.0, 0, 0, 0], [0.1, 0, 0, 0], [0.1, 0.1, 0, 0]]
    slopes = [[-1.0, 2.0, 0.0, 1.0], None, [3.0, np.nan, 0.0, -1.0]]
    return results.add("fds", 0, [(1, 0.1), (2, 0.2), (3, 0.3)], schedules=values, hypergradients=slopes)


def test_outer_steps_go_from_light_to_dark(results: Results) -> None:
    ax = outer_steps.draw(*outer(results).both, "fds").figure.axes[0]
    (lines,) = (artist for artist in ax.collections if isinstance(artist, LineCollection))
    brightness = [sum(color[:3]) for color in lines.get_colors()]
    assert len(brightness) == 3
    np.testing.assert_allclose(lines.get_segments()[1], [[0, 0.1], [0.5, 0.1], [0.5, 0], [1, 0]])
    assert brightness[0] > brightness[1] > brightness[2]


def test_signs_of_the_hypergradients_and_gaps_where_none_was_recorded(results: Results) -> None:
    drawn = outer_steps.draw(*outer(results).both, "fds")
    mesh = next(a for ax in drawn.figure.axes for a in ax.collections if isinstance(a, QuadMesh))
    np.testing.assert_array_equal(
        np.ma.filled(mesh.get_array(), np.nan), [[-1, 1], [np.nan, np.nan], [1, np.nan]]
    )
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words == ["hypergradient negative", "hypergradient zero", "hypergradient positive"]
    assert drawn.name == "schedules_fds"


def test_without_hypergradients_there_are_no_sign_panels(results: Results) -> None:
    results.add("hd", 0, [(1, 0.1), (2, 0.2)])
    drawn = outer_steps.draw(*results.both, "hd")
    assert len(drawn.figure.axes) == 3 + 1  # and the colour bar
    assert not drawn.figure.legends


def test_a_single_report_can_be_drawn(results: Results) -> None:
    results.add("fds", 0, [(1, 0.1)], hypergradients=[[1.0, 1, 1, 1]])
    outer_steps.draw(*results.both, "fds").figure.draw_without_rendering()


def test_reasons_for_no_figure(results: Results) -> None:
    results.add("fds", 0, [(1, 0.1)], status="failed")
    with pytest.raises(NoAnswer, match="no complete run"):
        schedules.draw(*results.both)
    with pytest.raises(NoAnswer, match="FDS has no complete run"):
        outer_steps.draw(*results.both, "fds")


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_texts_do_not_overlap(study: Results, style: str) -> None:
    assert_legible(schedules.draw(*study.both, style=style).figure)
    assert_legible(outer_steps.draw(*study.both, "fds", style=style).figure)


def test_of_thousands_of_outer_steps_an_even_choice_is_drawn(results: Results) -> None:
    results.add("hd", 0, [(float(t), 0.5) for t in range(1000)])
    table = outer_steps.draw(*results.both, "hd").data
    shown = table["report"].unique()
    assert len(shown) == MOST
    assert (shown[0], shown[-1]) == (0, 999)
    assert np.diff(shown).max() <= 18  # 999 / 59 = 16.9


def test_sixty_outer_steps_are_all_drawn(results: Results) -> None:
    results.add("hd", 0, [(float(t), 0.5) for t in range(MOST)])
    assert outer_steps.draw(*results.both, "hd").data["report"].nunique() == MOST
