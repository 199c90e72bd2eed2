"""One broken record costs its own cell and no more; what is left is drawn, what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from fabricate import Results, write_folder
from hpobench_fds.analysis import figures, loading

from hpobench_fds.errors import InputError
from hpobench_fds.records.frames import load_results, load_runs


@pytest.fixture
def folder(tmp_path: Path, results: Results) -> Path:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.5), (2, 0.9)]).add("tpe", seed, [(20, 0.5), (40, 0.9)])
    return write_folder(results, tmp_path / "out")


def test_a_whole_folder_is_what_the_store_loads(folder: Path) -> None:
    loaded = loading.load(folder)
    pd.testing.assert_frame_equal(loaded.reports, load_results(folder))
    stored = load_runs(folder)
    pd.testing.assert_frame_equal(loaded.runs[stored.columns], stored)
    assert set(loaded.runs["initial"]) == {(0.0, 0.0, 0.0, 0.0)}
    assert set(loaded.runs["classes"]) == {10.0}
    assert set(loaded.runs["commit"]) == {"0123456789abcdef"}
    assert loaded.runs["targets"].isna().all()
    assert loaded.unreadable == {}
    assert loaded.suite["name"] == "made"


@pytest.mark.parametrize(
    ("name", "content"),
    [("run.json", "{"), ("run.json", '{"schema_version": 99}'), ("trace.jsonl", "[1, 2]\n")],
)
def test_a_broken_cell_is_named_and_the_others_are_loaded(folder: Path, name: str, content: str) -> None:
    (folder / "cells/digits/tpe/seed-1" / name).write_text(content)
    loaded = loading.load(folder)
    assert len(loaded.runs) == 5
    assert list(loaded.unreadable) == ["digits/tpe/seed-1"]
    (reason,) = loaded.unreadable.values()
    assert name in reason
    assert "/tmp" not in reason


def test_mixed_schemas_are_drawn_as_far_as_they_are_known(folder: Path) -> None:
    path = folder / "cells/digits/fds/seed-2/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    drawn = figures.draw_all(folder, only=["anytime", "speedup"], formats=("png",))
    assert set(drawn.captions) == {"anytime", "speedup"}
    assert "n = 2 to 3 seeds" in drawn.captions["anytime"]
    assert "99" in drawn.skipped["the cell digits/fds/seed-2"]


def test_nothing_readable_is_a_line(folder: Path) -> None:
    for path in folder.glob("cells/*/*/*/run.json"):
        path.write_text("{")
    with pytest.raises(InputError, match="none of its 6 cells can be read: digits/fds/seed-0"):
        loading.load(folder)
    with pytest.raises(InputError, match=r"suite\.json"):
        loading.load(folder / "cells")


def test_machines_are_told_apart_and_counted(folder: Path) -> None:
    path = folder / "cells/digits/fds/seed-2/run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"device": {"kind": "cuda", "name": "a big card"}, "jobs": 4}))
    (common, five), (other, single) = loading.machines(folder)
    assert (five, single) == (5, 1)
    assert common["device"] == "cpu a made-up processor"
    assert common["threads"] == "1"
    assert (other["device"], other["cells at a time"]) == ("cuda a big card", "4")
    assert common["commit"] == "0123456789abcdef"
