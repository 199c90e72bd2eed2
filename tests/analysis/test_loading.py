"""One broken record costs its own cell and no more; what is left is drawn, what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from fabricate import Results, write_folder
from hpobench_fds.analysis import figures, loading
from hpobench_fds.analysis.stats.targets import targets_of

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
    pd.testing.assert_frame_equal(
        loaded.runs[stored.columns].drop(columns="classes"), stored.drop(columns="classes")
    )
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


COSINE = {"family": "cosine", "low": 0.0, "high": 1.0, "initial": 0.5, "warmup": {"high": 0.5}, "learn": True}


def with_a_cosine(folder: Path) -> Path:
    """TPE's runs as if they had searched a cosine's peak and warm-up, beside the problem's momentum."""
    path = folder / "suite.json"
    suite = json.loads(path.read_text())
    problem = suite["problems"]["digits"]
    problem["config"]["space"] = {n: {"initial": 0.0} for n in ("lr", "momentum")}
    suite["methods"]["tpe"]["space"] = {"digits": {"lr": COSINE}}
    problem["targets"] = [0.8, 0.7]
    path.write_text(json.dumps(suite))
    for cell in (folder / "cells/digits/tpe").iterdir():
        run = json.loads((cell / "run.json").read_text())
        run["schedule_names"] = ["lr.peak", "lr.warmup", "momentum[0]"]
        run["problem_config"] = {**problem["config"], "space": {"lr": COSINE, "momentum": {"initial": 0.0}}}
        (cell / "run.json").write_text(json.dumps(run))
        lines = [json.loads(line) for line in (cell / "trace.jsonl").read_text().splitlines()]
        for line in lines:
            line["schedule"] = [0.4, 0.25, 0.9]
        (cell / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_curve_is_drawn_as_windows(folder: Path) -> None:
    loaded = loading.load(with_a_cosine(folder))
    tpe = loaded.reports[loaded.reports["method"] == "tpe"].iloc[0]
    lr = dict(zip(tpe["schedule_names"], tpe["schedule"], strict=True))
    assert len(lr) == loading.DRAWN + 1
    assert lr["momentum[0]"] == 0.9
    assert lr["lr[0]"] == 0.0
    assert lr["lr[25]"] == pytest.approx(0.4)  # the peak, after a quarter of the horizon
    assert lr["lr[99]"] < 0.001
    fds = loaded.reports[loaded.reports["method"] == "fds"].iloc[0]
    assert len(fds["schedule"]) == 4
    assert set(loaded.runs.groupby("method")["searched"].first()) == {
        "lr[2], momentum, weight_decay", "lr as a cosine (peak, warmup), momentum",
    }  # fmt: skip


def test_a_method_with_its_own_space_does_not_say_where_the_problem_starts(folder: Path) -> None:
    loaded = loading.load(with_a_cosine(folder))
    assert loaded.runs.loc[loaded.runs["method"] == "tpe", "initial"].isna().all()


def test_targets_are_those_that_the_suite_names(folder: Path) -> None:
    loaded = loading.load(with_a_cosine(folder))
    table = targets_of(loaded.reports, loaded.runs)
    assert table["target"].tolist() == [0.7, 0.8]
    assert table.loc[table["headline"], "target"].tolist() == [0.8]


def test_the_initial_schedule_may_be_a_list_or_a_curve(folder: Path) -> None:
    """Without it the way to the best would begin at chance."""
    path = folder / "suite.json"
    suite = json.loads(path.read_text())
    space = {"lr": {"windows": 2, "initial": [0.1, 0.01]}, "momentum": {"initial": 0.9},
             "weight_decay": {"initial": 0.0}}  # fmt: skip
    suite["problems"]["digits"]["config"]["space"] = space
    path.write_text(json.dumps(suite))
    loaded = loading.load(folder)
    assert loaded.runs["initial"].iloc[0] == pytest.approx((0.1, 0.01, 0.9, 0.0))
    suite["problems"]["digits"]["config"]["space"] = {"lr": COSINE, "momentum": {"initial": 0.0}}
    names = ["lr.peak", "lr.warmup", "momentum[0]"]
    curved = loading._initial(suite, "digits", names)
    assert curved is not None
    assert len(curved) == loading.DRAWN + 1  # as reports have it
