"""Files and names from others do no harm: no code is run, nothing is written or read outside the folder."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CHECKPOINT_FILE, CellFiles
from hpobench_fds.records.export import export, merge
from hpobench_fds.records.folder import files_of_cell
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.pack import pack
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.records.verify import verify
from hpobench_fds.run import machine
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.plan import plan


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


# ----------------------------------------------------------------------------------------- checkpoints


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def interrupted(results: Path) -> tuple[CellFiles, RunRecord]:
    """A cell that is to go on from its checkpoint."""
    files = CellFiles(cell(results))
    record = files.record()
    assert record is not None
    record.status, record.finished, record.final, record.stopped = "interrupted", None, None, None
    record.digest = record.trace_sha256 = None
    files.write_record(record)
    return files, record


def test_the_malicious_object_does_run_a_command_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def _pickled(path: Path, content: dict[str, Any]) -> None:
    path.write_bytes(pickle.dumps(content))


def _zipped(path: Path, content: dict[str, Any]) -> None:
    torch.save(content, path)


def _legacy(path: Path, content: dict[str, Any]) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("write", [_pickled, _zipped, _legacy])
def test_no_code_of_a_checkpoint_is_run_and_the_cell_starts_afresh(
    results: Path, tmp_path: Path, write: Callable[[Path, dict[str, Any]], None]
) -> None:
    files, record = interrupted(results)
    mark = tmp_path / "mark"
    write(files.folder / CHECKPOINT_FILE, {"config_hash": record.config_hash, "state": Malicious(mark)})
    assert run_suite(SUITE, results, isolate=False).exit_code == 0
    assert not mark.exists()
    again = files.record()
    assert again is not None
    assert (again.status, again.resumed) == ("complete", 0)
    assert verify(results).findings == []


@pytest.mark.parametrize(
    "damage",
    [
        {"reports": "x"},
        {"reports": None},
        {"reports": -3},
        {"clock": [1]},
        {"clock": {"surprise": 1}},
        {"clock": {"method": math.nan}},
        {"cost": None},
        {"cost": {"inner_steps": -5}},
        {"config_hash": "another"},
    ],
    ids=str,
)
def test_a_checkpoint_that_no_run_wrote_is_not_gone_on_from(results: Path, damage: dict[str, Any]) -> None:
    files, record = interrupted(results)
    sound = {"config_hash": record.config_hash, "clock": {}, "cost": {}, "reports": 0, "state": {}}
    torch.save({**sound, **damage}, files.folder / CHECKPOINT_FILE)
    assert run_suite(SUITE, results, isolate=False).exit_code == 0
    again = files.record()
    assert again is not None
    assert (again.status, again.resumed) == ("complete", 0)


# ----------------------------------------------------------------------------------------------- names


def with_names(**names: str) -> Suite:
    problem = SUITE["problems"]["tiny"]
    return Suite.from_dict(
        {
            **SUITE,
            "name": names.get("suite", "tiny"),
            "problems": {names.get("problem", "tiny"): problem},
            "methods": {names.get("method", "m"): {"adapter": "random_search"}},
        }
    )


NAMES = [
    "", ".", "..", "../x", "a/b", "/etc", "a\\b", "C:x", "a\0b", "a\nb", ".hidden", "x" * 101, "~",
    "ａ", "e\u0301", "a\u202eb", "a\u2215b", "a\u2024\u2024", " a", "a ",
    "CON", "con", "nul", "Aux.txt", "COM1", "lpt9.json", "PRN", "a.", "a..",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["suite", "problem", "method"])
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_that_some_system_would_take_for_another_place_is_refused(kind: str, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a folder"):
        with_names(**{kind: name})


@given(st.text(max_size=12) | st.from_regex(r"\A[A-Za-z0-9._/\\-]{1,12}\Z"))
def test_whatever_name_is_accepted_is_one_folder_inside_the_results(name: str) -> None:
    try:
        (made,) = with_names(problem=name, method=name).cells(seeds=[0])
    except InputError:
        return
    root = Path("/results")
    folder = files_of_cell(root, made.problem, made.method, made.seed).folder
    assert os.path.normpath(folder) == str(folder)
    assert folder.relative_to(root).parts == ("cells", name, name, "seed-0")


# ----------------------------------------------------------------------------------------------- links


def link_seed(results: Path, other: Path) -> None:
    (results / "cells" / "tiny" / "fds" / "seed-9").symlink_to(cell(other))


def link_method(results: Path, other: Path) -> None:
    (results / "cells" / "tiny" / "linked").symlink_to(other / "cells" / "tiny" / "fds")


def link_problem(results: Path, other: Path) -> None:
    (results / "cells" / "linked").symlink_to(other / "cells" / "tiny")


@pytest.mark.parametrize("link", [link_seed, link_method, link_problem])
def test_links_among_the_cells_are_not_followed(
    results: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    other = copy_of_results(tmp_path / "other")
    sound, runs = len(load_results(results)), len(load_runs(results))
    link(results, other)
    assert (len(load_results(results)), len(load_runs(results))) == (sound, runs)
    assert export(results, tmp_path / "out.csv") == sound
    assert merge([results], tmp_path / "merged").cells == runs
    assert verify(tmp_path / "merged").findings == []
    assert any("a link" in str(finding) for finding in verify(results).findings)


@pytest.mark.parametrize(
    "place",
    [
        "cells",
        "cells/tiny",
        "cells/tiny/fds",
        "cells/tiny/fds/seed-0",
        "cells/tiny/fds/seed-0/trace.jsonl",
        "cells/tiny/fds/seed-0/checkpoint.pt",
        "cells/tiny/fds/seed-0/lock",
        "cells/tiny/fds/seed-0/output.txt",
    ],
)
@pytest.mark.parametrize("isolate", [False, True])
def test_a_run_refuses_a_link_where_it_would_write_and_names_it(
    results: Path, tmp_path: Path, place: str, isolate: bool
) -> None:
    """Nobody who reads the folder would see what is behind it."""
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "moved"
    path = results / place
    if path.exists():
        shutil.move(path, moved)
    else:
        moved.write_text("precious")
    path.symlink_to(moved)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for act in (plan, lambda *what: run_suite(*what, isolate=isolate)):
        with pytest.raises(InputError) as error:
            act(Suite.from_dict({**SUITE, "seeds": [0, 1, 2]}), results)
        assert str(error.value).startswith(f"{path}: a link, ")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_results_folder_may_itself_be_reached_by_a_link(results: Path, tmp_path: Path) -> None:
    (tmp_path / "near").symlink_to(results)
    summary = run_suite(SUITE, tmp_path / "near", isolate=False)
    assert {result.verdict for result in summary.results} == {"complete before"}


def test_a_lock_that_is_a_link_empties_no_file(results: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    lock = cell(results) / "lock"
    lock.unlink(missing_ok=True)
    lock.symlink_to(precious)
    with pytest.raises(InputError, match="a link in the place of a lock"):
        pack(results)
    assert precious.read_text() == "kept"


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def link_to_nothing(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("nothing"))


def link_to_itself(path: Path, target: Path) -> None:
    path.symlink_to(path)


def folder(path: Path, target: Path) -> None:
    path.mkdir()


def pipe(path: Path, target: Path) -> None:
    os.mkfifo(path)  # to open it would be to wait for ever


@pytest.mark.parametrize("name", ["run.json", "trace.jsonl"])
@pytest.mark.parametrize("put", [link, link_to_nothing, link_to_itself, folder, pipe])
def test_what_stands_in_place_of_a_record_is_not_read(
    results: Path, tmp_path: Path, name: str, put: Callable[[Path, Path], None]
) -> None:
    other = copy_of_results(tmp_path / "other")
    path = cell(results) / name
    path.unlink()
    put(path, cell(other) / name)
    for read in (load_results, load_runs, lambda folder: export(folder, tmp_path / "out.csv")):
        with pytest.raises(InputError, match=f"{name}: a link, a folder or the like"):
            read(results)
    assert not (tmp_path / "out.csv").exists()
    found = [str(finding) for finding in verify(results).findings if finding.level == "error"]
    assert any(name in finding for finding in found)
    with pytest.raises(InputError, match="a link, a folder or the like"):
        merge([results], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_cells_that_lie_elsewhere_are_not_followed(results: Path, tmp_path: Path) -> None:
    shutil.move(results / "cells", tmp_path / "elsewhere")
    (results / "cells").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="cells: a link, which is not followed"):
        load_results(results)
    with pytest.raises(InputError, match="cells: a link, which is not followed"):
        merge([results], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert not verify(results).sound


# -------------------------------------------------------------------------------------------- commands


def test_the_one_program_that_is_called_is_git_without_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[Any, dict[str, Any]]] = []
    real = subprocess.run

    def spy(command: Any, **options: Any) -> Any:
        called.append((command, options))
        return real(command, **options)

    monkeypatch.setattr(machine.subprocess, "run", spy)
    machine.describe_commit()
    assert called
    for command, options in called:
        assert isinstance(command, list)
        assert command[0] == "git"
        assert not options.get("shell")


@pytest.mark.parametrize(
    "text", ["$(touch mark)", "; touch mark", "`touch mark`", "| touch mark", "a & touch mark"]
)
def test_text_of_a_suite_reaches_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    for change in (
        {"device": text},
        {"problems": {"p": {**SUITE["problems"]["tiny"], "dataset": text}}},
        {"problems": {"p": {**SUITE["problems"]["tiny"], "model": f"{text}.py:f"}}},
        {"methods": {"m": {"adapter": f"{text}.py:M"}}},
    ):
        with pytest.raises(InputError):
            run_suite({**SUITE, **change}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
