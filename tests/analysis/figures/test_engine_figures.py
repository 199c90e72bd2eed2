"""The engine's tables are drawn as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fabricate import assert_legible
from hpobench_fds.analysis import figures
from hpobench_fds.analysis.figures import engine as engine_figures

from hpobench_fds.errors import InputError


def engine(folder: Path) -> Path:
    """Tables with planted laws: forward costs 2 k, reverse 4; full reverse holds 10 T bytes a step."""

    def line(mode: str, horizon: int, k: int, trainings: float, size: float) -> dict[str, Any]:
        return {
            "model": "mlp", "horizon": horizon, "hyperparameters": k, "mode": mode, "trainings": trainings,
            "trainings_low": trainings - 0.5, "trainings_high": trainings + 0.5, "bytes": size,
            "ending": "ok",
        }  # fmt: skip

    counts = [line("forward", 100, k, 2 * k, 1e6 * k) for k in (1, 3, 9)]
    counts += [line("reverse, checkpointed", 100, k, 4.0, 2e6) for k in (1, 3, 9)]
    horizons = [line("forward", t, 9, 3.0, 1e6) for t in (100, 1000)]
    horizons += [line("reverse, full", t, 9, 3.0, 1e4 * t) for t in (100, 1000)]
    horizons.append(line("reverse, full", 10_000, 9, 3.0, 0.0) | {"ending": "out of memory"})
    tables = {"Cost against hyperparameters": counts, "Memory against horizon": horizons}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.json").write_text(json.dumps({"where": "a made-up machine", "tables": tables}))
    return folder


def test_memory_and_time_against_horizon_and_number(tmp_path: Path) -> None:
    horizon, number = engine_figures.draw(engine(tmp_path))
    assert (horizon.name, number.name) == ("engine_horizon", "engine_hyperparameters")
    memory, time = horizon.figure.axes
    assert (memory.get_ylabel(), time.get_ylabel()) == ("memory held (MB)", "time (plain trainings)")
    assert memory.get_xscale() == memory.get_yscale() == "log"
    full = next(line for line in memory.lines if line.get_gid() == "megabytes:reverse, full")
    assert list(full.get_xdata()) == [100, 1000]  # the run that did not end well is no point
    assert list(full.get_ydata()) == [1, 10]
    forward = next(a for a in number.figure.axes[1].lines if a.get_gid() == "trainings:forward")
    assert list(forward.get_ydata()) == [2, 6, 18]
    labels = [text.get_text() for text in horizon.figure.legends[0].get_texts()]
    assert labels == ["forward (FDS)", "reverse, full"]
    assert "a made-up machine" in horizon.caption
    assert "lowest to highest round" in number.caption
    for figure in (horizon, number):
        assert_legible(figure.figure)


def test_the_recorded_tables_are_drawn(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[3] / "results" / "engine"
    assert [figure.name for figure in engine_figures.draw(recorded)] == [
        "engine_horizon",
        "engine_hyperparameters",
    ]


def test_the_command_draws_the_engines_folder_too(tmp_path: Path) -> None:
    drawn = figures.draw_all(engine(tmp_path / "engine"), formats=("png",))
    assert {path.name for path in drawn if path.suffix == ".png"} == {
        "engine_horizon.png", "engine_hyperparameters.png",
    }  # fmt: skip
    only = figures.draw_all(tmp_path / "engine", only="engine_horizon", formats=("png",))
    assert set(only.captions) == {"engine_horizon"}
    with pytest.raises(InputError, match="engine_horizon"):
        figures.draw_all(tmp_path / "engine", only="anytime")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "no tables"), ("[]", "no tables"), ('{"where": "x"}', "tables"),
        ('{"where": "x", "tables": {"Memory against horizon": [{"model": "mlp"}]}}', "lacks"),
    ],
)  # fmt: skip
def test_a_broken_file_is_a_line(tmp_path: Path, content: str, word: str) -> None:
    (tmp_path / "tables.json").write_text(content)
    with pytest.raises(InputError, match=word) as caught:
        engine_figures.draw(tmp_path)
    assert "tables.json" in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        engine_figures.draw(tmp_path / "missing.json")
