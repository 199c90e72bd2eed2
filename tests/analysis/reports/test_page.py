"""The report: one page that needs nothing else, says what the records say, and runs nobody's text."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from fabricate import Results, make_study, write_folder
from hpobench_fds.analysis.reports import page as report
from hpobench_fds.analysis.reports.charts import anytime_chart
from hpobench_fds.analysis.reports.suite_toml import as_toml
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.suite.config import Suite

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the results as they are: drawing its figures takes seconds."""
    return report.render(copy_of_results(tmp_path_factory.mktemp("page") / "out"), now=NOW)


@pytest.fixture
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without figures, for tests of its words."""
    monkeypatch.setattr(report, "_pictures", lambda *_: ([], {}))


def text_of(page: str) -> str:
    """What a reader sees: no scripts, styles or tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def fail(folder: Path, reason: str) -> None:
    files = CellFiles(cell(folder))
    record = files.record()
    assert record is not None
    record.status, record.reason, record.final = "failed", reason, None
    files.write_record(record)


def test_the_page_holds_verdict_table_figures_runs_and_the_command(page: str, results: Path) -> None:
    text = text_of(page)
    assert "2026-01-02 03:04 UTC" in text
    assert "Retrained test accuracy (%)" in text
    assert "hpobench run tiny.toml" in text
    assert "All 4 runs" in text
    final = json.loads((cell(results) / "run.json").read_text())["final"]["test_metric"]
    assert f"{100 * final:.2f}" in text
    assert page.count("<figure id=") >= 5
    assert page.count("data:image/png;base64,") == page.count("<figure id=")
    assert 'id="anytime"' in page
    assert page.count('id="plotly"') == 1


@pytest.mark.usefixtures("words_alone")
def test_the_page_says_how_long_it_takes_to_beat_the_floor(tmp_path: Path) -> None:
    made = Results()
    for seed in range(6):
        made.add("cosine", seed, [(2.0, 0.8)], used=2.0)
        made.add("fds", seed, [(30.0, 0.9)])
        made.add("hd", seed, [(4.0, 0.5)])
    text = text_of(report.render(write_folder(made, tmp_path / "out"), now=NOW))
    assert "Time to beat the floor" in text
    # two methods that search: their intervals hold together from seven seeds on
    assert "Cosine: 80.0 % in 2.0 s FDS 30.0 15.0 6 of 6 not told" in text
    assert "Cosine: 80.0 % in 2.0 s HD (greedy) &gt; 1,000.0 &gt; 500.0 0 of 6 not told" in text


@pytest.mark.usefixtures("words_alone")
def test_without_a_floor_the_page_has_no_table_of_it(tmp_path: Path) -> None:
    made = Results().add("fds", 0, [(30.0, 0.9)]).add("tpe", 0, [(4.0, 0.5)])
    assert "floor" not in text_of(report.render(write_folder(made, tmp_path / "out"), now=NOW))


def test_nothing_comes_from_the_network(page: str) -> None:
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "fetch(" not in page


def test_every_image_has_a_text_beside_it(page: str) -> None:
    images = re.findall(r"<img [^>]*>", page)
    assert images
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


def test_the_same_results_make_the_same_page(page: str, results: Path) -> None:
    assert report.render(results, now=NOW) == page


@pytest.mark.usefixtures("words_alone")
def test_failed_runs_are_listed_with_their_reason(results: Path) -> None:
    fail(results, "ValueError: out of luck")
    text = text_of(report.render(results, now=NOW))
    assert "Failed, skipped, or without a result" in text
    assert "tiny/random_search/seed-0 failed ValueError: out of luck" in text


@pytest.mark.usefixtures("words_alone")
def test_text_from_records_is_text_on_the_page(results: Path) -> None:
    fail(results, "<script>alert(1)</script>")
    page = report.render(results, now=NOW)
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_suite_on_the_page_is_the_suite_that_was_run(results: Path) -> None:
    recorded = json.loads((results / "suite.json").read_text())
    again = Suite.from_dict(tomllib.loads(as_toml(recorded)))
    assert again.describe() == {key: value for key, value in recorded.items() if key != "schema_version"}
    hashes = {one.config_hash for one in again.cells()}
    assert hashes == {one.config_hash for one in Suite.from_dict(SUITE).cells()}


def test_another_reference_can_be_chosen(results: Path) -> None:
    text = text_of(report.render(results, reference="random_search", now=NOW))
    assert "Times longer than Random search" in text
    assert "right of 1, Random search is faster" in text


@pytest.mark.usefixtures("words_alone")
def test_a_reference_that_did_not_run_is_said_to_be_missing(results: Path) -> None:
    assert "has no finished run here" in text_of(report.render(results, reference="bohb", now=NOW))


