"""Cost: what methods spent is what was recorded; the engine's tables are drawn as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis import cost, figures
from hpobench_fds.analysis.style import CannotDraw
from matplotlib.axes import Axes

from hpobench_fds.errors import InputError


def spending(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FDS with products and memory; random search at 100 steps a second; TPE at half of that pace."""
    for seed in range(3):
        results.add("fds", seed, [(10, 0.9)], used=100.0)
        results.add("random_search", seed, [(10, 0.9)], used=100.0)
        results.add("tpe", seed, [(10, 0.9)], used=200.0)
    reports, runs = results.both
    runs["inner_steps"] = np.where(runs["method"] == "fds", 1000, 10_000 + runs["seed"])
    runs["products"] = np.where(runs["method"] == "fds", 9000, 0)
    runs["gradient_equivalents"] = 12_000.0
    extra: list[dict[str, Any]] = [
        {"hypergradient_bytes": 5_000_000 + s} if m == "fds" else {}
        for m, s in zip(reports["method"], reports["seed"], strict=True)
    ]
    return reports.assign(extra=extra), runs


def row(table: pd.DataFrame, method: str, quantity: str) -> pd.Series[Any]:
    return table[(table["method"] == method) & (table["quantity"] == quantity)].iloc[0]


def test_medians_and_ranges_of_what_was_spent(results: Results) -> None:
    table = cost.spent(*spending(results))
    steps = row(table, "tpe", "inner_steps")
    assert steps[["median", "low", "high", "seeds"]].tolist() == [10_001, 10_000, 10_002, 3]
    assert row(table, "tpe", "equivalents_per_second")["median"] == 60
    assert row(table, "fds", "products")["median"] == 9000
    assert row(table, "fds", "memory_bytes")["high"] == 5_000_002
    assert not ((table["method"] == "tpe") & (table["quantity"] == "memory_bytes")).any()


def test_the_devices_peak_goes_before_what_the_hypergradient_held(results: Results) -> None:
    reports, runs = spending(results)
    reports["peak_memory"] = 7_000_000.0
    assert row(cost.spent(reports, runs), "fds", "memory_bytes")["median"] == 7_000_000


def test_the_share_of_training_is_against_the_leanest_search_and_not_for_gradient_methods(
    results: Results,
) -> None:
    table = cost.spent(*spending(results))
    assert row(table, "random_search", "training_share")["median"] == pytest.approx(1, abs=1e-3)
    assert row(table, "tpe", "training_share")["median"] == pytest.approx(0.5, abs=1e-3)
    assert not ((table["method"] == "fds") & (table["quantity"] == "training_share")).any()


def test_the_figure_shows_the_numbers_with_their_units(results: Results) -> None:
    drawn = cost.draw(*spending(results))
    by_unit = {ax.get_xlabel(): ax for ax in drawn.figure.axes}
    assert set(by_unit) == {
        "s",
        "steps",
        "equivalents",
        "Hessian-vector",
        "equivalents / s",
        "% of clock",
        "MB",
    }
    assert marks(by_unit["steps"], "spent:tpe") == [10_001]
    assert marks(by_unit["MB"], "spent:fds") == pytest.approx([5.000001])
    assert marks(by_unit["% of clock"], "spent:tpe") == pytest.approx([50], abs=0.1)
    assert "n = 3 seeds" in drawn.caption
    assert "Training" in drawn.caption
    assert_legible(drawn.figure)


def marks(ax: Axes, gid: str) -> list[float]:
    return [float(x) for line in ax.lines if line.get_gid() == gid for x in np.ravel(line.get_xdata())]


def test_nothing_finished_is_a_reason(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)], status="running")
    with pytest.raises(CannotDraw, match="no run has come to an end"):
        cost.draw(*results.both)


# ---- the engine's tables --------------------------------------------------------------------------------


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
    horizon, number = cost.draw_engine(engine(tmp_path))
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
    recorded = Path(__file__).parents[2] / "results" / "engine"
    assert [figure.name for figure in cost.draw_engine(recorded)] == [
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
        cost.draw_engine(tmp_path)
    assert "tables.json" in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        cost.draw_engine(tmp_path / "missing.json")
