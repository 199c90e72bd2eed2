"""Every adapter that the documentation shows keeps the contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from hpobench_fds.method.conformance import assert_conforms
from hpobench_fds.method.contract import Method
from hpobench_fds.python_file import import_file

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    pytest.param(block, id=f"{page.name}:{text[: text.index(block)].count(chr(10)) + 1}")
    for page in PAGES
    for text in [page.read_text(encoding="utf-8")]
    for block in re.findall(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)
    if re.search(r"^class \w+\((AskTell|OuterLoop|ModeLoop|OnlineLoop|Method)\)", block, re.MULTILINE)
]


def test_there_are_examples() -> None:
    assert any(example.id and example.id.startswith("README.md") for example in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_adapter_in_the_documentation_keeps_the_contract(example: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    path = tmp_path / "example.py"
    path.write_text(example)
    module = import_file(path)
    methods = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]  # fmt: skip
    assert methods
    for method in methods:
        assert_conforms(method)
