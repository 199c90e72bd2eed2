"""``hpobench show --watch``: the table again and again, until every run has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpobench_fds.cli.watching import watch_folder
from hpobench_fds.errors import InputError
from hpobench_fds.run.suite_run import run_suite

SUITE = """
name = "tiny"
seeds = [0]
[budget]
steps = 40
[problems.digits]
dataset = "digits"
horizon = 20
[methods.random_search]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(SUITE)
    run_suite(tmp_path / "tiny.toml", out=tmp_path / "out", isolate=False)
    return tmp_path / "out"


def test_when_every_run_has_ended_it_looks_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch_folder(folder, 1.0, wait=lambda seconds: pytest.fail("nothing goes on"))
    out = capsys.readouterr().out
    assert "random_search" in out.lower().replace(" ", "_")
    assert out.rstrip().endswith("1 complete")


def test_while_one_runs_it_looks_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(folder.rglob("run.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"status": "running"}))
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            path.write_text(json.dumps(record))

    watch_folder(folder, 3.0, wait=wait)
    assert waited == [3.0, 3.0]
    lines = [line.split("  ")[1] for line in capsys.readouterr().out.splitlines() if line[2:3] == ":"]
    assert lines == ["1 running", "1 running", "1 complete"]


def test_a_folder_that_holds_no_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a results folder"):
        watch_folder(tmp_path, 1.0)
