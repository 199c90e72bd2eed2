"""A disk that is full or read-only: one line from every command, nothing lost, and a way to go on."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from real_run import copy_of_results

from hpobench_fds.cli import main
from hpobench_fds.errors import InputError
from hpobench_fds.records.pack import pack
from hpobench_fds.records.verify import verify

SUITE = """
name = "tiny"
seeds = [0, 1]
device = "cpu"
budget.steps = 40
methods.random_search = {}
methods.fds = {}
[problems.tiny]
dataset = "digits"
train_limit = 120
test_limit = 60
batch_size = 8
horizon = 10
space.lr = { windows = 2, low = 0.0, high = 0.2 }
"""


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(SUITE)
    return copy_of_results(tmp_path / "r")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert isinstance(stop.value.code, int)
        return (stop.value.code, *capsys.readouterr())

    return run


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def read_only(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results on a file system that takes nothing, not even from root."""

    def refused(path: object) -> OSError | None:
        inside = isinstance(path, (str, Path)) and Path(path).absolute().is_relative_to(results)
        return OSError(errno.EROFS, "Read-only file system", str(path)) if inside else None

    def wrapped(function: Any, writes: Callable[..., bool]) -> Any:
        def call(path: Any, *arguments: Any, **keywords: Any) -> Any:
            if writes(*arguments, **keywords) and (error := refused(path)) is not None:
                raise error
            return function(path, *arguments, **keywords)

        return call

    def opens(mode: str = "r", *_: object, **__: object) -> bool:
        return bool(set(mode) & set("wxa+"))

    def low_level(flags: int, *_: object, **__: object) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    monkeypatch.setattr(io, "open", wrapped(io.open, opens))
    monkeypatch.setattr(os, "open", wrapped(os.open, low_level))
    for name in ("mkdir", "unlink", "replace", "rmdir"):
        monkeypatch.setattr(os, name, wrapped(getattr(os, name), lambda *_, **__: True))
    return results


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("figures", "r"),
            "r/figures: cannot be written: Read-only file system: choose another folder: "
            "hpobench figures DIR --out FOLDER",
        ),
        (
            ("report", "r"),
            "r/report.html: cannot be written: Read-only file system: choose another file with --out",
        ),
        (("pack", "r"), "r/cells/tiny/fds/seed-0: cannot be written: Read-only file system"),
        (("export", "r", "r/all.csv"), "r/all.csv: cannot be written: Read-only file system"),
        (("merge", "r", "--out", "r/new"), "r/new: cannot be written: Read-only file system"),
        (
            ("referee", "r", "--draws", 2),
            "r/cells/tiny/fds/seed-0: cannot be written: Read-only file system: "
            "what was retrained before is recorded",
        ),
        (("run", "tiny.toml", "--out", "r", "--seeds", "0-2"), "r: cannot be written: Read-only file system"),
        (("run", "tiny.toml", "--out", "r/new"), "r/new: cannot be written: Read-only file system"),
        (("new-method", "mine", "--dir", "r"), "folder: r cannot be written: Read-only file system"),
    ],
)
def test_a_command_that_cannot_write_says_so_in_a_line(
    read_only: Path, run: Any, arguments: tuple[object, ...], said: str
) -> None:
    before = snapshot(read_only)
    code, _, err = run(*arguments)
    assert (code, err.splitlines()[-1]) == (2, f"error: {said}")
    assert "Traceback" not in err
    assert snapshot(read_only) == before


def test_what_reads_alone_works_all_the_same(read_only: Path, run: Any) -> None:
    assert run("show", "r")[0] == 0
    assert run("verify", "r")[0] == 0
    assert run("run", "tiny.toml", "--out", "r", "--no-figures")[0] == 0  # nothing is left to be run
    code, out, err = run("run", "tiny.toml", "--out", "r", "--quiet")
    assert (code, out) == (0, "records: r\n")
    assert err.startswith("figures: not drawn: r/figures: cannot be written: Read-only file system")


def test_results_that_cannot_be_written_are_drawn_elsewhere(read_only: Path, run: Any) -> None:
    code, out, _ = run("figures", "r", "--out", "new/drawn", "--only", "anytime", "--format", "png")
    assert (code, out.splitlines()[0]) == (0, "new/drawn/anytime.png")
    assert {path.name for path in Path("new/drawn").iterdir()} == {
        "anytime.png",
        "anytime.csv",
        "anytime.txt",
    }
    assert run("report", "r", "--out", "page.html")[:2] == (0, "page.html\n")
    assert run("export", "r", "all.csv")[0] == 0
    assert run("merge", "r", "--out", "copy")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("figures", "r", "--only", "anytime"),
        ("report", "r"),
        ("pack", "r"),
        ("export", "r", "all.parquet"),
        ("merge", "r", "--out", "new"),
        ("referee", "r", "--draws", 2),
        ("run", "tiny.toml", "--out", "new"),
        ("run", "tiny.toml", "--out", "r", "--seeds", "0-2"),
    ],
)
def test_a_full_disk_is_a_line_and_leaves_no_halves(
    results: Path, run: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    before = {path: content for path, content in snapshot(results).items() if path.name != "lock"}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, _, err = run(*arguments)
    last = err.splitlines()[-1]
    assert code == 2
    assert last.startswith("error: ")
    assert "cannot be written: No space left on device" in last
    after = snapshot(Path.cwd())
    assert not [path for path in after if path.name.endswith(".tmp")]
    assert before.items() <= after.items()


def test_from_python_it_is_an_input_error(read_only: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: Read-only file system"):
        pack(read_only)
    assert verify(read_only).sound


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_a_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        code, _, err = run("schema")
        monkeypatch.undo()
    assert (code, err) == (2, "error: No space left on device\n")


def test_a_link_in_the_place_of_the_figures_is_not_followed(results: Path, run: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (results / "figures").symlink_to(tmp_path / "precious")
    code, _, err = run("figures", "r", "--only", "anytime")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: r/figures: a link, which is not followed: choose another folder")
    assert not list((tmp_path / "precious").iterdir())
