"""Results on disk: nothing half written, nothing of another suite touched, everything read back."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.records import folder as folder_module
from hpobench_fds.records import safe_files
from hpobench_fds.records.cell_files import CellFiles, Held
from hpobench_fds.records.folder import ResultsFolder, cell_folders
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.safe_files import write_atomic
from hpobench_fds.records.schema import (
    REPORT_COLUMNS,
    RUN_COLUMNS,
    TRAITS,
    CostRecord,
    FinalRecord,
    ReportRecord,
    RunRecord,
)

SUITE = {
    "name": "tiny",
    "seeds": [0],
    "problems": {"p": {"config": {"horizon": 5}, "budget": {"seconds": 1}}},
    "methods": {"m": {"adapter": "m", "options": {"width": 3}}},
}


def report(index: int = 0, **changes: Any) -> ReportRecord:
    values: dict[str, Any] = {
        "report": index,
        "seconds": index + 0.5,
        "cost": CostRecord(inner_steps=10 * (index + 1), gradient_equivalents=12.5, products=3),
        "schedule": [0.1, -0.25],
        "val_loss": 1.0 / (index + 1),
        "val_metric": 0.5,
        "incumbent": True,
        "test_loss": 0.75,
        "test_metric": 0.625,
    }
    return ReportRecord(**{**values, **changes})


def run_record(**changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "suite": "tiny",
        "problem": "p",
        "method": "m",
        "adapter": "m",
        "family": "black box",
        "seed": 0,
        "options": {},
        "problem_config": {},
        "schedule_names": ["lr[0]", "lr[1]"],
        "budget": {"seconds": 10.0, "steps": None},
        "config_hash": "abc",
        "status": "complete",
        "device": {"name": "a device"},
    }
    return RunRecord(**{**values, **changes})


@pytest.fixture
def store(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "out", SUITE)


@pytest.fixture
def cell(store: ResultsFolder) -> CellFiles:
    cell = store.cell("p", "m", 0)
    cell.lock().release()
    return cell


# -------------------------------------------------------------------------------------- writing safely


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]  # and no litter


def test_a_reader_in_the_middle_of_a_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"old old")
    with path.open("rb", buffering=0) as reader:  # a buffer would hold the old file already
        assert reader.read(3) == b"old"
        write_atomic(path, b"new new")
        assert reader.read() == b" old"  # written over in place, this would be a mixture
    assert path.read_bytes() == b"new new"


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"old")
    code = (
        "import os, sys; from pathlib import Path; from hpobench_fds.records.safe_files import write_atomic\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "write_atomic(Path(sys.argv[1]), b'new' * 100_000)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 9
    assert path.read_bytes() == b"old"


def test_reports_are_on_disk_as_soon_as_they_are_added(cell: CellFiles) -> None:
    for index in range(3):
        cell.append(report(index))
        assert len((cell.folder / "trace.jsonl").read_bytes().splitlines()) == index + 1
    assert cell.reports() == [report(0), report(1), report(2)]


def test_half_a_last_line_is_dropped(cell: CellFiles) -> None:
    cell.append(report(0))
    cell.append(report(1))
    trace = cell.folder / "trace.jsonl"
    whole = trace.read_bytes()
    for cut in (1, 20, len(whole.splitlines()[1])):
        trace.write_bytes(whole[:-cut])
        assert cell.reports() == [report(0)]
    cell.keep_reports(5)  # going on: the half line goes, the whole one stays
    cell.append(report(7))
    assert cell.reports() == [report(0), report(7)]


def test_going_on_drops_what_the_checkpoint_does_not_cover(cell: CellFiles) -> None:
    for index in range(4):
        cell.append(report(index))
    cell.keep_reports(2)
    assert cell.reports() == [report(0), report(1)]
    cell.keep_reports(0)
    assert cell.reports() == []


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(cell: CellFiles) -> None:
    cell.append(report(0))
    with (cell.folder / "trace.jsonl").open("a") as file:
        file.write("{broken\n")
    cell.append(report(1))
    with pytest.raises(InputError, match=r"trace\.jsonl: line 2 is no report"):
        cell.reports()


def test_what_is_not_finite_reads_back_as_it_was(cell: CellFiles) -> None:
    written = report(0, val_loss=math.inf, hypergradient=[math.inf, -math.inf, 1.0], extra={"a": [math.inf]})
    cell.append(written)
    assert cell.reports() == [written]
    cell.append(report(1, val_loss=math.nan, extra={"Infinity": 'said "NaN" twice', "a": '"NaN'}))
    read = cell.reports()[1]
    assert math.isnan(read.val_loss)
    assert read.extra == {"Infinity": 'said "NaN" twice', "a": '"NaN'}


def test_a_run_record_reads_back(cell: CellFiles) -> None:
    assert cell.record() is None
    record = run_record(final=FinalRecord(test_loss=math.inf, test_metric=0.1))
    cell.write_record(record)
    assert cell.record() == record


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]"])
def test_a_broken_run_record_is_named(cell: CellFiles, content: bytes) -> None:
    (cell.folder / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json: no run record"):
        cell.record()


# ------------------------------------------------------------------------------- several on one folder

OPEN = """
import json, sys, time
from pathlib import Path
from hpobench_fds.records.folder import ResultsFolder
folder, seed, begin, suite = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4])
time.sleep(max(0.0, begin - time.time()))
ResultsFolder(folder, {**suite, "seeds": [seed]})
"""


def seeds_of(folder: Path) -> list[int]:
    return list(json.loads((folder / "suite.json").read_text())["seeds"])


def test_runners_that_open_one_folder_at_once_all_find_their_part_in_it(tmp_path: Path) -> None:
    for turn in range(5):
        folder, gate = tmp_path / str(turn), threading.Barrier(16)

        def join(seed: int, folder: Path = folder, gate: threading.Barrier = gate) -> None:
            gate.wait()
            ResultsFolder(folder, {**SUITE, "seeds": [seed]})

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(join, range(16)))
        assert seeds_of(folder) == list(range(16))
        assert not list(folder.glob(".*.tmp"))


@pytest.mark.slow
def test_forty_processes_that_open_one_folder_at_once_lose_nothing(tmp_path: Path) -> None:
    for turn in range(10):
        folder, begin = tmp_path / str(turn), time.time() + 6  # by when all are there
        runners = [
            subprocess.Popen(
                [sys.executable, "-c", OPEN, str(folder), str(seed), str(begin), json.dumps(SUITE)]
            )
            for seed in range(40)
        ]
        assert [runner.wait(timeout=120) for runner in runners] == [0] * 40
        assert seeds_of(folder) == list(range(40))


def test_what_another_runner_adds_while_this_one_looks_is_kept(
    store: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = folder_module.locked

    def late(path: Path) -> Any:
        monkeypatch.setattr(folder_module, "locked", locked)
        ResultsFolder(store.folder, {**SUITE, "seeds": [7]})
        return locked(path)

    monkeypatch.setattr(folder_module, "locked", late)
    ResultsFolder(store.folder, {**SUITE, "seeds": [3]})
    assert seeds_of(store.folder) == [0, 3, 7]


def test_a_folder_that_a_killed_runner_had_just_begun_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".suite.json.lock").touch()
    (tmp_path / ".suite.json.0123.tmp").write_text("{")
    ResultsFolder(tmp_path, SUITE)
    assert seeds_of(tmp_path) == [0]


def test_two_writers_never_share_a_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where process ids are the same, as in two containers."""
    seen: list[str] = []
    replace = os.replace

    def note(source: Path, target: Path) -> None:
        seen.append(source.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    for _ in range(2):
        write_atomic(tmp_path / "run.json", b"{}")
    assert len(set(seen)) == 2
    assert all(name.startswith(".run.json.") and name.endswith(".tmp") for name in seen)


def test_a_lock_that_is_not_given_back_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_files, "LOCK_WAIT", 0.05)
    lock = safe_files.take_lock(tmp_path / "lock")
    with (
        pytest.raises(InputError, match="lock: held by another"),
        safe_files.locked(tmp_path / "lock"),
    ):
        raise AssertionError("two at once")
    lock.release()


