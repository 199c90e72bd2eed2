"""Packed without values of each step: a greedy method's record at a fraction of its size, which says so."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
import real_run
from hpobench_fds.benchmarks.transfer.retrainings import answers_of

from hpobench_fds.errors import InputError
from hpobench_fds.records import pack as packing
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.frames import load_results, load_retrained, load_runs
from hpobench_fds.records.pack import pack
from hpobench_fds.records.parsing import trace_digest
from hpobench_fds.records.verify import verify
from hpobench_fds.run.retraining import referee_folder
from hpobench_fds.run.suite_run import run_suite

SUITE = real_run.SUITE | {"name": "greedy", "seeds": [0], "methods": {"hd": {}, "fds": {}}}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("greedy") / "out"
    assert run_suite(SUITE, folder).exit_code == 0
    return folder


@pytest.fixture
def results(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "out")
    return tmp_path / "out"


def cell(folder: Path, method: str = "hd") -> Path:
    return real_run.cell(folder, method)


def record(folder: Path, method: str = "hd") -> dict[str, str | None]:
    found = CellFiles(cell(folder, method)).record()
    assert found is not None
    return {"whole": found.whole_trace_sha256, "trace": found.trace_sha256}


def trace_of(folder: Path, method: str = "hd") -> bytes:
    return gzip.decompress((cell(folder, method) / "trace.jsonl.gz").read_bytes())


@pytest.mark.parametrize("before", [False, True], ids=["plain", "packed before"])
def test_all_but_the_values_is_as_it_was(results: Path, *, before: bool) -> None:
    reports, runs, retrained = load_results(results), load_runs(results), load_retrained(results)
    whole = (cell(results) / "trace.jsonl").read_bytes()
    if before:
        pack(results)
    assert pack(results, values=False).cells == (1 if before else 2)
    told = [json.loads(line) for line in trace_of(results).splitlines()]
    was = [json.loads(line) for line in whole.splitlines()]
    assert any(line["values"] for line in was)
    assert told == [line | {"values": None} for line in was]
    assert record(results) == {"whole": trace_digest(whole), "trace": trace_digest(trace_of(results))}
    assert record(results, "fds")["whole"] is None  # it has no such values
    assert load_results(results).equals(reports)
    assert load_runs(results).equals(runs)
    assert load_retrained(results).equals(retrained)
    assert verify(results).findings == []
    assert pack(results, values=False).cells == pack(results).cells == 0


def test_it_cannot_be_trained_again_and_says_so(results: Path) -> None:
    assert len(answers_of(results, "tiny")) == 2
    pack(results, values=False)
    for again in (lambda: referee_folder(results, draws=2), lambda: answers_of(results, "tiny")):
        with pytest.raises(InputError, match="values of each step were left out when it was packed"):
            again()


@pytest.mark.parametrize("at", range(4))
def test_killed_at_any_write_it_is_gone_on_from(
    results: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Its writes: the record, the packed trace, the end of the plain one, the record."""
    reports, done = load_results(results), iter(range(9))

    def dying(call):  # type: ignore[no-untyped-def]
        def wrapped(*arguments, **named):  # type: ignore[no-untyped-def]
            if next(done) == at:
                raise KeyboardInterrupt
            return call(*arguments, **named)

        return wrapped

    shutil.rmtree(cell(results, "fds"))
    with monkeypatch.context() as patched:
        patched.setattr(CellFiles, "write_record", dying(CellFiles.write_record))
        patched.setattr(packing, "write_atomic", dying(packing.write_atomic))
        patched.setattr(Path, "unlink", dying(Path.unlink))
        patched.setattr(CellFiles, "drop_checkpoint", lambda files: None)
        with pytest.raises(KeyboardInterrupt):
            pack(results, values=False)
    pack(results, values=False)
    assert verify(results).findings == []
    assert record(results)["whole"] not in (None, record(results)["trace"])
    assert b'"values":[' not in trace_of(results)
    own = reports[reports["method"] == "hd"].reset_index(drop=True)
    assert load_results(results).reset_index(drop=True)["val_loss"].equals(own["val_loss"])


def test_an_edited_trace_is_not_packed(results: Path) -> None:
    pack(results, values=False)
    path = cell(results) / "trace.jsonl.gz"
    path.write_bytes(gzip.compress(trace_of(results).replace(b'"report":1,', b'"report":2,')))
    with pytest.raises(InputError, match="the trace is not the one that was recorded"):
        pack(results, values=False)
