"""The command line of the referee: curves for records of before, its cost in a dry run, refusals told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.cli import main
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.frames import load_retrained
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.plan import plan, referee_cost


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    code = end.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


def test_a_folder_gains_its_curves_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("referee", results, "--draws", 2, "--points", 2) == 0
    said = capsys.readouterr()
    assert re.search(r"\d+ retrainings of 4 runs\n", said.out)
    assert len(said.err.splitlines()) == 4
    assert load_retrained(results)["draw"].max() == 1
    assert run("verify", results) == 0
    capsys.readouterr()
    assert run("referee", results, "--draws", 2, "--points", 2, "--quiet") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{results}: 0 retrainings of 0 runs, 4 had them all\n", "")


@pytest.mark.parametrize(
    "arguments", [("--draws", 0), ("--points", "some"), ("--points", 0), ("--device", "cuda:77")]
)
def test_what_cannot_be_done_is_told_in_a_line(
    results: Path, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("referee", results, "--draws", 2, *arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert run("referee", results / "cells", *arguments) == 2


def one(problem: dict[str, Any], **changes: Any) -> Cell:
    data = {**SUITE, "problems": {"tiny": {**SUITE["problems"]["tiny"], **problem}}, **changes}
    return Suite.from_dict(data).cells()[0]


@pytest.mark.parametrize(
    ("problem", "changes", "said"),
    [
        (
            {},
            {},
            "(points 1 x draws 1, and the last schedule): 20 inner steps, 50 %",
        ),
        ({}, {"referee": {"draws": 3, "points": 4}}, "at most 13 retrainings a cell"),
        ({}, {"referee": {"draws": 3, "points": 4}}, "130 inner steps, 325 % of the budget"),
        ({}, {"budget": {"seconds": 3}}, "20 inner steps"),
        ({"horizon": None, "epochs": 2.0}, {"budget": {"epochs": 8}}, "of 2 epochs, 50 % of the budget"),
        ({"horizon": None, "epochs": 2.0}, {}, "of 2 epochs"),
        ({"final_epochs": 3.0}, {}, "of 3 epochs"),
        ({}, {"referee": {"draws": 3, "points": "all"}}, "retrains each incumbent in 3 draws"),
    ],
)
def test_a_dry_run_states_what_the_referee_costs(
    problem: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    text = referee_cost(one(problem, **changes))
    assert text.startswith("referee: tiny: ")
    assert said in text


def test_the_cost_is_printed_of_what_is_to_do(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(Suite.from_dict(SUITE), results).referee() == []
    suite = tmp_path / "suite.toml"
    suite.write_text(
        'name = "s"\nseeds = [0]\n[budget]\nsteps = 400\n[referee]\ndraws = 3\npoints = 4\n'
        '[problems.p]\ndataset = "digits"\nhorizon = 10\n[methods.fds]\n'
    )
    assert run("run", suite, "--out", tmp_path / "new", "--dry-run") == 0
    assert "130 inner steps, 32 % of the budget" in capsys.readouterr().out.replace("\n", " ")


def test_a_run_that_would_not_go_on_here_is_told_and_left(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hpobench_fds.run import suite_run
    from hpobench_fds.run.watcher import CellResult, RunSummary

    record = CellFiles(cell(results)).record()
    (first, *_) = Suite.from_dict(SUITE).cells()
    refused = RunSummary(results, [CellResult(first, "refused", record, "threads 2, now 1 (choose ...)")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_run, "run_suite", lambda *_, **__: refused)
        suite = tmp_path / "s.toml"
        suite.write_text(json.dumps({}))
        assert run("run", suite, "--no-figures", "--quiet") == 1
    said = capsys.readouterr().err
    assert "refused: tiny/random_search/seed-0: threads 2, now 1" in said
