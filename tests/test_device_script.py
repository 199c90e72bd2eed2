"""One command says what a GPU does with the engine; without a GPU it says so, and can be rehearsed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hpobench_fds.benchmarks.device.__main__ import carried_out, main


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["device", "--out", str(tmp_path / "out")])
    assert main() == 2
    assert capsys.readouterr().err == (
        "error: --device: 'cuda': there is no such device here (allowed: auto, cpu)\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_part_that_fails_says_why_and_keeps_its_rows() -> None:
    def part():  # type: ignore[no-untyped-def]
        yield {"model": "mlp", "error": 1e-15}
        raise RuntimeError("the card caught fire")

    told: dict[str, object] = {}
    text = carried_out("A part", part, told)
    assert "| mlp | 1e-15 |" in text
    assert "the card caught fire" in text
    assert told["A part"]["rows"] == [{"model": "mlp", "error": 1e-15}]  # type: ignore[index]


@pytest.mark.slow
def test_it_can_be_rehearsed_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["device", "--device", "cpu", "--out", str(tmp_path)])
    assert main() == 0
    told = json.loads((tmp_path / "tables.json").read_text())
    parts = [one for one in told.values() if isinstance(one, dict) and "rows" in one]
    assert all(part["rows"] and not part["failure"] for part in parts)
    errors = told["Relative error in float64, against autograd on the CPU"]["rows"]
    assert all(row[mode] < 1e-12 for row in errors for mode in ("forward", "reverse"))
    assert all(row["deterministic"] for row in told["Equal seeds, equal bits"]["rows"])
