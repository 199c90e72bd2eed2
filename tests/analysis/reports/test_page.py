"""The report: one page that needs nothing else, says what the records say, and runs nobody's text."""

from __future__ import annotations

import io
import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fabricate import Results, make_study, write_folder
from hpobench_fds.analysis.reports import page as report
from hpobench_fds.analysis.reports.page_data import as_json, page_data
from hpobench_fds.analysis.reports.run_again import run_again
from hpobench_fds.analysis.reports.suite_toml import as_toml
from PIL import Image
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
    assert page.count("data:image/webp;base64,") == page.count("<figure id=")
    assert 'id="anytime"' in page
    assert len(page) < 3_000_000


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
    assert "url(" not in page.replace("url(#", "")  # clip paths of its own
    assert "fetch(" not in page
    assert "default-src 'none'" in page  # and the browser is told so


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


def data_of(page: str) -> dict[str, Any]:
    """What the page's script draws, as it reads it."""
    (text,) = re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    for problem in found["problems"].values():
        for target in (target for axis in problem["times"].values() for target in axis):
            target.update({m: dict(zip(found["keys"], time, strict=True)) for m, time in target.items()})
    return found


@pytest.mark.usefixtures("words_alone")
def test_charts_have_the_planted_numbers(tmp_path: Path) -> None:
    made = Results()
    for seed in range(7):
        made.add("fds", seed, [(1, 0.5), (2, 0.9)]).add("tpe", seed, [(20, 0.5), (40 + seed, 0.9)])
        made.add("bohb", seed, [(1, 0.2)], budget=1000)
    found = data_of(report.render(write_folder(made, tmp_path / "made"), now=NOW))
    assert {m["name"]: m["label"] for m in found["methods"]} == {"fds": "FDS", "tpe": "TPE", "bohb": "BOHB"}
    digits = found["problems"]["digits"]
    start, top = digits["way"]
    at, share, low, high = digits["curves"]["seconds"]["fds"]
    values = [start + s * (top - start) for s in share]
    assert at[:2] == [1, 2]
    assert values[:2] == pytest.approx([0.5, 0.9], abs=1e-4)
    assert (low[1], high[1]) == (share[1], share[1])  # all seeds alike
    headline = next(i for i, target in enumerate(digits["targets"]) if target["headline"])
    tpe, bohb = (digits["times"]["seconds"][headline][m] for m in ("tpe", "bohb"))
    assert (tpe["at"], tpe["low"], tpe["high"], tpe["interval"]) == (43, 40, 46, True)
    assert (bohb["at"], bohb["bound"], bohb["open"], bohb["there"], bohb["of"]) == (1000, ">", True, 0, 7)
    assert found["profile"]["fds"] == [[1], [1]]


@pytest.mark.usefixtures("words_alone")
def test_every_axis_of_the_menu_has_curves_and_times(results: Path) -> None:
    page = report.render(results, now=NOW)
    problem = data_of(page)["problems"]["tiny"]
    options = set(re.findall(r'<option value="(.*?)">', page)) - {"way", "metric"}
    assert options == {"seconds", "inner_steps", "gradient_equivalents"}
    assert set(problem["times"]) == options
    assert set(problem["curves"]) == options


@pytest.mark.usefixtures("words_alone")
def test_single_seeds_have_no_interval(tmp_path: Path) -> None:
    made = Results()
    made.add("fds", 0, [(1, 0.5), (2, 0.9)]).add("tpe", 0, [(20, 0.9)])
    page = report.render(write_folder(made, tmp_path / "made"), now=NOW)
    own = data_of(page)["problems"]["digits"]["times"]["seconds"][0]["fds"]
    assert (own["low"], own["high"]) == (None, None)
    assert "NaN" not in json.dumps(data_of(page))
    text = text_of(page)
    assert "A single seed claims nothing: these are descriptions." in text
    assert "exploratory: 1 seed" in text


@pytest.mark.usefixtures("words_alone")
def test_a_methods_name_is_text_in_the_data(tmp_path: Path) -> None:
    made = Results()
    for seed in range(3):
        made.add("fds", seed, [(1, 0.9)]).add("x</script><b>", seed, [(2, 0.9)])
    data = as_json(page_data(*made.both, "fds"))
    assert "</script>" not in data
    assert "<b>" not in data
    assert "x</script><b>" in [m["name"] for m in json.loads(data)["methods"]]


