"""A greedy method of a third party: among the greedy ones everywhere, under its own label and colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fabricate import Results, rising, write_folder
from hpobench_fds.analysis import loading
from hpobench_fds.analysis.figures import draw_all
from hpobench_fds.analysis.figures.catalogue import FIGURES
from hpobench_fds.analysis.reports import tables
from hpobench_fds.analysis.reports.sentences import verdict

LABEL, COLOR = "Mine [greedy]", "#A0522D"
OTHERS = ("fds", "tpe", "random_search", "bohb", "gp", "cmaes", "asha", "hyperband", "default")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More methods than share a panel, read back from records on disk."""
    made, rng = Results(), np.random.default_rng(4)
    for seed in range(6):
        for i, method in enumerate(OTHERS):
            made.add(method, seed, rising(1.0 + i, rng), schedules=[[0.1 * i, 0.05, 0.9, 1e-4]] * 8)
        made.add(
            "mine", seed, rising(2.0, rng, top=0.7), adapter="mine.py:Mine", family="gradient",
            traits={"greedy": True}, look={"label": LABEL, "color": COLOR, "marker": "<"}, final=0.6,
            schedules=[[0.5, 0.5, 0.5, 1e-3]] * 8,
        )  # fmt: skip
    return write_folder(made, tmp_path_factory.mktemp("third") / "out")


def test_it_is_drawn_in_its_colour_as_the_best_greedy_method(folder: Path) -> None:
    loaded = loading.load(folder)
    drawn = FIGURES["anytime"](loaded.reports, loaded.runs, "paper")
    last = drawn.figure.axes[-1]
    (line,) = [one for one in last.lines if one.get_gid() == "median:mine"]
    assert (line.get_color(), line.get_label()) == (COLOR, LABEL)
    names = [text.get_text() for text in last.texts]
    assert LABEL in names
    assert "mine" not in names


def test_it_stands_in_the_figures_of_greediness(folder: Path) -> None:
    drawn = draw_all(folder, only=["greediness_loss", "greediness_schedules"], formats=("png",))
    assert drawn.skipped == {}
    assert all(f"Greedy: {LABEL}." in caption for caption in drawn.captions.values())
    assert "mine,greedy" in (folder / "figures/greediness_loss.csv").read_text()


def test_tables_and_sentences_print_its_label_and_call_it_greedy(folder: Path) -> None:
    loaded = loading.load(folder)
    for form in ("markdown", "latex"):
        assert LABEL in tables.in_form(form, loaded.reports, loaded.runs)  # type: ignore[arg-type]
    sentences = verdict(loaded.reports, loaded.runs)
    assert any(sentence.startswith(f"Greedy methods ({LABEL}) ended") for sentence in sentences)
