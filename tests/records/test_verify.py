"""Verification: sound records pass, and every way to spoil them that we can think of is found and named."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_run import cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records import migrations
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.parsing import record_digest
from hpobench_fds.records.schema import SCHEMA_VERSION, TRAITS, ClockRecord
from hpobench_fds.records.verify import Finding, Verification, sentence, verify


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


def errors(folder: Path) -> list[str]:
    return [str(finding) for finding in verify(folder).findings if finding.level == "error"]


RETRAINED = {"report": 0, "draw": 0, "test_loss": 1.0, "test_metric": 0.5}


def run_json(folder: Path, **changes: Any) -> None:
    """Change run.json as with an editor."""
    path = cell(folder) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def undigested(folder: Path, **changes: Any) -> None:
    """The same, as if it had been written before there were digests: other checks must find it."""
    run_json(folder, digest=None, trace_sha256=None, **changes)


def trace(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = cell(folder) / "trace.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_the_runner_wrote_is_sound(results: Path) -> None:
    result = verify(results)
    assert result.findings == []
    assert result.sound
    assert (result.cells, result.reports) == (4, 8 + 8)
    assert sentence(result, results).endswith("4 cells, 16 reports: all sound")


def test_a_folder_without_results_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a results folder"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"seed": 7}, "the record is of tiny/random_search/seed-7"),
        ({"suite": "other"}, "the record is of the suite 'other'"),
        ({"adapter": "tpe"}, 'adapter was "random_search", is "tpe"'),
        ({"options": {"width": 1}}, "not the suite's: options."),
        ({"config_hash": "0" * 16}, "config_hash"),
        ({"reports": 3}, "3 reports, the trace 4"),
        ({"incumbent": 99}, "the incumbent is 99"),
        ({"clock": {"method": 5.0, "referee": 1.0, "records": 1.0, "elapsed": 9.0}}, "elapsed = 9.000 s"),
        ({"clock": {"method": 0.0, "elapsed": 0.0}}, "after the end"),
        ({"final": None}, "neither a final accuracy nor a reason"),
        ({"status": "failed"}, "failed without a reason"),
        ({"schema_version": 99}, "newer version: schema 99 (allowed: 1 to 4)"),
        ({"retrained": [{**RETRAINED, "report": 77}]}, "report 77 was retrained, and is no incumbent"),
        ({"retrained": [{**RETRAINED, "draw": 2}] * 2}, "a draw of a report was retrained twice"),
        ({"segments": [{"seconds": 0.0}, {"seconds": 1e6}]}, "the segments do not follow each other"),
        ({"status": "done"}, "no run record"),
        ({"surprise": 1}, "no run record"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_run_record_that_contradicts_itself_or_its_place_is_found(
    results: Path, changes: dict[str, Any], found: str
) -> None:
    undigested(results, **changes)
    assert any(found in error and "run.json" in error for error in errors(results)), errors(results)


def test_a_last_word_that_its_draw_contradicts_is_found(results: Path) -> None:
    data = json.loads((cell(results) / "run.json").read_text())
    undigested(results, final={**data["final"], "test_metric": 0.999})
    assert any("draw 0 is not what the last word says of it" in error for error in errors(results))


def planted_clock(folder: Path, device: str = "cpu", **seconds: float) -> list[str]:
    """What is noted of a run with that clock."""
    files = CellFiles(cell(folder))
    record = files.record()
    assert record is not None
    record.clock = ClockRecord(**{"elapsed": seconds["method"], **seconds})
    record.device = {**record.device, "kind": device}
    files.write_record(record)
    return [finding.message for finding in verify(folder).findings]


@pytest.mark.parametrize(
    ("device", "clock", "noted"),
    [
        ("cpu", {"method": 60.0, "cpu": 59.0, "gap": 0.3, "stalled": 0.1}, []),
        ("cpu", {"method": 60.0, "cpu": 110.0, "gap": 0.3, "stalled": 0.1}, []),  # two threads
        ("cpu", {"method": 9.1, "cpu": 3.0, "gap": 6.1, "stalled": 6.0}, ["suspended"]),  # stopped for 6 s
        ("cpu", {"method": 60.0, "cpu": 30.0, "gap": 0.3, "stalled": 0.2}, ["30.0 CPU seconds in 59.8 s"]),
        ("cpu", {"method": 60.0, "cpu": 25.0, "gap": 9.0, "stalled": 6.0}, ["suspended", "CPU seconds"]),
        ("cpu", {"method": 2.0, "cpu": 1.0, "gap": 0.3, "stalled": 0.5}, []),  # too short to tell
        ("cuda", {"method": 60.0, "cpu": 30.0, "gap": 0.3, "stalled": 0.2}, []),  # it waits for the GPU
        ("cuda", {"method": 60.0, "cpu": 30.0, "gap": 7.0, "stalled": 6.0}, ["suspended"]),
        ("cpu", {"method": 60.0}, []),  # not measured
    ],
)
def test_a_run_that_was_suspended_or_crowded_is_noted(
    results: Path, device: str, clock: dict[str, float], noted: list[str]
) -> None:
    found = planted_clock(results, device, **clock)
    assert len(found) == bool(noted)
    assert all(words in found[0] for words in noted)


def set_in(index: int, **changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[index].update(changes)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (set_in(2, report=1), "not numbered"),
        (lambda rows: rows.pop(1), "not numbered"),
        (lambda rows: rows.pop(), "the trace 3"),
        (set_in(1, seconds=0.0), "report 1: seconds or costs went back"),
        (set_in(3, cost={"inner_steps": 1}), "report 3: seconds or costs went back"),
        (set_in(1, schedule=[0.1]), "report 1: the schedule is not in the space"),
        (set_in(1, schedule=[0.1, 0.3]), "report 1: the schedule is not in the space"),
        (
            set_in(0, incumbent=False, test_loss=None, test_metric=None),
            "report 0 is no incumbent by its flag",
        ),
        (set_in(0, test_metric=None), "report 0: test accuracy is measured of incumbents"),
        (set_in(3, val_loss=1e-9, incumbent=False), "report 3 is no incumbent by its flag"),
        (lambda rows: rows[1].pop("schedule"), "no report"),
    ],
)
def test_a_trace_that_contradicts_itself_is_found(
    results: Path, change: Callable[[list[dict[str, Any]]], Any], found: str
) -> None:
    undigested(results)
    trace(results, change)
    assert any(found in error for error in errors(results)), errors(results)


def test_a_plausible_edit_of_a_run_record_is_found_by_its_digest(results: Path) -> None:
    final = json.loads((cell(results) / "run.json").read_text())["final"]
    run_json(results, final={**final, "last_test_metric": 0.999})
    (error,) = errors(results)
    assert "edited" in error
    assert "run.json" in error


def test_a_plausible_edit_of_a_trace_is_found_by_its_digest(results: Path) -> None:
    trace(results, set_in(0, val_metric=0.4321))
    (error,) = errors(results)
    assert "edited" in error
    assert "trace.jsonl" in error


def test_records_of_before_digests_are_told_of_and_sound(results: Path) -> None:
    undigested(results)
    result = verify(results)
    assert result.sound
    assert [finding.level for finding in result.findings] == ["note"]
    assert "1 of 4 runs carry no digest" in str(result.findings[0])


def test_half_a_line_is_an_error_of_a_finished_run_and_a_note_of_a_running_one(results: Path) -> None:
    with (cell(results) / "trace.jsonl").open("a") as file:
        file.write('{"report": 4, "sec')
    assert any("half a line" in error for error in errors(results))
    undigested(results, status="running", finished=None)
    assert errors(results) == []
    assert any("half a line" in str(finding) for finding in verify(results).findings)


def test_findings_that_differ_in_numbers_alone_are_told_of_once_a_file(results: Path) -> None:
    def spoil(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["schedule"] = [7.5 + row["report"], -0.25]

    trace(results, spoil)
    result = verify(results)
    outside = [f for f in result.findings if "the schedule is not in the space" in f.message]
    assert len(outside) == result.reports // 4 == 4  # each is there in Python
    groups = result.grouped()
    ((first, count),) = [(f, n) for f, n in groups if "the schedule is not in the space" in f.message]
    assert (first, count) == (outside[0], 4)
    assert first.message.startswith("report 0: ")
    assert sum(count for _, count in groups) == len(result.findings)


def test_findings_of_other_files_or_kinds_are_told_apart() -> None:
    result = Verification()
    for where, message in (("a", "3 of 4"), ("a", "-1.5e-3 of 20"), ("a", "3 of its 4"), ("b", "3 of 4")):
        result.findings.append(Finding("error", Path(where), message))
    result.findings.append(Finding("note", Path("a"), "3 of 4"))
    assert [count for _, count in result.grouped()] == [2, 1, 1, 1]


def test_what_belongs_to_no_run_is_found(results: Path, tmp_path: Path) -> None:
    (cell(results) / "notes.txt").write_text("hm")
    (results / "cells" / "tiny" / "readme").write_text("hm")
    (results / "cells" / "tiny" / "random_search" / "seed-x").mkdir()
    os.symlink(tmp_path, results / "cells" / "elsewhere")
    (cell(results) / ".run.json.123.tmp").write_text("")
    found = errors(results)
    assert len(found) == 4
    assert sum("no part of any run" in error for error in found) == 2
    assert any("a link" in error for error in found)
    assert any("notes.txt: no file of a run" in error for error in found)


def test_a_cell_moved_to_another_place_is_found(results: Path) -> None:
    cell(results, seed=1).rename(results / "cells" / "tiny" / "random_search" / "seed-5")
    assert any("seed-1" in error for error in errors(results))


def test_an_unfinished_run_is_a_note(results: Path) -> None:
    undigested(results, status="interrupted", finished=None, final=None)
    assert errors(results) == []


def test_rewriting_a_record_renews_its_digest(results: Path) -> None:
    files = CellFiles(cell(results))
    record = files.record()
    assert record is not None
    record.jobs = 7
    files.write_record(record)
    assert verify(results).findings == []


@pytest.fixture
def killed(results: Path) -> CellFiles:
    """A run whose process was killed between a report and its record, in the middle of the next line."""
    files = CellFiles(cell(results))
    record = files.record()
    assert record is not None
    with (files.folder / "trace.jsonl").open("a") as file:
        file.write('{"report": 4, "sec')
    record.status, record.reason, record.final, record.stopped = "failed", "killed", None, None
    record.reports, record.incumbent = 2, 0
    record.clock.method = files.reports()[1].seconds
    record.clock.elapsed = record.clock.booked
    files.write_record(record)
    return files


def test_a_killed_run_has_said_more_than_is_on_record(results: Path, killed: CellFiles) -> None:
    result = verify(results)
    assert result.sound
    notes = " ".join(str(finding) for finding in result.findings)
    assert "half a line" in notes
    assert "2 reports, the trace 4" in notes


def test_what_a_run_printed_belongs_to_it(results: Path) -> None:
    (cell(results) / "output.txt").write_text("hello")
    assert verify(results).findings == []


def test_numbers_that_json_does_not_have_are_no_edits(results: Path) -> None:
    files = CellFiles(cell(results))
    record = files.record()
    assert record is not None
    assert record.final is not None
    record.final.last_test_loss, record.device = math.inf, {**record.device, "load": math.nan}
    files.write_record(record)
    assert verify(results).findings == []
    assert '"Infinity"' in (files.folder / "run.json").read_text()


def test_another_layout_of_the_same_data_is_no_edit(results: Path) -> None:
    run_json(results)
    assert verify(results).findings == []


# ------------------------------------------------------------------------------------- older versions


OLD = Path(__file__).parents[1] / "assets" / "schema-1"  # a real run, recorded before there were digests


def test_records_of_schema_1_load_and_are_sound() -> None:
    reports, runs = load_results(OLD), load_runs(OLD)
    assert (len(reports), len(runs), reports["incumbent"].sum()) == (18, 1, 4)
    assert runs["final_test_metric"].tolist() == [0.9774647887323944]
    assert runs["incumbent_val_loss"].tolist() == [0.027017964257134333]
    record = CellFiles(OLD / "cells" / "digits-mlp" / "fds" / "seed-0").record()
    assert record is not None
    assert record.final is not None
    assert (record.digest, record.final.report) == (None, None)  # fields that there were not
    assert (record.schema_version, record.incumbent_rule) == (4, "best")
    assert [name for name, holds in record.traits.items() if holds] == ["exact", "searches"]
    result = verify(OLD)
    assert result.sound
    assert [str(finding) for finding in result.findings] == [
        f"note: {OLD}: 1 of 1 runs carry no digest: they were written before there were any"
    ]


NEXT = SCHEMA_VERSION + 1


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A next version of the schema, which calls the seed ``seed`` where this one calls it ``number``."""

    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        data = {**data, "seed": data["number"], "schema_version": NEXT}
        del data["number"]
        return data

    monkeypatch.setattr(migrations, "SCHEMA_VERSION", NEXT)
    monkeypatch.setitem(migrations.MIGRATIONS, SCHEMA_VERSION, renamed)


