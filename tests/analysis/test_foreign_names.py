"""Records that carry names of all kinds, edited or from elsewhere, are drawn, printed and do no harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fabricate import Results
from hpobench_fds.analysis import figures, loading
from hpobench_fds.analysis.figures.catalogue import FIGURES, available
from hpobench_fds.analysis.figures.saving import file_name
from hpobench_fds.analysis.reports import page, tables
from hpobench_fds.analysis.stats.frames import NoAnswer
from real_run import copy_of_results

from hpobench_fds.cli import main

PROBLEM = 'a "b" [/red] $\\frac{$ <b>😀'
ESCAPING, HIDDEN = "../../../<script>alert(1)</script>$x_", "__proto__"
NAMES = {"fds": ESCAPING, "random_search": HIDDEN}
REASON = "</td><script>alert(4)</script>\n\x1b[2J [/bold] $"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_results(tmp_path_factory.mktemp("deep") / "a" / "b" / "c" / "out")
    suite = json.loads((folder / "suite.json").read_text())
    suite["name"] = "</title><script>alert(2)</script> [/x] '$"
    suite["problems"] = {PROBLEM: suite["problems"]["tiny"]}
    suite["methods"] = {NAMES[name]: method for name, method in suite["methods"].items()}
    (folder / "suite.json").write_text(json.dumps(suite))
    for path in folder.glob("cells/*/*/*/run.json"):
        run = json.loads(path.read_text())
        run |= {"suite": suite["name"], "problem": PROBLEM, "method": NAMES[run["method"]]}
        run["appearance"] = {"label": "</script><script>alert(3)</script>", "color": "url(x)", "marker": "$"}
        if run["seed"] == 1:
            run |= {"status": "failed", "reason": REASON}
        path.write_text(json.dumps(run))
    return folder


def test_figures_stay_in_their_folder(foreign: Path) -> None:
    above = foreign.parents[3]
    before = {path for path in above.rglob("*") if foreign not in path.parents}
    drawn = figures.draw_all(foreign, formats=("png",))
    assert {path for path in above.rglob("*") if foreign not in path.parents} == before
    assert {path.parent for path in drawn} == {foreign / "figures"}
    assert set(drawn) == set((foreign / "figures").iterdir())
    assert any(path.name.startswith("schedules_.._.._") for path in drawn)


def test_no_name_becomes_part_of_the_page(foreign: Path) -> None:
    text = page.render(foreign, reference=HIDDEN)
    assert "<script>alert" not in text
    assert "\x1b" not in text
    for number in (2, 3, 4):
        assert f"&lt;script&gt;alert({number})&lt;/script&gt;" in text


def test_names_are_printed_as_they_are_and_control_no_terminal(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("show", "verify"):
        with pytest.raises(SystemExit):
            main([command, str(foreign)])
        out, err = capsys.readouterr()
        assert "[/red]" in out + err  # no markup
        assert "\x1b" not in out + err
    assert loading.load(foreign).runs["reason"].dropna().unique().tolist() == [
        "</td><script>alert(4)</script>\\n\\x1b[2J [/bold] $"
    ]


def test_a_markdown_table_holds_no_tags(foreign: Path) -> None:
    loaded = loading.load(foreign)
    table = tables.in_form("markdown", loaded.reports, loaded.runs, loaded.retrained)
    assert "<script" not in table
    assert "&lt;b>" in table


@pytest.mark.parametrize("methods", [2, 12])
def test_a_name_that_begins_with_an_underscore_stands_at_its_line(results: Results, methods: int) -> None:
    for seed in range(3):
        for i in range(methods - 1):
            results.add(f"method_{i}", seed, [(1, 0.5), (2, 0.6)])
        results.add("__proto__", seed, [(1, 0.7), (2, 0.8)])
    (ax,) = FIGURES["anytime_gradient_equivalents"](*results.both, "paper").figure.axes
    texts = [text.get_text() for text in ax.texts if str(text.get_gid()).startswith("end:")]
    assert texts.count("__proto__") == 1
    assert len(texts) == methods


def test_dollars_are_dollars(results: Results) -> None:
    for seed in range(3):
        results.add("$\\frac{$", seed, [(1, 0.5), (900, 0.6)], problem="$x$ and $\\y$")
        results.add("fds", seed, [(1, 0.7), (900, 0.8)], problem="$x$ and $\\y$")
    for name, draw in available(results.reports).items():
        if name.startswith(("anytime", "cost", "effects", "schedules")):
            try:
                figure = draw(*results.both, "paper")
            except NoAnswer:
                continue
            assert figure._repr_png_()
    figure = FIGURES["anytime"](*results.both, "paper")
    axes = figure.figure.axes[0]
    (title,) = (text for text in axes.texts if text.get_gid() == "title")
    assert title.get_text().startswith("$x$ and $\\y$")
    assert not title.get_parse_math()
    figure.figure.draw_without_rendering()


def test_files_of_names_that_differ_differ() -> None:
    assert file_name("schedules_my-method.2") == "schedules_my-method.2"
    names = ["a/b", "a\\b", "a b", "..", "../x", "a" * 300, "a" * 301, "😀", "\x00", "\ud800"]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(file == Path(file).name or name == ".." for name, file in zip(names, files, strict=True))
    assert all(len(file) < 120 and file.isascii() and file.isprintable() for file in files)
