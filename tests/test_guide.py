"""Every command of the guide runs, page by page, on the files that the page shows; its notebooks run.

A block with a title is the file of that name; others of ``sh`` and ``python`` are run in their order. Those
below a comment ``<!-- on a cluster -->`` need one: of them the options are looked up.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpobench_fds.suite.config import load_suite

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r'(<!-- on a cluster -->\n)?^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE
)
PAGES = {page.name: BLOCK.findall(page.read_text(encoding="utf-8")) for page in sorted(DOCS.glob("*.md"))}
RUN = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
COMMANDS = [
    name for name, blocks in PAGES.items()
    if name != "python.md" and any(kind in RUN and not title for _, kind, title, _ in blocks)
]  # fmt: skip
"""Pages with something to run; tests/test_python_guide.py has python.md."""
FILES = {title: text for blocks in PAGES.values() for _, _, title, text in blocks if title}
SMALL = """
name = "mine"
seeds = [0]
budget.gradient_equivalents = 300
[problems.stream]
dataset = "gaussian_stream"
model = "linear"
loss = "squared_error"
horizon = 50
batch_size = 8
space.lr = { windows = 2, low = 0.0, high = 1.0, initial = 0.05 }
[methods.fds]
[methods.random_search]
"""
BEFORE = {
    "report.md": {"first.toml": FILES.get("first.toml", "")},
    "running.md": {"mine.toml": SMALL},
    "suites.md": {"mine.toml": SMALL},
}
"""Files that a page takes as there."""


def run(
    script: str, folder: Path, kind: str = "sh", seconds: float = 600
) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*RUN[kind], script], cwd=folder, capture_output=True, text=True,
        timeout=seconds, env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_the_guide_has_its_chapters() -> None:
    chapters = "index data-and-model black-box gradient-based step-rule report protocol running"
    assert set(COMMANDS) >= {f"{name}.md" for name in chapters.split()}
    nav = (ROOT / "mkdocs.yml").read_text()
    pages = [*PAGES, *(f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.ipynb"))]
    assert [page for page in pages if page not in nav] == []


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".toml")])
def test_suites_of_the_guide_are_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for title, text in FILES.items():
        (tmp_path / title).write_text(text)
    (tmp_path / "cells.csv").write_text("a,target\n1,0\n2,1\n")
    monkeypatch.chdir(tmp_path)
    assert load_suite(name).cells()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", COMMANDS)
def test_the_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    for name, text in BEFORE.get(page, {}).items():
        (tmp_path / name).write_text(text)
    for cluster, kind, title, text in PAGES[page]:
        if title:
            (tmp_path / title).write_text(text)
        elif kind in RUN and not cluster:
            done = run(text, tmp_path, kind)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_commands_for_clusters_have_options_that_there_are(tmp_path: Path) -> None:
    scripts = [text for blocks in PAGES.values() for cluster, _, _, text in blocks if cluster]
    assert len(scripts) == 2
    known = run("hpobench run --help", tmp_path).stdout
    for text in scripts:
        assert run(f"if false; then\n{text}\nfi", tmp_path).returncode == 0  # bash can read it
        (command,) = re.findall(r"hpobench run .*", text)
        for option in re.findall(r"(?<= )--[a-z-]+", command):
            assert option in re.sub(r"\x1b\[[0-9;]*m", "", known), option


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((DOCS / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="pip install '.[docs]'")
    nbformat = pytest.importorskip("nbformat", reason="pip install '.[docs]'")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # what it prints is made by the build
    nbclient.NotebookClient(
        notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
