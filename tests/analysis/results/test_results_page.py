"""RESULTS.md is what its template and the committed records make of it, to the letter."""

from __future__ import annotations

import re
from pathlib import Path

from hpobench_fds.analysis.results.rendering import everything, rendered

ROOT = Path(__file__).parents[3]


def test_the_page_is_that_of_the_records() -> None:
    assert (ROOT / "RESULTS.md").read_text() == rendered(everything(ROOT / "results"))


def test_every_picture_of_the_page_is_there() -> None:
    pictures = re.findall(r"!\[.*\]\((.*)\)", (ROOT / "RESULTS.md").read_text())
    assert len(pictures) > 5
    assert [path for path in pictures if not (ROOT / path).exists()] == []