def test_older_records_are_migrated_and_their_digests_hold(results: Path, next_version: None) -> None:
    for path in results.glob("cells/*/*/*/run.json"):
        data = json.loads(path.read_text())
        data["number"] = data.pop("seed")
        path.write_text(json.dumps({**data, "digest": record_digest(json.dumps(data).encode())}))
    record = CellFiles(cell(results, seed=1)).record()
    assert record is not None
    assert (record.schema_version, record.seed) == (NEXT, 1)
    assert (
        load_results(results)["seed"].unique().tolist()
        == load_runs(results)["seed"].unique().tolist()
        == [0, 1]
    )
    assert verify(results).findings == []


@pytest.mark.parametrize("version", [NEXT, 0, -1, "1", None, True, 1.0])
@pytest.mark.parametrize("name", ["run.json", "suite.json"])
def test_records_of_no_known_version_are_refused_in_a_line(results: Path, name: str, version: object) -> None:
    path = results / name if name == "suite.json" else cell(results) / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version}))
    for read in (load_results, load_runs):
        with pytest.raises(InputError, match=rf"{name}: .*schema") as error:
            read(results)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("adapter", "held"),
    [
        ("hd", {"greedy", "searches"}),
        ("one_pass", {"greedy", "searches"}),
        ("reverse_sharing", {"exact", "searches"}),
        ("truncated_reverse", {"truncated", "searches"}),
        ("asha", {"multi_fidelity", "searches"}),
        ("cosine", set()),
        ("grid", {"searches"}),
        ("my_method.py:Mine", {"searches"}),
    ],
)
def test_records_of_schema_1_get_the_traits_of_their_adapter(adapter: str, held: set[str]) -> None:
    old = {"schema_version": 1, "adapter": adapter, "clock": {"method": 1.0, "compile": 0.0}}
    new = migrations.migrated(old)
    assert {name for name, holds in new["traits"].items() if holds} == held
    assert list(new["traits"]) == list(TRAITS)
    assert (new["clock"], new["appearance"]) == ({"method": 1.0}, {})
    assert old["clock"] == {"method": 1.0, "compile": 0.0}  # what was read is left alone
