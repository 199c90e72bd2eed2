"""Packed traces: a third of the size, read by everything as before."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hpobench_fds.analysis import loading
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records import cell_files
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.export import merge
from hpobench_fds.records.frames import load_results, load_retrained, load_runs
from hpobench_fds.records.pack import pack
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


def test_everything_reads_them_as_before(results: Path, tmp_path: Path) -> None:
    reports, runs, retrained = load_results(results), load_runs(results), load_retrained(results)
    loaded = loading.load(results).reports
    packed = pack(results)
    assert packed.cells == 4
    assert 0 < packed.after < packed.before
    assert not list(results.rglob("trace.jsonl"))
    assert len(list(results.rglob("trace.jsonl.gz"))) == 4
    assert load_results(results).equals(reports)
    assert load_runs(results).equals(runs)
    assert load_retrained(results).equals(retrained)
    assert loading.load(results).reports.equals(loaded)
    assert verify(results).findings == []
    merge([results], tmp_path / "merged")
    assert load_results(tmp_path / "merged").equals(reports)
    assert load_retrained(tmp_path / "merged").equals(retrained)
    assert verify(tmp_path / "merged").findings == []


def test_the_suite_run_again_finds_them_complete(results: Path) -> None:
    pack(results)
    assert run_suite(SUITE, results).count("complete before") == 4


def test_twice_is_once_and_the_bytes_are_always_the_same(results: Path, tmp_path: Path) -> None:
    other = copy_of_results(tmp_path / "other")
    pack(results)
    before = (cell(results) / "trace.jsonl.gz").read_bytes()
    assert pack(results).cells == 0
    pack(other)
    assert (cell(results) / "trace.jsonl.gz").read_bytes() == before
    assert (cell(other) / "trace.jsonl.gz").read_bytes() == before


def test_runs_that_may_go_on_and_those_that_a_runner_has_are_left_alone(results: Path) -> None:
    files = CellFiles(cell(results))
    record = files.record()
    assert record is not None
    record.status = "failed"
    files.write_record(record)
    with CellFiles(cell(results, "fds")).lock():
        assert pack(results).cells == 2
    assert (cell(results) / "trace.jsonl").exists()
    assert (cell(results, "fds") / "trace.jsonl").exists()


def test_an_edited_trace_is_not_packed(results: Path) -> None:
    with (cell(results) / "trace.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="the trace is not the one that was recorded"):
        pack(results)
    assert (cell(results) / "trace.jsonl").exists()


def test_killed_between_its_two_steps_the_plain_trace_is_read(results: Path) -> None:
    reports = load_results(results)
    (cell(results) / "trace.jsonl.gz").write_bytes(gzip.compress(b"half"))
    assert load_results(results).equals(reports)
    assert verify(results).sound
    assert pack(results).cells == 4
    assert load_results(results).equals(reports)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{}\n" * 99)[:-9], b"\x1f\x8b"],
    ids=["empty", "no gzip", "cut short", "two bytes"],  # gzip's own bytes hold the time
)
def test_a_damaged_one_is_named(results: Path, content: bytes) -> None:
    pack(results)
    (cell(results) / "trace.jsonl.gz").write_bytes(content)
    if content:
        with pytest.raises(InputError, match=r"trace.jsonl.gz: cannot be unpacked"):
            load_results(results)
    assert not verify(results).sound


def test_a_small_file_that_holds_too_much_is_refused(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(results)
    monkeypatch.setattr(cell_files, "MOST_UNPACKED", 10_000)
    (cell(results) / "trace.jsonl.gz").write_bytes(gzip.compress(b"\n" * 20_000))
    with pytest.raises(InputError, match=r"trace.jsonl.gz: holds more than 10000 bytes"):
        load_results(results)


def test_a_packed_one_that_was_edited_is_found(results: Path) -> None:
    pack(results)
    path = cell(results) / "trace.jsonl.gz"
    path.write_bytes(
        gzip.compress(gzip.decompress(path.read_bytes()).replace(b'"report":1,', b'"report": 1,'))
    )
    assert [str(f) for f in verify(results).findings if "edited" in str(f)]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        pack(tmp_path)