@pytest.mark.usefixtures("words_alone")
def test_it_is_written_where_it_is_asked_for(results: Path, tmp_path: Path) -> None:
    assert report.write(results) == results / "report.html"
    assert report.write(results, tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.usefixtures("words_alone")
def test_a_folder_that_cannot_be_written_to_is_a_line(results: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        report.write(results, tmp_path / "missing" / "page.html")


def test_nothing_but_failed_runs_makes_a_page_that_says_so(results: Path) -> None:
    for path in sorted((results / "cells" / "tiny").glob("*/seed-*")):
        files = CellFiles(path)
        record = files.record()
        assert record is not None
        record.status, record.reason, record.final, record.incumbent, record.reports = (
            "failed",
            "no",
            None,
            None,
            0,
        )
        record.retrained = []
        (path / "trace.jsonl").unlink()
        files.write_record(record)
    text = text_of(report.render(results, now=NOW))
    assert "nothing can be said" in text
    assert "4 failed" in text


# ---- charts -----------------------------------------------------------------------------------------------


def charts(page: str) -> dict[str, dict[str, Any]]:
    """The charts' data by the name of their figure, as the page's script reads them."""
    found = {}
    for name, body in re.findall(r'<figure id="(\w+)">(.*?)</figure>', page, flags=re.DOTALL):
        for text in re.findall(r'class="spec">(.*?)</script>', body, flags=re.DOTALL):
            found[name] = json.loads(text)
    return found


def test_charts_are_whole_plotly_figures_with_the_planted_numbers(tmp_path: Path) -> None:
    made = Results()
    for seed in range(7):
        made.add("fds", seed, [(1, 0.5), (2, 0.9)]).add("tpe", seed, [(20, 0.5), (40 + seed, 0.9)])
        made.add("bohb", seed, [(1, 0.2)], budget=1000)
    found = charts(report.render(write_folder(made, tmp_path / "made"), now=NOW))
    assert set(found) == {"anytime", "speedup"}
    for spec in found.values():
        go.Figure(spec)  # which refuses what plotly does not know
    chosen = ["digits", "test accuracy", "wall-clock"]
    (fds,) = (t for t in found["anytime"]["data"] if t["name"] == "FDS" and t["meta"] == chosen)
    assert (fds["x"][:2], fds["y"][:2]) == ([1, 2], [50, 90])
    assert fds["text"][1] == "90 % (90 to 90)"
    speed = {trace["y"][0]: trace for trace in found["speedup"]["data"]}
    assert speed["TPE"]["x"] == [21.5]
    assert speed["TPE"]["hovertemplate"].startswith("TPE: 22x (95 % interval 2")
    assert speed["BOHB"]["marker"]["symbol"] == "triangle-right"
    assert "&gt; 500x" in speed["BOHB"]["hovertemplate"]


def test_a_chart_has_a_trace_for_every_choice_of_its_menus(results: Path) -> None:
    page = report.render(results, now=NOW)
    metas = {tuple(trace["meta"]) for trace in charts(page)["anytime"]["data"]}
    assert metas == {
        ("tiny", measured, against)
        for measured in ("test accuracy", "validation loss")
        for against in ("wall-clock", "inner steps", "gradients")
    }
    options = set(re.findall(r"<option>(.*?)</option>", page))
    assert {word for meta in metas for word in meta} <= options


def test_single_seeds_have_no_interval_under_the_pointer(tmp_path: Path) -> None:
    made = Results()
    made.add("fds", 0, [(1, 0.5), (2, 0.9)]).add("tpe", 0, [(20, 0.9)])
    page = report.render(write_folder(made, tmp_path / "made"), now=NOW)
    assert "no interval: a single seed" in charts(page)["speedup"]["data"][0]["hovertemplate"]
    assert "NaN" not in json.dumps(charts(page))
    assert "Nothing is claimed of speed from a single seed" in text_of(page)


def test_a_methods_name_is_text_in_a_chart() -> None:
    made = Results()
    for seed in range(3):
        made.add("fds", seed, [(1, 0.9)]).add("</script><b>x", seed, [(2, 0.9)])
    chart = anytime_chart(*made.both)
    assert "</script>" not in chart.figure
    assert "<b>" not in chart.figure
    assert "&lt;b>" in json.dumps(json.loads(chart.figure)).replace("&gt;", ">")


@pytest.mark.usefixtures("words_alone")
def test_several_problems_are_told_one_by_one_as_well(tmp_path: Path) -> None:
    page = report.render(write_folder(make_study(), tmp_path / "made"), now=NOW)
    text = text_of(page)
    assert "Exploratory, no confirmation: 5 seeds" in text
    assert "Time to the headline target, over 2 problems and 10 comparisons with FDS" in text
    assert "Problem by problem digits To" in text
    assert "Failed, and so without a time or an accuracy: TPE in 1 of 5 runs" in text
    assert "a made-up processor" in text
    assert "0123456789abcdef" in text


@pytest.mark.usefixtures("words_alone")
def test_an_unreadable_run_is_listed_and_the_page_made(results: Path) -> None:
    (cell(results) / "run.json").write_text("{")
    text = text_of(report.render(results, now=NOW))
    assert "tiny/random_search/seed-0 unreadable" in text
    assert "All 3 runs" in text