# ----------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_reads_back(cell: CellFiles) -> None:
    state = {"a": torch.arange(3), "b": [1, 2.5, "c", None, True], "d": {"e": (1, 2)}}
    cell.save_checkpoint(state)
    read = cell.load_checkpoint()
    assert read is not None
    assert torch.equal(read.pop("a"), state.pop("a"))  # type: ignore[arg-type]
    assert read == state
    cell.drop_checkpoint()
    assert cell.load_checkpoint() is None


@pytest.mark.parametrize("bad", [np.float64(1.0), np.zeros(2), object(), Path(), {1, 2}])
def test_what_could_not_be_read_back_without_running_code_is_refused(cell: CellFiles, bad: object) -> None:
    with pytest.raises(TypeError, match=r"state\['a'\]\[1\] is a .*, not plain data"):
        cell.save_checkpoint({"a": [0, bad]})


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 1",)


def test_a_checkpoint_cannot_run_code(cell: CellFiles) -> None:
    torch.save({"a": Malicious()}, cell.folder / "checkpoint.pt")
    assert cell.load_checkpoint() is None


def test_a_broken_checkpoint_is_no_checkpoint(cell: CellFiles) -> None:
    cell.save_checkpoint({"a": 1})
    path = cell.folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:100])
    assert cell.load_checkpoint() is None


