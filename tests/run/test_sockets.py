"""Processes start however deep the folder of temporary files lies."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hpobench_fds.errors import InputError
from hpobench_fds.run.backends import sockets

START = """
import multiprocessing, os, sys, tempfile
from multiprocessing import util
from hpobench_fds.run.backends.sockets import ensure_short_paths
if "used" in sys.argv:
    util.get_temp_dir()  # as a caller with processes of its own has done
ensure_short_paths()
process = multiprocessing.get_context("forkserver").Process(target=os.getpid)
process.start()
process.join()
print(process.exitcode, util.get_temp_dir(), tempfile.mkdtemp(), sep=chr(10))
"""


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("used", [[], ["used"]])
def test_a_long_temporary_folder_starts_processes_and_stays_what_it_is(deep: Path, used: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START, *used],
        env={**os.environ, "TMPDIR": str(deep)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    code, of_sockets, of_files = done.stdout.splitlines()
    assert code == "0"
    assert len(of_sockets) + len("/listener-12345678") <= 103
    assert not Path(of_sockets).exists()  # nothing is left behind
    assert Path(of_files).parent == deep


def test_a_folder_that_is_short_enough_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    monkeypatch.delitem(config, "tempdir", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (sockets.MOST - 1))
    sockets.ensure_short_paths()
    assert "tempdir" not in config


def test_a_long_one_is_named_where_there_is_no_other(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    monkeypatch.delitem(config, "tempdir", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setattr(sockets, "PLACES", ())
    with pytest.raises(
        InputError, match=r"^TMPDIR: .* too long a path for sockets.* \(allowed: 71 bytes at most"
    ):
        sockets.ensure_short_paths()
