"""Every figure by its structure: with few methods, with all built-in ones, and with next to nothing.

Texts do not overlap and stay on the page, axes say what they show, each method has one legend entry, the
captions say of how many seeds, with which interval, and under which protocol.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricate import (
    Results,
    assert_legible,
    assert_readable,
    assert_units,
    make_study,
    rising,
    schedule_steps,
    traits_of,
    write_folder,
)
from hpobench_fds.analysis import figures
from hpobench_fds.analysis.figures.saving import Figure
from hpobench_fds.analysis.looks import KNOWN, look_by_rule
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.verdict_table import verdict_table
from matplotlib.collections import LineCollection

GENERAL = (
    "anytime", "anytime_error", "anytime_val_loss", "anytime_inner_steps", "anytime_gradient_equivalents",
    "speedup", "speedup_curve", "schedules", "schedules_fds", "cost", "ranks", "profile",
    "profile_gradient_equivalents", "effects", "times",
)  # fmt: skip
ALL = list(KNOWN)
GRADIENT = ("fds", "reverse_sharing", "reverse", "truncated_reverse", "implicit")


@cache
def crowd(problems: int, seeds: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All built-in methods, each with its own speed and its own final accuracy."""
    made, rng = Results(), np.random.default_rng(5)
    for problem in ["digits", "fashion-lenet", "cifar10-wrn-16-1"][:problems]:
        for i, method in enumerate(ALL):
            for seed in range(seeds):
                steps, slopes = schedule_steps(6, rng)
                points = rising(1 + 0.4 * i, rng, 0.9 - 0.01 * (i % 5), 6)
                signed = method in GRADIENT
                made.add(method, seed, points, problem=problem, schedules=steps,
                         hypergradients=slopes if signed else None)  # fmt: skip
    reports, runs = made.both
    steps_of = [{"step_sizes": [0.1 / 2 ** (r // 2)] * 4} for r in reports["report"]]
    return reports.assign(extra=steps_of), runs


def draw(name: str, frames: tuple[pd.DataFrame, pd.DataFrame], page: str = "paper") -> Figure:
    return figures.available(frames[0])[name](*frames, page)


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("problems", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_all_built_in_methods_in_one_figure_are_legible(name: str, problems: int) -> None:
    if name == "ranks" and problems == 1:
        with pytest.raises(NoAnswer):
            draw(name, crowd(problems))
        return
    assert_legible(draw(name, crowd(problems)).figure)


def named(drawn: Figure) -> list[str]:
    """Every method that a figure names: at lines, rows or panels, or for want of room in words."""
    texts = [text for ax in drawn.figure.axes for text in ax.texts if str(text.get_gid()).startswith("end:")]
    found = [str(text.get_gid()).removeprefix("end:").removesuffix(", no search") for text in texts]
    if not found:
        rows = [t.get_text() for ax in drawn.figure.axes for t in ax.get_yticklabels()]
        titles = [ax.get_title(loc="left") for ax in drawn.figure.axes]
        labels = {look_by_rule(m).label for m in ALL}
        found = [text for text in dict.fromkeys([*titles, *rows]) if text in labels]
    for words in ("without room for a name: ", "Methods without a panel: "):
        if words in drawn.caption:
            found += drawn.caption.partition(words)[2].partition(". ")[0].split(", ")
    return found


@pytest.mark.parametrize("name", [n for n in GENERAL if n not in ("schedules_fds", "ranks", "cost")])
def test_every_method_is_named_once(name: str) -> None:
    drawn = draw(name, crowd(1))
    compared = name.startswith(("speedup", "effects"))
    expected = {look_by_rule(m).label for m in ALL} - ({"FDS"} if compared else set())
    if name == "schedules":  # those that search
        expected -= {look_by_rule(m).label for m in ALL if not traits_of(m)["searches"]}
    assert sorted(named(drawn)) == sorted(expected)


@pytest.mark.parametrize("name", ["anytime", "anytime_val_loss", "speedup_curve", "profile"])
def test_in_a_crowd_a_few_methods_are_in_colour_and_the_others_one_grey(name: str) -> None:
    drawn = draw(name, crowd(1))
    ax = drawn.figure.axes[-1]
    lines = [line for line in ax.lines if str(line.get_gid()).split(":")[-1] in ALL]
    coloured = {line.get_color() for line in lines if not str(line.get_gid()).startswith("floor")}
    assert 3 <= len(coloured) <= 6
    assert (look_by_rule("fds").color in coloured) == (name != "speedup_curve")
    (grey,) = (part for part in ax.collections if isinstance(part, LineCollection))
    assert len(grey.get_segments()) > 25


@pytest.mark.parametrize("name", [n for n in GENERAL if n != "ranks"])
def test_text_has_its_size_on_a_page_and_axes_have_units(name: str) -> None:
    for frames in (crowd(1), make_study().both):
        figure = draw(name, frames).figure
        assert_readable(figure)
        assert_units(figure)


@pytest.mark.parametrize("name", GENERAL)
def test_axes_say_what_they_show(name: str) -> None:
    drawn = draw(name, make_study().both)
    figure = drawn.figure
    if name == "ranks":  # a diagram: words in place of axes
        assert len(figure.axes[0].texts) > 4
        return
    shared = [text.get_text() for text in figure.texts]
    assert any(ax.get_xlabel() for ax in figure.axes)
    assert shared or any(ax.get_ylabel() or ax.get_yticklabels() for ax in figure.axes)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("anytime_error", "the method's clock (s)", "test error (%)"),
        ("anytime_val_loss", "the method's clock (s)", "validation loss (nats)"),
        ("anytime_val_loss_inner_steps", "inner steps (number)", "validation loss (nats)"),
        ("anytime_val_loss_gradient_equivalents", "gradients (equivalents)",
         "validation loss (nats)"),
    ],
)  # fmt: skip
def test_units_stand_on_the_anytime_axes(name: str, x: str, y: str) -> None:
    figure = draw(name, make_study().both).figure
    assert {ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()} == {x}
    assert y in [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("name", [n for n in GENERAL if n not in ("schedules", "schedules_fds")])
def test_captions_state_seeds_and_protocol(name: str) -> None:
    caption = draw(name, make_study().both).caption
    assert "5 seeds" in caption  # 4 to 5 where a failed run leaves its seed out
    assert "The clock counts the method's training, validation and thinking. Budget: 1000 s" in caption
    assert "Failed: TPE in 1 of 10 runs." in caption


@pytest.mark.parametrize("name", ["anytime", "speedup", "speedup_curve"])
def test_captions_name_the_interval_and_call_few_seeds_few(name: str) -> None:
    assert "min to max of the seeds" in draw(name, make_study().both).caption
    seeds = 6 if name == "anytime" else 11  # of a speedup over 21 rivals at once
    assert "95 % interval" in draw(name, crowd(1, seeds=seeds)).caption
    assert "o interval: a single seed" in draw(name, crowd(1, seeds=1)).caption


def test_a_planted_twentyfold_speedup_is_drawn_and_a_censored_one_is_marked(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.3), (2, 0.9)], budget=100)
        results.add("tpe", seed, [(20, 0.3), (40, 0.9)], budget=100)
        results.add("random_search", seed, [(20, 0.3)], budget=100)
    texts = {t.get_text() for t in draw("speedup", results.both).figure.axes[0].texts}
    assert {"20x", "> 50x"} <= texts


def test_step_sizes_stand_below_the_signs() -> None:
    drawn = draw("schedules_fds", crowd(1))
    panels = [ax for ax in drawn.figure.axes if ax.get_label() != "<colorbar>"]
    assert len(panels) == 9
    assert panels[6].get_ylabel() == "step size\n(value)"
    sizes = panels[6].lines[0].get_ydata()
    assert list(sizes) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert drawn.data["step_size"].notna().all()
    assert "size of the step" in drawn.caption


# ---- next to nothing ------------------------------------------------------------------------------------


def thin(kind: str) -> Results:
    made = Results()
    if kind == "one seed":
        made.add("fds", 0, [(1, 0.5), (2, 0.8)], hypergradients=[[1, 1, 1, 1]] * 2)
        made.add("tpe", 0, [(1, 0.5), (2, 0.8)])
    elif kind == "one method":
        for seed in range(3):
            made.add("fds", seed, [(1, 0.5), (2, 0.8)], hypergradients=[[1, 1, 1, 1]] * 2)
    elif kind == "only failed":
        for method in ("fds", "tpe"):
            made.add(method, 0, [], status="failed", used=1)
    elif kind == "only unfinished":
        made.add("fds", 0, [(1, 0.5)], status="running", used=1)
    return made


@pytest.mark.parametrize("kind", ["one seed", "one method", "only failed", "only unfinished"])
def test_thin_results_give_what_can_be_drawn_and_say_what_is_missing(kind: str, tmp_path: Path) -> None:
    folder = write_folder(thin(kind), tmp_path / "out")
    drawn = figures.draw_all(folder, formats=("png",))
    possible = {
        "one seed": {"anytime", "speedup", "cost", "schedules_fds"},
        "one method": {"anytime", "cost"},
    }
    assert possible.get(kind, set()) <= set(drawn.captions)
    expected = {*figures.FIGURES, *(["schedules_fds"] if kind != "only failed" else [])}
    assert set(drawn.captions) | set(drawn.skipped) == expected
    assert all(len(reason) > 10 for reason in drawn.skipped.values())


def with_skipped(study: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The study, with a method that cannot run on one of its problems."""
    runs = study.add("cmaes", 0, [], problem="digits").runs
    never = runs["method"] == "cmaes"
    runs.loc[never, ["stopped", "reason"]] = ["skipped", "a single hyperparameter"]
    return study.reports, runs


@pytest.mark.parametrize(
    "name", ["anytime", "speedup", "speedup_curve", "ranks", "profile", "effects", "times", "cost"]
)
def test_a_skipped_method_is_ranked_nowhere_and_named(study: Results, name: str) -> None:
    drawn = draw(name, with_skipped(study))
    assert "cmaes" not in set(drawn.data["method"])
    assert "Left out, as they cannot run there: CMA-ES on digits." in drawn.caption
    assert "cmaes" in set(verdict_table(*with_skipped(make_study()))["method"])


# ---- another reference ----------------------------------------------------------------------------------


def test_another_method_can_be_the_reference(study: Results, tmp_path: Path) -> None:
    drawn = figures.draw_frames(
        *study.both, tmp_path, ["speedup", "speedup_curve"], ["png"], reference="bohb"
    )
    assert drawn.skipped == {}
    assert "BOHB" in drawn.captions["speedup"]
    assert set(pd.read_csv(tmp_path / "speedup.csv")["reference"]) == {"bohb"}
    assert set(pd.read_csv(tmp_path / "speedup_curve.csv")["reference"]) == {"bohb"}


def test_a_reference_that_did_not_run_is_a_reason_that_names_those_that_did(
    study: Results, tmp_path: Path
) -> None:
    drawn = figures.draw_frames(*study.both, tmp_path, ["speedup", "anytime"], ["png"], reference="gp")
    assert "'gp'" in drawn.skipped["speedup"]
    assert "bohb" in drawn.skipped["speedup"]
    assert set(drawn.captions) == {"anytime"}


# ---- a large study --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_cells_are_drawn_in_a_minute(tmp_path: Path) -> None:
    """Five problems, twenty methods, ten seeds, thirty reports each: PNG, PDF and CSV of every figure."""
    made, rng = Results(), np.random.default_rng(0)
    for problem in "abcde":
        for i, method in enumerate(ALL[:20]):
            for seed in range(10):
                steps, slopes = schedule_steps(30, rng)
                gradient = i < 9
                made.add(method, seed, rising(1 + i, rng, 0.9 - 0.01 * (i % 7), 30), problem=problem,
                         schedules=steps, hypergradients=slopes if gradient else None)  # fmt: skip
    folder = write_folder(made, tmp_path / "out")
    before = time.process_time()
    drawn = figures.draw_all(folder)
    spent = time.process_time() - before
    assert len(drawn.captions) >= 20
    assert spent < 90  # of processor time: 50 on a core to itself, more beside other work