def test_a_cell_is_held_by_one_runner_at_a_time(store: ResultsFolder) -> None:
    first = store.cell("p", "m", 1).lock()
    with pytest.raises(Held):
        store.cell("p", "m", 1).lock()
    store.cell("p", "m", 2).lock().release()
    first.release()
    store.cell("p", "m", 1).lock().release()


# ---------------------------------------------------------------------------------------- whose folder


def changed(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(SUITE))
    for key, value in changes.items():
        *path, last = key.split("__")
        table = data
        for part in path:
            table = table[part]
        table[last] = value
    return data


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (changed(name="other"), "holds the suite 'tiny', not 'other'"),
        (changed(problems__p__config__horizon=6), "problems.p.config.horizon was 5, is 6"),
        (changed(problems__p__budget__seconds=2), "problems.p.budget.seconds was 1, is 2"),
        (changed(methods__m__options__width=4), "methods.m.options.width was 3, is 4"),
        (changed(methods__m__options__new=4), "methods.m.options.new was null, is 4"),
    ],
)
def test_a_folder_of_another_suite_is_refused_and_left_as_it_is(
    store: ResultsFolder, other: dict[str, Any], said: str
) -> None:
    before = (store.folder / "suite.json").read_bytes()
    with pytest.raises(InputError) as error:
        ResultsFolder(store.folder, other)
    assert said in str(error.value)
    assert str(store.folder) in str(error.value)
    assert (store.folder / "suite.json").read_bytes() == before


def test_a_suite_that_has_grown_is_the_same_suite(store: ResultsFolder) -> None:
    grown = changed(seeds=[0, 1])
    grown["methods"]["n"] = {"adapter": "n", "options": {}}
    ResultsFolder(store.folder, grown)
    ResultsFolder(store.folder, SUITE)  # a part of it is still the same suite, and nothing is forgotten
    kept = json.loads((store.folder / "suite.json").read_text())
    assert kept["seeds"] == [0, 1]
    assert set(kept["methods"]) == {"m", "n"}


