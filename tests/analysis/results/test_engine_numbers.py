"""What hypergradients hold and cost, read from tables with planted laws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hpobench_fds.analysis.results import engine_costs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forward costs 1 + k / 2 trainings, reverse 4 to 4.4; full reverse holds two vectors a step."""

    def line(mode: str, horizon: int, k: int, trainings: float, vectors: float) -> dict[str, Any]:
        return {
            "model": "mlp", "horizon": horizon, "hyperparameters": k, "mode": mode, "trainings": trainings,
            "parameter_vectors": vectors, "bytes": 4 * vectors, "ending": "ok",
        }  # fmt: skip

    counts = [line("forward", 100, k, 1 + k / 2, 3 * k) for k in (1, 3, 9)]
    counts += [line("reverse, checkpointed", 100, k, t, 40.0) for k, t in ((1, 4.0), (3, 4.2), (9, 4.4))]
    horizons = [line("forward", t, 9, 5.0, 27.0) for t in (100, 1000)]
    horizons += [line("reverse, checkpointed", t, 9, 4.0, 0.4 * t) for t in (100, 1000)]
    horizons += [line("reverse, full", t, 9, 3.0, 2.0 * t) for t in (100, 1000)]
    jax = {"model": "mlp", "mode": "forward", "threads": 1, "ours_ms": 90.0, "jax_ms": 100.0,
           "jax_first_call_s": 3.4}  # fmt: skip
    tables = {
        "Cost against hyperparameters": counts, "Memory against horizon": horizons,
        "A learning rate for every step": [line("reverse, checkpointed", 1000, 1002, 4.1, 400.0)],
        "Beside JAX": [jax | {"ratio": 0.9}, jax | {"mode": "reverse", "ours_ms": 120.0, "ratio": 1.2}],
    }  # fmt: skip
    (tmp_path / "tables.json").write_text(json.dumps({"where": "a made-up machine", "tables": tables}))
    return tmp_path


def test_vectors_are_those_of_the_shortest_and_the_longest_horizon(folder: Path) -> None:
    found = engine_costs.numbers(folder)
    assert found["horizons"] == [100, 1000]
    assert found["vectors"] == {"forward": [27, 27], "checkpointed": [40, 400], "full": [200, 2000]}


def test_forward_mode_is_the_dearer_one_from_where_its_line_crosses_reverse_mode_s_level(
    folder: Path,
) -> None:
    found = engine_costs.numbers(folder)
    assert (found["least"], found["most"]) == (4.0, 4.4)
    assert found["of"]["mlp"] == {"tangent": 0.5, "crossing": pytest.approx(6.4), "level": 4.2}
    assert found["every"] == {"hyperparameters": 1002, "trainings": 4.1}


def test_a_mode_is_slower_than_jax_where_it_takes_longer(folder: Path) -> None:
    found = engine_costs.numbers(folder)["jax"]
    assert (found["least"], found["most"], found["slower"], found["rows"]) == (0.9, 1.2, 1, 2)
    assert found["table"].splitlines()[-1] == "| mlp, reverse | 1 | 120 | 100 | 1.20 | 3 |"
