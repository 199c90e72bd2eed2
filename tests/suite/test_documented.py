"""The suites that README and guides show are valid, and every block of TOML is TOML."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hpobench_fds.suite.config import Suite

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    (f"{page.name}-{i}", tomllib.loads(block))
    for page in PAGES
    for i, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.S))
]
WHOLE = {name: block for name, block in BLOCKS if "name" in block}


def test_readme_and_guide_show_a_whole_suite() -> None:
    assert {name.split("-")[0] for name in WHOLE} >= {"README.md", "suites.md"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_suite_is_valid(name: str) -> None:
    suite = Suite.from_dict(WHOLE[name], where=name)
    assert suite.cells()


@pytest.mark.parametrize("name", [name for name, block in BLOCKS if name not in WHOLE])
def test_a_part_fits_into_a_suite(name: str) -> None:
    """Laid over a small suite; a hyperparameter alone is of its problem."""
    block: dict[str, Any] = dict(dict(BLOCKS)[name])
    space = block.pop("space", {})
    problem = {"dataset": "digits", "horizon": 500, "space": space} if space else PLAIN
    suite = Suite.from_dict({**BASE, "problems": {"p": problem}, **block}, where=name)
    assert suite.cells()


PLAIN = {"dataset": "digits", "horizon": 500}
BASE: dict[str, Any] = {
    "name": "documented", "seeds": [0], "budget": {"seconds": 1}, "methods": {"random_search": {}},
}  # fmt: skip
