"""The commands on results and plans: what they print, what they return."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from real_run import cell, copy_of_results

from hpobench_fds.cli import main

SUITE = """
name = "tiny"
seeds = [0, 1]
device = "cpu"
budget.seconds = 30
[problems.tiny]
dataset = "digits"
horizon = 10
[methods.random_search]
[methods.fds]
"""


class Shell:
    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.capture.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = self.capture.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "a")


def test_verify_says_that_all_is_sound(shell: Shell, results: Path) -> None:
    assert shell("verify", results) == (0, f"{results}: 4 cells, 16 reports: all sound\n", "")


def test_verify_prints_a_line_for_each_error_and_fails(shell: Shell, results: Path) -> None:
    path = cell(results) / "trace.jsonl"
    path.write_text(path.read_text().replace('"val_metric":', '"val_metric": 1e-3 ,"x":', 1))
    code, out, err = shell("verify", results)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith(f"error: {cell(results)}")
    assert "trace.jsonl" in line
    assert out.endswith("1 error\n")


def test_verify_prints_one_bad_cell_in_a_few_lines(shell: Shell, results: Path) -> None:
    path = cell(results) / "trace.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps({**row, "schedule": [9.0, 9.0 + row["report"]]}) + "\n" for row in rows)
    )
    code, out, err = shell("verify", results)
    assert code == 1
    first = f"error: {path}: report 0: the schedule is not in the space (and 3 more of this kind)"
    assert err.splitlines()[0] == first
    assert len(err.splitlines()) == 2  # and the digest
    assert out.endswith("5 errors\n")


def test_export_writes_a_table_once(shell: Shell, results: Path, tmp_path: Path) -> None:
    assert shell("export", results, "out.parquet")[:2] == (0, "out.parquet: 16 rows\n")
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 16
    code, _, err = shell("export", results, "out.parquet")
    assert (code, err) == (2, "error: out.parquet: the file is there already: give --force to replace it\n")
    assert shell("export", results, "out.parquet", "--runs", "--force")[:2] == (0, "out.parquet: 4 rows\n")


def test_merge_makes_one_folder(shell: Shell, results: Path, tmp_path: Path) -> None:
    other = copy_of_results(tmp_path / "b")
    code, out, _ = shell("merge", results, other, "--out", "c")
    assert (code, out) == (0, "c: 4 cells, 4 of them were in more than one folder\n")
    assert shell("verify", "c")[0] == 0
    code, _, err = shell("merge", results, other, "--out", "c")
    assert (code, err) == (2, "error: c: there is something already: a merge needs a new folder\n")
    code, _, err = shell("merge", results, other, "--out", "d", "--prefer", "mine")
    assert (code, err) == (2, "error: --prefer: got 'mine' (allowed: first, last)\n")


def test_the_schema_is_json(shell: Shell) -> None:
    code, out, _ = shell("schema")
    assert code == 0
    assert {"name", "seeds", "budget", "problems", "methods", "limits"} <= json.loads(out)[
        "properties"
    ].keys()


def test_a_dry_run_prints_cells_and_time_and_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    code, out, err = shell("run", "tiny.toml", "--dry-run", "--jobs", "2")
    assert (code, err) == (0, "")
    assert "tiny/random_search/seed-0" in out
    assert "4 of 4 cells to run into results/tiny" in out
    assert "time at most: 1 min 00 s plus final retrainings" in out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_dry_run_of_a_part(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    _, out, _ = shell("run", "tiny.toml", "--dry-run", "--cell", "1/4")
    assert "1 of 1 cells to run" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--backend", "slurm"], "--backend: got 'slurm' (allowed: local, ray)"),
        (["--address", "here"], "--address: got 'here' without --backend ray"),
        (["--backend", "ray", "--cpus", "0"], "--cpus: got 0 (allowed: 1 or more)"),
        (["--backend", "ray", "--gpus", "-1"], "--gpus: got -1 (allowed: 0 or more)"),
    ],
)
def test_a_backend_that_is_not_there_is_a_line(
    shell: Shell, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    code, _, err = shell("run", "tiny.toml", *arguments)
    assert (code, err) == (2, f"error: {complaint}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
