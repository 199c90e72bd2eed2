"""All figures of a results folder: drawn, or skipped with a reason; the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fabricate import Results, write_folder
from hpobench_fds.analysis import figures
from hpobench_fds.analysis.figures.saving import Figure
from hpobench_fds.analysis.stats.verdict_table import verdict_table

from hpobench_fds.errors import InputError

OF_OTHER_SUITES = {
    "regret",
    "anytime_in_hand",
    "noise_steps",
    "noise_windows",
    "noise_snr",
    "truncation",
    "scaling",
    "agreement",
    "conditioning",
}
"""Figures of suites that take one hypergradient of one schedule many times."""


@pytest.fixture
def folder(tmp_path: Path, study: Results) -> Path:
    """The study as a results folder."""
    return write_folder(study, tmp_path)


def test_everything_is_drawn(folder: Path) -> None:
    drawn = figures.draw_all(folder, formats=("png",))
    assert set(drawn.skipped) == OF_OTHER_SUITES
    names = {path.name for path in drawn if path.suffix == ".png"}
    assert {"anytime.png", "speedup.png", "schedules.png", "schedules_fds.png", "schedules_hd.png"} <= names
    assert all(path.parent == folder / "figures" and path.stat().st_size > 0 for path in drawn)
    assert set(drawn.captions) == {Path(name).stem for name in names}


def test_twice_the_same_bytes(folder: Path, study: Results) -> None:
    for name in ("one", "two"):
        figures.draw_frames(*study.both, folder / name, only=["speedup", "schedules_fds"])
    files = sorted(path.name for path in (folder / "one").iterdir())
    assert len(files) == 2 * 4
    for file in files:
        assert (folder / "one" / file).read_bytes() == (folder / "two" / file).read_bytes(), file


def test_the_order_of_the_rows_does_not_change_a_figure(folder: Path, study: Results) -> None:
    reports, runs = study.both
    shuffled = reports.sample(frac=1, random_state=3)
    figures.draw_frames(reports, runs, folder / "one", ["anytime", "speedup"], ["png"])
    figures.draw_frames(shuffled, runs, folder / "two", ["anytime", "speedup"], ["png"])
    for file in ("anytime.png", "speedup.png"):
        assert (folder / "one" / file).read_bytes() == (folder / "two" / file).read_bytes()


def test_only_some(folder: Path) -> None:
    assert [p.name for p in figures.draw_all(folder, only=["speedup"], formats=("pdf",))] == [
        "speedup.pdf", "speedup.csv", "speedup.txt",
    ]  # fmt: skip
    assert len(figures.draw_all(folder, only="schedules_fds", formats=("png",))) == 3


def test_an_unknown_name_is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'anitime'.*anytime, .*schedules_fds"):
        figures.draw_all(folder, only=["speedup", "anitime"])
    assert not (folder / "figures").exists()


@pytest.mark.parametrize("keywords", [{"style": "poster"}, {"formats": ("gif",)}])
def test_unknown_styles_and_formats_are_an_input_error_not_a_skip(
    folder: Path, keywords: dict[str, object]
) -> None:
    with pytest.raises(InputError, match="allowed"):
        figures.draw_all(folder, **keywords)  # type: ignore[arg-type]


def test_what_cannot_be_drawn_is_skipped_with_a_reason(tmp_path: Path) -> None:
    results = Results()
    results.add("tpe", 0, [(1, 0.5)])
    drawn = figures.draw_frames(*results.both, tmp_path, formats=("png",))
    assert set(drawn.captions) >= {"anytime", "schedules"}
    assert "'fds'" in drawn.skipped["speedup"]


def test_only_failed_cells_draw_nothing_and_break_nothing(tmp_path: Path) -> None:
    results = Results()
    for method in ("fds", "tpe"):
        results.add(method, 0, [], status="failed")
    drawn = figures.draw_frames(*results.both, tmp_path, formats=("png",))
    assert "anytime" in drawn.skipped
    assert "schedules" in drawn.skipped


def test_no_results_at_all_skip_everything(tmp_path: Path) -> None:
    drawn = figures.draw_frames(*Results().both, tmp_path)
    assert drawn == []
    assert set(drawn.skipped) == set(figures.FIGURES)


def test_one_figures_fault_does_not_cost_the_others(
    tmp_path: Path, study: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reports: pd.DataFrame, runs: pd.DataFrame, style: str) -> Figure:
        raise ZeroDivisionError

    monkeypatch.setitem(figures.FIGURES, "anytime", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        figures.draw_frames(*study.both, tmp_path, only=["anytime", "speedup"], formats=("png",))
    assert "'anytime'" in caught.value.__notes__[0]
    assert (tmp_path / "speedup.png").exists()


def test_from_records_on_disk(tmp_path: Path) -> None:
    """The whole way: records as a run writes them, the real store, every figure and the table."""
    made = Results()
    for seed in range(3):
        steps = [[0.0] * 4, [0.1] * 4]
        slopes = [[-1.0, 1.0, 0.0, 2.0], None]
        made.add("fds", seed, [(1, 0.5), (2, 0.9)], schedules=steps, hypergradients=slopes)
        made.add("tpe", seed, [(20, 0.5), (40 + seed, 0.9)])
        made.add("random_search", seed, [], status="failed", used=1)
    write_folder(made, tmp_path)

    from hpobench_fds.records.frames import load_results, load_runs

    drawn = figures.draw_all(tmp_path, formats=("png",))
    # One problem has no ranks over problems, and no greedy method is there.
    assert set(drawn.skipped) == {"ranks", "greediness_schedules", "greediness_loss", *OF_OTHER_SUITES}
    assert set(drawn.captions) == {*figures.FIGURES, "schedules_fds"} - set(drawn.skipped)
    table = verdict_table(load_results(tmp_path), load_runs(tmp_path)).set_index("method")
    assert table.loc["tpe", "speedup"] == pytest.approx(41 / 2)
    assert table.loc["random_search", ["failed", "bound"]].tolist() == [3, "?"]  # a crash is no bound
