"""The site: suites, methods and problems have pages, links lead somewhere, nothing is from outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fabricate import Results, make_study, write_folder
from hpobench_fds.analysis.reports import page as report
from hpobench_fds.analysis.reports import site
from hpobench_fds.analysis.reports.shelf import FileNames

from hpobench_fds.errors import InputError

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
METHODS = ["bohb", "default", "fds", "hd", "random_search", "tpe"]


@pytest.fixture(autouse=True)
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures: drawing them takes seconds."""
    monkeypatch.setattr(report, "_pictures", lambda *_: ([], {}))


def two_suites(root: Path, made: Results) -> Path:
    """One study as two suites, the second a folder deeper."""
    for name in ("one", "below/two"):
        write_folder(made, root / "recorded" / name)
    return root / "recorded"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Two suites of two short runs on each of two problems, one of which failed."""
    made = Results()
    for problem in ("digits", "fashion"):
        made.add("fds", 0, [(1, 0.5), (2, 0.9)], problem=problem)
        failed = "failed" if problem == "digits" else "complete"
        made.add("tpe", 0, [(20, 0.5)], problem=problem, status=failed)
    return two_suites(tmp_path, made)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first page of the site of a study with six methods."""
    records = two_suites(tmp_path_factory.mktemp("site"), make_study())
    about = {"fds": site.About("Micaelli & Storkey, 2021", "Forward mode.", ('outer.kind = "sign"',))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_pictures", lambda *_: ([], {}))
        return site.write(records, records.parent / "site", about=about, now=NOW)


def text_of(path: Path) -> str:
    page = re.sub(r"<(script|style)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_every_suite_method_and_problem_has_its_page_and_all_links_resolve(index: Path) -> None:
    pages = sorted(str(p.relative_to(index.parent)) for p in index.parent.rglob("*.html"))
    assert pages == [
        "index.html", *(f"methods/{method}.html" for method in METHODS),
        *(f"problems/{suite}-{problem}.html"
          for suite in ("below-two", "one") for problem in ("digits", "fashion")),
        "reports/below-two.html", "reports/one.html",
    ]  # fmt: skip
    linked = set()
    for page in index.parent.rglob("*.html"):
        for address in re.findall(r'href="([^"]*)"', page.read_text()):
            target, _, anchor = address.partition("#")
            aim = (page.parent / target).resolve() if target else page
            assert aim.is_file(), (page, address)
            assert not anchor or f'id="{anchor}"' in aim.read_text(), (page, address)
            linked.add(aim)
    assert linked == {p.resolve() for p in index.parent.rglob("*.html")}
    text = text_of(index)
    assert "2026-01-02 03:04 UTC" in text
    assert "Micaelli &amp; Storkey, 2021" in text
    method = text_of(index.parent / "methods" / "fds.html")
    assert "digits of made : the soonest of 6 at the headline target" in method
    assert "outer.kind = &#34;sign&#34;" in method


def test_scores_are_those_of_the_profiles(index: Path) -> None:
    from hpobench_fds.analysis import loading
    from hpobench_fds.analysis.stats import profiles

    loaded = loading.load(index.parents[1] / "recorded" / "one")
    table = profiles.scores(profiles.times(loaded.reports, loaded.runs)).set_index("method")
    text = text_of(index)
    own = table.loc["fds"]
    assert f"FDS hypergradients {own['score']:.2f} [{own['least']:.2f} to {own['most']:.2f}]" in text
    assert f"TPE black box {table.loc['tpe', 'score']:.2f}" in text
    assert ", 1 failed" in text


def test_nothing_comes_from_outside(index: Path) -> None:
    for path in index.parent.rglob("*.html"):
        page = path.read_text()
        assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
        assert "@import" not in page
        assert "fetch(" not in page
        assert "default-src 'none'" in page


def test_what_failed_or_cannot_be_read_is_told(records: Path) -> None:
    (records / "one" / "cells" / "fashion" / "fds" / "seed-0" / "run.json").write_text("{")
    (records / "broken").mkdir()
    (records / "broken" / "suite.json").write_text("{")
    index = site.write(records, records.parent / "site", now=NOW)
    text = text_of(index)
    assert "broken cannot be read: " in text
    assert "made: 1 of its runs failed, 1 cannot be read" in text
    assert "Suites 3 " in text
    assert "Unreadable in made: fashion/fds/seed-0." in text_of(index.parent / "methods" / "fds.html")
    assert "Failed in made: tpe, 1 of 2 runs." in text_of(index.parent / "methods" / "tpe.html")
    assert "Unreadable: 1" in text_of(index.parent / "problems" / "one-fashion.html")
    assert "Unreadable" not in text_of(index.parent / "problems" / "one-digits.html")


def test_a_site_is_replaced_and_nothing_else(records: Path) -> None:
    out = records.parent / "site"
    site.write(records, out, now=NOW)
    before = {p.name: p.read_bytes() for p in out.rglob("*.html")}
    site.write(records / "one", out, now=NOW)
    assert not (out / "reports" / "below-two.html").exists()
    site.write(records, out, now=NOW)
    assert {p.name: p.read_bytes() for p in out.rglob("*.html")} == before
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"--out: holds something else than a site: thesis\.tex"):
        site.write(records, out)
    assert {p.name for p in records.parent.iterdir()} == {"recorded", "site"}  # no temporary folder


def test_bad_input_is_a_line_and_writes_nothing(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no such folder"):
        site.write(tmp_path / "gone", tmp_path / "site")
    with pytest.raises(InputError, match="no results below it"):
        site.write(tmp_path / "empty", tmp_path / "site")
    with pytest.raises(InputError, match="holds something else than a site"):
        site.write(records, records)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match="no folder"):
        site.write(records, tmp_path / "file")
    monkeypatch.setattr(report, "render", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        site.write(records, tmp_path / "site")
    assert {p.name for p in tmp_path.iterdir()} == {"recorded", "empty", "file"}


def test_text_from_records_is_text(records: Path) -> None:
    suite = records / "one" / "suite.json"
    suite.write_text(suite.read_text().replace('"name": "made"', '"name": "<b>&<script>x"'))
    index = site.write(records, records.parent / "site", now=NOW)
    for path in index.parent.rglob("*.html"):
        assert "<b>&" not in path.read_text()
        assert "<script>x" not in path.read_text()


def test_file_names_are_plain_and_each_given_once() -> None:
    names = FileNames()
    given = [names(text) for text in ("a", "A", "../x.py:My", "a", "///")]
    assert given == ["a", "A-2", "x.py-My", "a-3", "unnamed"]
