"""``hpobench doctor``: what it looks at, and what it doubts."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
import torch
from typer.testing import CliRunner

from hpobench_fds.cli import app, doctor
from hpobench_fds.run import machine


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.stdout


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nothing else computes, and a clean checkout."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(machine, "describe_commit", lambda: "0" * 40)


def test_on_an_idle_machine_all_is_well(tmp_path: Path) -> None:
    code, text = told("--folder", str(tmp_path / "not" / "yet"))
    assert code == 0
    assert text.endswith("all is well\n")
    for what in ("hpobench-fds", "torch", "cores", "memory", "GB free on its disk", "digits", "methods"):
        assert what in text
    assert not (tmp_path / "not").exists()


def test_a_crowded_machine_is_doubted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (64.0, 64.0, 64.0))
    code, text = told("--folder", str(tmp_path))
    assert code == 0
    assert "?    load of the last minute: 64.0: others compute here" in text
    assert text.endswith("0 bad, 1 doubtful\n")


def test_more_threads_than_cores_are_doubted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 512)
    assert "512 threads, more than there are cores: set OMP_NUM_THREADS" in told("--folder", str(tmp_path))[1]


def test_changes_in_the_checkout_are_doubted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "describe_commit", lambda: "0" * 40 + "-dirty")
    assert "?    the checkout has changes" in told("--folder", str(tmp_path))[1]


def test_little_memory_is_doubted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = psutil.virtual_memory()._replace(available=10**8)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: few)
    assert "?    memory: 0.1 of" in told("--folder", str(tmp_path))[1]


def test_a_folder_that_cannot_be_written_to_is_bad(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    code, text = told("--folder", str(tmp_path / "records"))
    assert code == 1
    assert "BAD  records" in text
    assert "cannot be written to" in text


def test_a_data_set_in_the_data_root_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = told("--folder", str(tmp_path), "--data-root", str(tmp_path / "data"))[1]
    away = next(line for line in text.splitlines() if "data sets that are not" in line)
    assert "cifar10" in away


def test_every_extra_is_looked_for() -> None:
    assert doctor._there("json")
    assert not doctor._there("no_such_module_here")
    assert not doctor._there("no_such_module_here.inside")
