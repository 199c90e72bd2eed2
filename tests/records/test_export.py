"""Results in other shapes: tables read back equal, merged folders hold every cell once."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.export import export, merge
from hpobench_fds.records.frames import load_results, load_retrained, load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "a")


def test_parquet_holds_the_frame_of_reports(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    frame = load_results(results)
    assert export(results, out) == len(frame) == 16
    again = pd.read_parquet(out)
    assert list(again) == list(frame)
    assert again["schedule"].map(list).tolist() == frame["schedule"].tolist()
    assert again["extra"].map(json.loads).tolist() == frame["extra"].tolist()
    assert again["val_loss"].tolist() == frame["val_loss"].tolist()


def test_csv_holds_lists_as_json(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    export(results, out)
    again, frame = pd.read_csv(out), load_results(results)
    assert again["schedule"].map(json.loads).tolist() == frame["schedule"].tolist()
    assert again["seconds"].tolist() == pytest.approx(frame["seconds"].tolist(), rel=1e-12)


def test_json_in_tables_is_json(results: Path, tmp_path: Path) -> None:
    path = cell(results) / "trace.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    data = {**json.loads(first), "hypergradient": ["Infinity", 1.5], "extra": {"step": "NaN"}}
    path.write_text(json.dumps(data) + "\n" + "".join(rest))

    def strict(text: str) -> Any:
        return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    export(results, tmp_path / "out.csv")
    again = pd.read_csv(tmp_path / "out.csv")
    (row,) = again[(again["method"] == "random_search") & (again["seed"] == 0) & (again["report"] == 0)].index
    assert strict(again["hypergradient"][row]) == ["Infinity", 1.5]
    assert again["extra"].map(strict)[row] == {"step": "NaN"}
    export(results, tmp_path / "out.parquet")
    again = pd.read_parquet(tmp_path / "out.parquet")
    assert again["hypergradient"][row].tolist() == [math.inf, 1.5]
    assert strict(again["extra"][row]) == {"step": "NaN"}


def test_records_that_fit_no_table_are_an_input_error(results: Path, tmp_path: Path) -> None:
    path = cell(results) / "trace.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(first), "schedule": "high"}) + "\n" + "".join(rest))
    with pytest.raises(InputError, match="do not fit into one table"):
        export(results, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_row_a_run(results: Path, tmp_path: Path) -> None:
    assert export(results, tmp_path / "runs.csv", table="runs") == 4
    again = pd.read_csv(tmp_path / "runs.csv")
    assert again["final_test_metric"].tolist() == load_runs(results)["final_test_metric"].tolist()


def test_a_row_a_retraining(tmp_path: Path) -> None:
    data = {**SUITE, "seeds": [0], "referee": {"draws": 2, "points": 2}}
    run_suite(data, tmp_path / "out", methods="random_search")
    frame = load_retrained(tmp_path / "out")
    assert export(tmp_path / "out", tmp_path / "all.csv", table="retrained") == len(frame) >= 2
    again = pd.read_csv(tmp_path / "all.csv", float_precision="round_trip")  # pandas' own is an ulp off
    assert again["test_metric"].tolist() == frame["test_metric"].tolist()
    assert again["draw"].tolist() == frame["draw"].tolist()


def test_a_file_that_is_there_is_kept_unless_forced(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    with pytest.raises(InputError, match="--force"):
        export(results, out)
    assert out.read_text() == "precious"
    export(results, out, force=True)
    assert len(pd.read_csv(out)) == 16


@pytest.mark.parametrize("name", ["out.xlsx", "out"])
def test_another_suffix_is_refused(results: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"allowed: \.parquet, \.csv"):
        export(results, tmp_path / name)
    assert not (tmp_path / name).exists()


def keep(folder: Path, *cells: tuple[str, int]) -> None:
    """Remove all cells but these."""
    for path in (folder / "cells" / "tiny").glob("*/seed-*"):
        if (path.parent.name, int(path.name.removeprefix("seed-"))) not in cells:
            shutil.rmtree(path)


def change(folder: Path, **changes: Any) -> None:
    files = CellFiles(cell(folder))
    record = files.record()
    assert record is not None
    files.write_record(record.model_copy(update=changes))


def test_parts_make_the_whole(results: Path, tmp_path: Path) -> None:
    other = copy_of_results(tmp_path / "b")
    keep(results, ("fds", 0), ("fds", 1))
    keep(other, ("random_search", 0), ("random_search", 1))
    merged = merge([results, other], tmp_path / "whole")
    assert (merged.cells, merged.twice, merged.warnings) == (4, 0, [])
    assert verify(tmp_path / "whole").findings == []
    whole = copy_of_results(tmp_path / "c")
    pd.testing.assert_frame_equal(load_results(tmp_path / "whole"), load_results(whole))


def test_the_same_cell_twice_is_kept_once(results: Path, tmp_path: Path) -> None:
    merged = merge([results, copy_of_results(tmp_path / "b")], tmp_path / "whole")
    assert (merged.cells, merged.twice) == (4, 4)


@pytest.mark.parametrize("order", [1, -1])
def test_a_finished_run_goes_before_an_unfinished_one(results: Path, tmp_path: Path, order: int) -> None:
    other = copy_of_results(tmp_path / "b")
    change(other, status="interrupted", finished=None, final=None)
    merge([results, other][::order], tmp_path / "whole")
    record = CellFiles(cell(tmp_path / "whole")).record()
    assert record is not None
    assert record.status == "complete"


def test_two_different_results_of_a_cell_are_refused_unless_one_is_preferred(
    results: Path, tmp_path: Path
) -> None:
    other = copy_of_results(tmp_path / "b")
    change(other, jobs=5)
    with pytest.raises(InputError, match=r"random_search/seed-0.*--prefer first or last"):
        merge([results, other], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    for prefer, jobs in (("first", 1), ("last", 5)):
        merge([results, other], tmp_path / prefer, prefer=prefer)  # type: ignore[arg-type]
        record = CellFiles(cell(tmp_path / prefer)).record()
        assert record is not None
        assert record.jobs == jobs


def test_traces_that_differ_are_two_results_though_their_records_are_the_same(
    results: Path, tmp_path: Path
) -> None:
    other = copy_of_results(tmp_path / "b")
    for folder in (results, other):  # as records were before they had digests
        path = cell(folder) / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "digest": None, "trace_sha256": None}))
    trace = cell(other) / "trace.jsonl"
    trace.write_text(trace.read_text().replace('"fidelity":1.0', '"fidelity":0.5', 1))
    with pytest.raises(InputError, match="--prefer first or last"):
        merge([results, other], tmp_path / "whole")


def test_a_killed_run_keeps_its_checkpoint(results: Path, tmp_path: Path) -> None:
    (cell(results) / "checkpoint.pt").write_bytes(b"state")
    (cell(results, seed=1) / "checkpoint.pt").write_bytes(b"left behind")
    change(results, status="failed", reason="killed: over the wall limit of 1 s")
    merge([results], tmp_path / "whole")
    assert (cell(tmp_path / "whole") / "checkpoint.pt").read_bytes() == b"state"
    assert not (cell(tmp_path / "whole", seed=1) / "checkpoint.pt").exists()


def test_contradicting_suites_are_refused_and_nothing_is_left(results: Path, tmp_path: Path) -> None:
    other = copy_of_results(tmp_path / "b")
    suite = json.loads((other / "suite.json").read_text())
    suite["problems"]["tiny"]["config"]["horizon"] = 11
    (other / "suite.json").write_text(json.dumps(suite))
    with pytest.raises(InputError, match=r"horizon was 10, is 11"):
        merge([results, other], tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_with_something_in_it_is_not_written_to(results: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "mine").write_text("precious")
    with pytest.raises(InputError, match="something already"):
        merge([results], tmp_path / "whole")
    assert (tmp_path / "whole" / "mine").read_text() == "precious"


def test_links_are_not_followed(results: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.symlink(secret, cell(results) / "error.txt")
    os.symlink(cell(results), results / "cells" / "tiny" / "random_search" / "seed-9")
    merge([results], tmp_path / "whole")
    assert not (cell(tmp_path / "whole") / "error.txt").exists()
    assert not cell(tmp_path / "whole", seed=9).exists()


def test_runs_of_different_devices_are_warned_of(results: Path, tmp_path: Path) -> None:
    other = copy_of_results(tmp_path / "b")
    keep(results, ("fds", 0))
    keep(other, ("random_search", 0))
    change(other, device={"kind": "cpu", "name": "another machine"})
    (warning,) = merge([results, other], tmp_path / "whole").warnings
    assert "another machine" in warning