@pytest.mark.usefixtures("words_alone")
def test_the_first_sentence_is_plain_and_failed_runs_are_flagged(tmp_path: Path) -> None:
    made = make_study()
    page = report.render(write_folder(made, tmp_path / "made"), now=NOW)
    text = text_of(page)
    assert "Over 2 problems, the first at the headline target in the median run was FDS on 2." in text
    assert "5 seeds claim nothing: these are descriptions." in text
    assert "On digits," in text
    assert "(95 % of the way to the best) took FDS" in text
    assert "TPE: 1 of 5 failed" in text
    assert text.index("Over 2 problems") < text.index("Exploratory") < text.index("The problems")
    assert '<tr class="failed">' in page


@pytest.mark.usefixtures("words_alone")
def test_the_commands_name_commit_versions_and_threads(tmp_path: Path) -> None:
    text = report.render(write_folder(make_study(), tmp_path / "made"), now=NOW)
    (commands,) = re.findall(r'<pre id="commands">(.*?)</pre>', text, flags=re.DOTALL)
    assert commands.splitlines() == [
        "git checkout 0123456789abcdef",
        "python3.11 -m venv .venv",
        ".venv/bin/pip install --editable . torch==2.0",
        "# save the suite below as made.toml",
        "OMP_NUM_THREADS=1 .venv/bin/hpobench run made.toml --jobs 1 --device cpu",
    ]


def test_commands_of_several_commits_and_changed_sources_say_so() -> None:
    made = [({"commit": "aaa-dirty", "python": "3.12.1"}, 5), ({"commit": "bbb"}, 2)]
    lines = run_again("my suite", made)
    assert lines[0] == "git checkout aaa"
    assert any("others of bbb" in line for line in lines)
    assert any("no commit holds" in line for line in lines)
    assert lines[-1].endswith("hpobench run 'my suite'.toml --jobs 1")


def test_too_heavy_figures_are_left_off_those_of_one_method_first() -> None:
    sizes = {"anytime": 50, "schedules_fds": 40, "schedules_hd": 45, "cost": 20}
    assert report._within(sizes, 120) == ["schedules_hd"]
    assert report._within(sizes, 60) == ["schedules_hd", "schedules_fds", "anytime"]
    assert report._within(sizes, 155) == []
    assert set(report._within(sizes, -1)) == set(sizes)


def test_figures_have_the_room_that_the_rest_of_the_page_leaves(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [
        report.Picture(name, name, "What it shows.", f"data:image/webp;base64,{'A' * 1_000_000}")
        for name in ("anytime", "schedules_fds", "cost")
    ]
    monkeypatch.setattr(report, "_pictures", lambda *_: (drawn, {"ranks": "one problem"}))
    page = report.render(results, now=NOW)
    assert len(page.encode()) < 3_000_000
    assert page.count("data:image/webp") == 2
    assert "hpobench figures draws it" in text_of(page)


@pytest.mark.usefixtures("words_alone")
def test_of_very_many_runs_the_failed_ones_have_a_row_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Results()
    for seed in range(8):
        made.add("fds", seed, [(1, 0.9)] if seed < 7 else [], status="complete" if seed < 7 else "failed")
    monkeypatch.setattr(report, "MOST_RUNS", 3)
    page = report.render(write_folder(made, tmp_path / "made"), now=NOW)
    assert "The first 3 of 8 runs" in page
    table = page[page.index("The first 3 of 8 runs") :]
    assert table.index(">failed<") < table.index(">complete<")


@pytest.mark.usefixtures("words_alone")
def test_several_problems_are_told_one_by_one_as_well(tmp_path: Path) -> None:
    page = report.render(write_folder(make_study(), tmp_path / "made"), now=NOW)
    text = text_of(page)
    assert "Exploratory, no confirmation: 5 seeds" in text
    assert "Time to the headline target, over 2 problems and 10 comparisons with FDS" in text
    assert text.count("What can be told, with tests") == 2
    assert "Failed, and so without a time or an accuracy: TPE in 1 of 5 runs" in text
    assert "a made-up processor" in text
    assert "0123456789abcdef" in text


@pytest.mark.usefixtures("words_alone")
def test_an_unreadable_run_is_listed_and_the_page_made(results: Path) -> None:
    (cell(results) / "run.json").write_text("{")
    text = text_of(report.render(results, now=NOW))
    assert "tiny/random_search/seed-0 unreadable" in text
    assert "All 3 runs" in text


def test_a_figure_longer_than_its_format_allows_is_scaled_down() -> None:
    """A suite of sixteen problems must not cost the whole page."""
    raw = io.BytesIO()
    Image.new("RGB", (40, 20_000), "white").save(raw, "PNG")
    with Image.open(io.BytesIO(report._webp(raw.getvalue()))) as made:
        assert made.size == (32, 16_383)
