"""The guide to Python names every column and function as it is, and its examples run."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from real_run import copy_of_results

from hpobench_fds.records.schema import REPORT_COLUMNS, RETRAINED_COLUMNS, RUN_COLUMNS

GUIDE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """What stands in backquotes in the first column of the table below a heading."""
    section = GUIDE.partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("`load_results`", REPORT_COLUMNS),
        ("`load_runs`", RUN_COLUMNS),
        ("`load_retrained`", RETRAINED_COLUMNS),
    ],
)
def test_every_column_is_explained_once(heading: str, columns: list[str]) -> None:
    assert sorted(first_cells(heading)) == sorted(columns)


def test_figure_functions_take_what_is_said() -> None:
    named = [name for name in first_cells("Figures") if name.endswith(".draw")]
    assert len(named) == 8
    section = GUIDE.partition("## Figures")[2]
    for function in named:
        module, _, name = function.partition(".")
        takes = inspect.signature(
            getattr(import_module(f"hpobench_fds.analysis.figures.{module}"), name)
        ).parameters
        (row,) = re.findall(rf"^\| `{re.escape(function)}`[^|]*\| (.*?)(?::|\|)", section, re.MULTILINE)
        assert {"reports", "runs", "style", *re.findall(r"`(\w+)`", row)} <= set(takes), function


def test_the_examples_on_results_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_of_results(tmp_path / "results" / "digits")
    monkeypatch.chdir(tmp_path)
    blocks = [
        block for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "run_suite" not in block
    ]
    assert len(blocks) == 3
    for block in blocks:
        exec(block, {})
    assert {path.suffix for path in (tmp_path / "paper" / "figures").iterdir()} == {".svg", ".csv", ".txt"}
