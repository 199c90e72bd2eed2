"""The number of threads follows the cores that a process may use: its affinity and its container's quota."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from real_run import SUITE

from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.run import machine
from hpobench_fds.run.machine import threads_each, threads_that_fit
from hpobench_fds.run.retraining import referee_folder
from hpobench_fds.run.suite_run import run_suite


def _asks(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", f"from hpobench_fds.run.machine import threads_each\n{code}"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.strip()


def test_more_cores_of_the_host_than_of_the_container_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(machine.joblib, "cpu_count", lambda: 6)
    assert [threads_each(jobs) for jobs in (1, 2, 4, 6, 7)] == [6, 3, 1, 1, 1]


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("400000 100000", 4), ("max 100000", 16)])
def test_a_containers_quota_is_the_most(quota: str, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_a_container(path: Any, *arguments: Any, **keywords: Any) -> Any:
        if path == "/sys/fs/cgroup/cpu.max":
            return io.StringIO(quota)
        return opened(path, *arguments, **keywords)

    opened, exists = builtins.open, os.path.exists
    monkeypatch.setattr(builtins, "open", in_a_container)
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max" or exists(path))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert threads_each(1) == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_that_is_kept_to_one_core_has_one_thread() -> None:
    first = min(os.sched_getaffinity(0))
    code = f"import os, torch; os.sched_setaffinity(0, {{{first}}}); torch.set_num_threads(4)"
    assert _asks(f"{code}; print(threads_each(1))") == "1"


def test_within_the_block_there_are_as_many_threads_as_cores_and_afterwards_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.set_num_threads(3)
    monkeypatch.setattr(machine.joblib, "cpu_count", lambda: 2)
    with threads_that_fit():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(machine.joblib, "cpu_count", lambda: 8)
    with threads_that_fit():
        assert torch.get_num_threads() == 3  # what the user has asked for is the most
    torch.set_num_threads(1)


def test_runs_in_this_process_and_retrainings_afterwards_keep_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(3)
    monkeypatch.setattr(machine.joblib, "cpu_count", lambda: 2)
    suite = {**SUITE, "seeds": [0], "methods": {"default": {}}}
    assert run_suite(suite, tmp_path / "out", isolate=False).exit_code == 0
    referee_folder(tmp_path / "out", draws=2)
    record = CellFiles(tmp_path / "out" / "cells" / "tiny" / "default" / "seed-0").record()
    assert record is not None
    assert record.device["threads"] == 2
    assert [segment.threads for segment in record.refereed] == [2]
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
