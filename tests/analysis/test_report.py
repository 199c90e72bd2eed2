"""The report: one page that needs nothing else, says what the records say, and runs nobody's text."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hpobench_fds.analysis import report
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.store import CellStore
from hpobench_fds.suite import Suite

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


def text_of(page: str) -> str:
    """What a reader sees: no scripts, styles or tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def fail(folder: Path, reason: str) -> None:
    files = CellStore(cell(folder))
    record = files.record()
    assert record is not None
    record.status, record.reason, record.final = "failed", reason, None
    files.write_record(record)


def test_the_page_holds_verdict_table_figures_runs_and_the_command(results: Path) -> None:
    page = report.render(results, now=NOW)
    text = text_of(page)
    assert "2026-01-02 03:04 UTC" in text
    assert "Final test accuracy (%)" in text
    assert "hpobench run tiny.toml" in text
    assert "All 4 runs" in text
    final = json.loads((cell(results) / "run.json").read_text())["final"]["test_accuracy"]
    assert f"{100 * final:.2f}" in text
    assert page.count("<figure id=") >= 5
    assert page.count("data:image/png;base64,") >= 3
    assert 'id="anytime"' in page
    assert "plotly" in page


def test_nothing_comes_from_the_network(results: Path) -> None:
    page = report.render(results, now=NOW)
    own = re.sub(r"<script>/\*\*.*?</script>", "", page, count=1, flags=re.DOTALL)  # plotly names its home
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", own)
    assert "@import" not in own
    assert "url(" not in own


def test_every_image_has_a_text_beside_it(results: Path) -> None:
    page = report.render(results, now=NOW)
    images = re.findall(r"<img [^>]*>", page)
    assert images
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


def test_the_same_results_make_the_same_page(results: Path) -> None:
    assert report.render(results, now=NOW) == report.render(results, now=NOW)


def test_failed_runs_are_listed_with_their_reason(results: Path) -> None:
    fail(results, "ValueError: out of luck")
    text = text_of(report.render(results, now=NOW))
    assert "Failed, skipped, or without a result" in text
    assert "tiny/random_search/seed-0 failed ValueError: out of luck" in text


def test_text_from_records_is_text_on_the_page(results: Path) -> None:
    fail(results, "<script>alert(1)</script>")
    page = report.render(results, now=NOW)
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_suite_on_the_page_is_the_suite_that_was_run(results: Path) -> None:
    recorded = json.loads((results / "suite.json").read_text())
    again = Suite.from_dict(tomllib.loads(report.as_toml(recorded)))
    assert again.describe() == {key: value for key, value in recorded.items() if key != "schema_version"}
    hashes = {one.config_hash for one in again.cells()}
    assert hashes == {one.config_hash for one in Suite.from_dict(SUITE).cells()}


def test_another_reference_can_be_chosen(results: Path) -> None:
    text = text_of(report.render(results, reference="random_search", now=NOW))
    assert "times as long as Random search" in text or "Random search" in text
    assert "Times longer than Random search" in text


def test_a_reference_that_did_not_run_is_said_to_be_missing(results: Path) -> None:
    assert "has no finished run here" in text_of(report.render(results, reference="bohb", now=NOW))


def test_it_is_written_where_it_is_asked_for(results: Path, tmp_path: Path) -> None:
    assert report.write(results) == results / "report.html"
    assert report.write(results, tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_folder_that_cannot_be_written_to_is_a_line(results: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        report.write(results, tmp_path / "missing" / "page.html")


def test_nothing_but_failed_runs_makes_a_page_that_says_so(results: Path) -> None:
    for path in sorted((results / "cells" / "tiny").glob("*/seed-*")):
        files = CellStore(path)
        record = files.record()
        assert record is not None
        record.status, record.reason, record.final, record.incumbent, record.reports = (
            "failed",
            "no",
            None,
            None,
            0,
        )
        (path / "trace.jsonl").unlink()
        files.write_record(record)
    text = text_of(report.render(results, now=NOW))
    assert "nothing can be said" in text
    assert "4 failed" in text
