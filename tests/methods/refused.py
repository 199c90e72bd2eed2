"""The command line refuses a method whose options cannot be: before anything runs or is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpobench_fds.cli import main

SUITE = 'name = "s"\nseeds = [0]\nbudget.steps = 10\n[problems.d]\ndataset = "digits"\nhorizon = 5\n'


def assert_refused_before_anything_runs(
    methods: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and no folder, for a suite with these methods' tables."""
    suite = tmp_path / "s.toml"
    suite.write_text(SUITE + methods)
    with pytest.raises(SystemExit) as stop:
        main(["run", str(suite), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
