"""More of a finished run: a larger budget goes on with it where it ended, more seeds are added to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from real_run import SUITE

from hpobench_fds.errors import InputError
from hpobench_fds.method.contract import Task
from hpobench_fds.records.cell_files import CHECKPOINT_FILE, CellFiles
from hpobench_fds.records.extension import is_larger
from hpobench_fds.records.folder import read_suite
from hpobench_fds.records.pack import pack
from hpobench_fds.records.schema import ReportRecord, RunRecord
from hpobench_fds.records.verify import verify
from hpobench_fds.run import recorder
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.run.watcher import RunSummary
from hpobench_fds.suite.plan import plan

SMALL, LARGE = {"steps": 60}, {"steps": 150}
METHODS: dict[str, Any] = {
    "random_search": {}, "fds": {}, "hd": {}, "cosine": {}, "hyperband": {"units": 3},
    "pbt": {"population": 3},
}  # fmt: skip
ENDS_BY_ITSELF = "cosine"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(recorder, "CHECKPOINT_SHARE", 1e9)  # a checkpoint at each opportunity


def suite(budget: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**SUITE, "seeds": [0], "budget": budget, "methods": METHODS, **changes}


def run(folder: Path, budget: dict[str, Any], **keywords: Any) -> RunSummary:
    changes = keywords.pop("changes", {})
    return run_suite(suite(budget, **changes), folder, **keywords)


def cell(folder: Path, method: str) -> tuple[RunRecord, list[ReportRecord]]:
    files = CellFiles(folder / "cells" / "tiny" / method / "seed-0")
    record = files.record()
    assert record is not None
    return record, files.reports()


def numbers(reports: list[ReportRecord]) -> list[tuple[Any, ...]]:
    """All of reports but the seconds, and memory."""
    return [
        (r.report, r.cost.inner_steps, r.schedule, r.fidelity, r.val_loss, r.incumbent, r.test_loss, r.extra)
        for r in reports
    ]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    run(tmp_path / "out", SMALL)
    return tmp_path / "out"


@pytest.mark.parametrize("isolate", [False, True])
def test_an_extended_run_is_the_run_that_had_the_larger_budget_from_the_start(
    small: Path, tmp_path: Path, isolate: bool
) -> None:
    summary = run(small, LARGE, extend=True, isolate=isolate)
    assert {r.cell.method: r.verdict for r in summary.results} == {
        name: "complete before" if name == ENDS_BY_ITSELF else "complete" for name in METHODS
    }
    run(tmp_path / "whole", LARGE)
    for method in METHODS:
        (record, reports), (whole, all_reports) = cell(small, method), cell(tmp_path / "whole", method)
        assert numbers(reports) == numbers(all_reports), method
        assert record.final == whole.final
        assert record.config_hash == whole.config_hash
        assert record.extended == [{"seconds": None, "steps": 60, "gradient_equivalents": None}]
        assert record.cost.inner_steps == whole.cost.inner_steps
        assert whole.extended == []
    assert [f for f in verify(small).findings if f.level == "error"] == []


def test_it_goes_on_where_it_ended(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {method: len(cell(small, method)[1]) for method in ("random_search", "fds", "hyperband")}
    told: list[int] = []
    report = Task.report

    def counted(task: Task, *arguments: Any, **keywords: Any) -> None:
        told.append(1)
        report(task, *arguments, **keywords)

    monkeypatch.setattr(Task, "report", counted)
    for method, had in before.items():
        told.clear()
        run(small, LARGE, extend=True, methods=method)
        record, reports = cell(small, method)
        assert record.resumed == 1
        assert len(reports) - had <= len(told) <= len(reports) - had + 1  # but for one that came too late


def test_one_that_ended_by_itself_is_not_run_again(small: Path) -> None:
    before, _ = cell(small, ENDS_BY_ITSELF)
    run(small, LARGE, extend=True)
    after, _ = cell(small, ENDS_BY_ITSELF)
    assert after.budget["steps"] == 150
    same = {"budget", "config_hash", "extended", "digest"}
    assert after.model_dump(exclude=same) == before.model_dump(exclude=same)


def test_the_suite_says_so_and_is_then_that_of_the_larger_budget(small: Path) -> None:
    run(small, LARGE, extend=True, methods="random_search")
    problem = read_suite(small)["problems"]["tiny"]
    assert problem["budget"]["steps"] == 150
    assert [budget["steps"] for budget in problem["extended_from"]] == [60]
    notes = [f.message for f in verify(small).findings]
    assert sum("not yet extended" in note for note in notes) == len(METHODS) - 1
    summary = run(small, LARGE)  # what is left, without being told again
    assert summary.exit_code == 0
    assert [f for f in verify(small).findings if "extended" in f.message] == []
    with pytest.raises(InputError, match=r"another budget: .*60"):
        run(small, SMALL)


def test_twice(small: Path) -> None:
    run(small, LARGE, extend=True, methods="fds")
    run(small, {"steps": 200}, extend=True)
    assert [budget["steps"] for budget in cell(small, "fds")[0].extended] == [60, 150]
    assert [budget["steps"] for budget in cell(small, "hd")[0].extended] == [60]
    assert verify(small).sound


def test_without_a_checkpoint_it_begins_afresh(small: Path, tmp_path: Path) -> None:
    assert (CellFiles(small / "cells/tiny/fds/seed-0").folder / CHECKPOINT_FILE).exists()
    pack(small)
    assert not list(small.rglob(CHECKPOINT_FILE))
    assert verify(small).findings == []
    run(small, LARGE, extend=True, methods="fds")
    run(tmp_path / "whole", LARGE, methods="fds")
    assert numbers(cell(small, "fds")[1]) == numbers(cell(tmp_path / "whole", "fds")[1])
    assert cell(small, "fds")[0].resumed == 0
    assert verify(small).sound


def test_an_interrupted_extension_goes_on(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, had = CellFiles.append, len(cell(small, "random_search")[1])

    def stop(files: CellFiles, report: Any) -> None:
        if report.report == had + 1:
            raise KeyboardInterrupt
        append(files, report)

    with monkeypatch.context() as patch:
        patch.setattr(CellFiles, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            run(small, LARGE, extend=True, methods="random_search")
    assert run(small, LARGE, methods="random_search").exit_code == 0
    run(tmp_path / "whole", LARGE, methods="random_search")
    record, reports = cell(small, "random_search")
    assert numbers(reports) == numbers(cell(tmp_path / "whole", "random_search")[1])
    assert len(record.extended) == 1
    assert record.resumed == 2


@pytest.mark.parametrize(
    ("budget", "extend", "said"),
    [
        (LARGE, False, "holds runs of another budget: .*60.*150.*or give --extend"),
        ({"steps": 30}, True, "another budget: .*what it was, or more"),
        ({"steps": 150, "seconds": 9}, True, "another budget: .*what it was, or more"),  # a limit more
        ({"epochs": 9}, True, "another budget"),
    ],
)
def test_another_budget_is_refused_and_nothing_is_touched(
    small: Path, budget: dict[str, Any], extend: bool, said: str
) -> None:
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        run(small, budget, extend=extend)
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("old", "new", "larger"),
    [
        ({"steps": 60}, {"steps": 61}, True),
        ({"steps": 60}, {"steps": 60}, False),
        ({"steps": 60, "seconds": 5.0}, {"steps": None, "seconds": 5.0}, True),
        ({"steps": 60, "seconds": 5.0}, {"steps": 70, "seconds": 4.0}, False),
        ({"steps": 60}, {"steps": None, "seconds": 5.0}, False),
    ],
)
def test_a_budget_is_larger_that_allows_all_that_was_allowed_and_more(
    old: dict[str, Any], new: dict[str, Any], larger: bool
) -> None:
    assert is_larger(old, new) == larger


def test_more_seeds_are_added_without_a_word(small: Path) -> None:
    summary = run(small, SMALL, changes={"seeds": [0, 1]}, methods="random_search,cosine")
    assert sorted(r.verdict for r in summary.results) == [
        "complete",
        "complete",
        "complete before",
        "complete before",
    ]
    assert verify(small).sound


def test_a_dry_run_says_what_would_go_on(small: Path) -> None:
    from hpobench_fds.suite.config import Suite

    planned = plan(Suite.from_dict(suite(LARGE)), small, extend=True)
    assert len(planned.todo) == len(METHODS)
    with pytest.raises(InputError, match="another budget"):
        plan(Suite.from_dict(suite(LARGE)), small)