def test_checking_writes_nothing(tmp_path: Path) -> None:
    ResultsFolder.check(tmp_path / "new", SUITE)
    assert not (tmp_path / "new").exists()


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"holds other files and no suite\.json"):
        ResultsFolder(tmp_path, SUITE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        ResultsFolder(tmp_path / "out", SUITE)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert ResultsFolder(tmp_path / "out", SUITE).folder.joinpath("suite.json").exists()


def test_a_folder_of_a_newer_version_is_refused(store: ResultsFolder) -> None:
    path = store.folder / "suite.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(InputError, match="newer version: schema 99"):
        ResultsFolder(store.folder, SUITE)


# -------------------------------------------------------------------------------------- reading it all


def fill(
    store: ResultsFolder, method: str, seed: int, reports: list[ReportRecord], **changes: Any
) -> CellFiles:
    cell = store.cell("p", method, seed)
    cell.folder.mkdir(parents=True)
    cell.write_record(run_record(method=method, seed=seed, reports=len(reports), **changes))
    for line in reports:
        cell.append(line)
    return cell


def test_the_frame_of_reports_holds_every_report(store: ResultsFolder) -> None:
    fill(store, "m", 10, [report(0)])
    fill(store, "m", 2, [report(0), report(1, val_loss=math.inf, incumbent=False, test_loss=None)])
    fill(store, "a", 0, [report(0, hypergradient=[1.0, math.inf], extra={"k": 1})], family="gradient")
    frame = load_results(store.folder)
    assert list(frame.columns) == REPORT_COLUMNS
    assert frame[["method", "seed", "report"]].to_numpy().tolist() == [
        ["a", 0, 0],
        ["m", 2, 0],
        ["m", 2, 1],
        ["m", 10, 0],
    ]
    assert frame["val_loss"].tolist() == [1.0, 1.0, math.inf, 1.0]
    assert math.isnan(frame["test_loss"][2])
    assert frame["incumbent"].dtype == bool
    assert frame["hypergradient"].tolist() == [[1.0, math.inf], None, None, None]
    assert frame["schedule"][0] == [0.1, -0.25]
    assert frame["schedule_names"][3] == ["lr[0]", "lr[1]"]
    assert frame["extra"][0] == {"k": 1}
    assert frame["inner_steps"].tolist() == [10, 10, 20, 10]
    assert frame["family"].tolist() == ["gradient", "black box", "black box", "black box"]


def test_the_frame_of_runs_holds_every_run_and_its_incumbent(store: ResultsFolder) -> None:
    best = report(1, val_loss=0.25, test_metric=0.875)
    final = FinalRecord(test_loss=0.5, test_metric=0.9, last_test_metric=0.8)
    worse = report(2, incumbent=False, test_metric=None)
    fill(store, "m", 0, [report(0), best, worse], incumbent=1, final=final, stopped="budget")
    fill(store, "m", 1, [], status="failed", reason="ValueError: no")
    fill(store, "m", 2, [report(0), best, worse], status="running")  # its run.json names no incumbent yet
    frame = load_runs(store.folder)
    assert list(frame.columns) == RUN_COLUMNS
    assert frame["status"].tolist() == ["complete", "failed", "running"]
    assert frame["incumbent_val_loss"].tolist()[::2] == [0.25, 0.25]
    assert frame["incumbent_test_metric"].tolist()[::2] == [0.875, 0.875]
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first["final_test_metric"], first["last_test_metric"]) == (0.9, 0.8)
    assert math.isnan(second["final_test_metric"])
    assert second["reason"] == "ValueError: no"
    assert first["budget_seconds"] == 10
    assert math.isnan(first["budget_steps"])
    assert first["device"] == "a device"


def test_traits_and_appearance_are_columns_with_defaults(store: ResultsFolder) -> None:
    traits = {"greedy": True, "searches": False}
    fill(store, "a", 0, [report(0), report(1)], traits=traits, appearance={"label": "A", "color": None})
    final = FinalRecord(test_loss=0.5, test_metric=0.875, report=0)
    fill(store, "m", 0, [report(0)], final=final)
    reports, runs = load_results(store.folder), load_runs(store.folder)
    assert reports["greedy"].tolist() == [True, True, False]
    assert reports["searches"].tolist() == [False, False, True]
    assert runs["greedy"].tolist() == [True, False]
    assert {str(frame[name].dtype) for frame in (reports, runs) for name in TRAITS} == {"bool"}
    assert runs["label"].tolist() == ["A", None]
    assert runs[["color", "marker"]].to_numpy().tolist() == [[None, None], [None, None]]
    assert np.array_equal(runs["final_report"], [np.nan, 0.0], equal_nan=True)


@pytest.mark.parametrize(
    "changes", [{"traits": {"greedy": 1}}, {"traits": None}, {"appearance": {"label": 1}}, {"appearance": []}]
)
def test_traits_of_other_types_are_refused_in_a_line(store: ResultsFolder, changes: dict[str, Any]) -> None:
    path = fill(store, "m", 0, [report(0)]).folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    for load in (load_results, load_runs):
        with pytest.raises(InputError, match=r"run\.json: no run record"):
            load(store.folder)


