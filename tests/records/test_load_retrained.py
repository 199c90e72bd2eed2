"""The frame of retrainings: one row a cell, report and draw, with what the report had cost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from real_run import cell, copy_of_results

import hpobench_fds
from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.frames import load_retrained
from hpobench_fds.records.schema import RETRAINED_COLUMNS, RetrainedRecord

OLD = Path(__file__).parents[1] / "assets" / "schema-1"
PLANTED = [
    RetrainedRecord(report=2, draw=1, test_loss=0.5, test_metric=0.75),
    RetrainedRecord(report=2, draw=0, test_loss=math.inf, test_metric=0.1, diverged_at=7),
    RetrainedRecord(report=0, draw=0, test_loss=math.inf, test_metric=0.1),  # its test loss overflows
]


def planted(folder: Path, rows: list[RetrainedRecord]) -> CellFiles:
    """A results folder where one cell has those retrainings, and the others none."""
    copy_of_results(folder)
    for path in folder.glob("cells/*/*/*"):
        files = CellFiles(path)
        record = files.record()
        assert record is not None
        record.retrained = rows if path == cell(folder) else []
        files.write_record(record)
    return CellFiles(cell(folder))


def test_a_row_a_report_and_draw_with_the_costs_of_the_report(tmp_path: Path) -> None:
    reports = planted(tmp_path / "out", PLANTED).reports()
    frame = load_retrained(tmp_path / "out")
    assert list(frame.columns) == RETRAINED_COLUMNS
    assert frame[["suite", "problem", "method", "seed"]].drop_duplicates().to_numpy().tolist() == [
        ["tiny", "tiny", "random_search", 0]
    ]
    assert frame[["report", "draw", "diverged"]].to_numpy().tolist() == [
        [0, 0, True], [2, 0, True], [2, 1, False]
    ]  # fmt: skip
    assert frame["test_loss"].tolist() == [math.inf, math.inf, 0.5]
    assert frame["test_metric"].isna().tolist() == [True, True, False]
    assert frame["test_metric"].iloc[2] == 0.75
    spent = frame[["seconds", "inner_steps", "gradient_equivalents"]].to_numpy().tolist()
    costs = [
        [r.seconds, r.cost.inner_steps, r.cost.gradient_equivalents] for r in (reports[0], *reports[2:3] * 2)
    ]
    assert spent == costs
    assert (frame["diverged"].dtype, frame["report"].dtype) == (bool, "int64")


def test_without_retrainings_the_frame_is_empty_with_all_columns(tmp_path: Path) -> None:
    planted(tmp_path / "out", [])
    for folder in (tmp_path / "out", OLD):
        frame = hpobench_fds.load_retrained(folder)
        assert isinstance(frame, pd.DataFrame)
        assert (list(frame.columns), len(frame)) == (RETRAINED_COLUMNS, 0)


@pytest.mark.parametrize(
    ("retrained", "found"),
    [
        ([{"report": 99, "draw": 0, "test_loss": 1.0, "test_metric": 0.5}], "report 99 was retrained"),
        ([{"report": 0, "draw": 0, "test_loss": "high", "test_metric": 0.5}], "no run record: retrained"),
        ({"0": 1}, "no run record: retrained"),
    ],
)
def test_what_is_no_retraining_is_told_in_a_line(tmp_path: Path, retrained: Any, found: str) -> None:
    path = planted(tmp_path / "out", []).folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "retrained": retrained}))
    with pytest.raises(InputError, match=found) as error:
        load_retrained(tmp_path / "out")
    assert len(str(error.value).splitlines()) == 1
