"""What a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpobench_fds.cli import completion


def test_suites_are_completed_by_name_and_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.toml").touch()
    assert completion.suites("co") == ["core", "core_quick", "core_twice"]
    assert completion.suites("mi") == ["mine.toml"]
    assert completion.suites("sub/") == ["sub/other.toml"]
    assert {"core", "mine.toml"} <= set(completion.suites(""))
    assert completion.suites("no/such/") == []


def test_methods_are_completed() -> None:
    assert completion.methods("fd") == ["fds"]
    assert {"tpe", "ladder"} <= set(completion.methods(""))


@pytest.mark.parametrize(
    ("words", "expected"), [("hpobench validate digi", "digits_all"), ("hpobench check fd", "fds")]
)
def test_the_shell_is_told(words: str, expected: str) -> None:
    asked = {"_HPOBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'hpobench'; from hpobench_fds.cli import main; main()",
    ]
    told = subprocess.run(
        command, env=os.environ | asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert expected in told.stdout.split()