def test_a_folder_without_runs_gives_empty_frames_with_all_columns(store: ResultsFolder) -> None:
    assert list(load_results(store.folder).columns) == REPORT_COLUMNS
    assert list(load_runs(store.folder).columns) == RUN_COLUMNS
    assert load_results(store.folder).empty
    assert load_runs(store.folder).empty


def test_a_half_written_last_line_does_not_hinder_reading(store: ResultsFolder) -> None:
    cell = fill(store, "m", 0, [report(0), report(1)], status="running")
    path = cell.folder / "trace.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert load_results(store.folder)["report"].tolist() == [0]
    assert load_runs(store.folder)["incumbent_val_loss"].tolist() == [1.0]


@pytest.mark.parametrize("load", [load_results, load_runs])
def test_a_folder_without_results_is_told_in_a_line(tmp_path: Path, load: Callable[[Path], object]) -> None:
    with pytest.raises(InputError, match="there is no such results folder"):
        load(tmp_path / "gone")
    with pytest.raises(InputError, match=r"not a results folder: it has no suite\.json"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", '{"suite": "tiny", "problem": "p"}'])
def test_a_foreign_run_record_is_named(store: ResultsFolder, content: str) -> None:
    cell = fill(store, "m", 0, [])
    (cell.folder / "run.json").write_text(content)
    for load in (load_results, load_runs):
        with pytest.raises(InputError, match=r"run\.json: no run record"):
            load(store.folder)


def test_a_foreign_line_is_named(store: ResultsFolder) -> None:
    cell = fill(store, "m", 0, [report(0)])
    (cell.folder / "trace.jsonl").write_text('{"foreign": 1}\n')
    with pytest.raises(InputError, match=r"trace\.jsonl: a line is no report"):
        load_results(store.folder)


def test_records_that_an_editor_saved_with_a_byte_order_mark_are_read(store: ResultsFolder) -> None:
    cell = fill(store, "m", 0, [report(0), report(1)])
    for path in (store.folder / "suite.json", cell.folder / "run.json", cell.folder / "trace.jsonl"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    ResultsFolder(store.folder, SUITE)
    assert cell.record() is not None
    assert (
        load_results(store.folder)["report"].tolist()
        == [report.report for report in cell.reports()]
        == [0, 1]
    )
    assert load_runs(store.folder)["reports"].tolist() == [2]


@pytest.mark.slow
def test_ten_thousand_cells_of_a_hundred_reports_load_in_ten_seconds(store: ResultsFolder) -> None:
    lines = b"".join(
        report(i, hypergradient=[0.1 * i] * 7, schedule=[0.1] * 7).model_dump_json().encode() + b"\n"
        for i in range(100)
    )
    for seed in range(10_000):
        cell = store.cell("p", "m", seed)
        cell.folder.mkdir(parents=True)
        (cell.folder / "run.json").write_text(run_record(seed=seed, incumbent=99).model_dump_json())
        (cell.folder / "trace.jsonl").write_bytes(lines)
    import pandas as pd  # its import is no part of loading

    for load, rows in ((load_results, 1_000_000), (load_runs, 10_000)):
        began = time.process_time()  # of this process alone, on a machine that others use too
        frame: pd.DataFrame = load(store.folder)
        taken = time.process_time() - began
        assert len(frame) == rows
        assert taken < 10, f"{load.__name__} took {taken:.1f} s"


def test_cells_come_in_an_order_that_counts(tmp_path: Path) -> None:
    names = ["w-1/a/seed-0", "w-1/a/seed-2", "w-1/a/seed-10", "w-1/k-5/seed-0", "w-1/k-12/seed-0"]
    names += ["w-9/a/seed-0", "w-27/a/seed-0", "x/a/seed-0"]
    for name in reversed(names):
        (tmp_path / "cells" / name).mkdir(parents=True)
    assert ["/".join(path.parts[-3:]) for path in cell_folders(tmp_path)] == names
