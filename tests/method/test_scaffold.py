"""A new method's files: written once, valid, conforming as they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.method.registry import resolve
from hpobench_fds.method.scaffold import check, class_name, new_method
from hpobench_fds.suite.config import Suite


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_it_writes_an_adapter_that_conforms_and_a_test_that_passes(tmp_path: Path) -> None:
    adapter, test = new_method("my_method", tmp_path)
    assert (adapter, test) == (tmp_path / "my_method.py", tmp_path / "test_my_method.py")
    report = check(f"{adapter}:MyMethod")
    assert report.passed, str(report)
    assert str(report).endswith(f"{adapter}:MyMethod keeps the contract")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_it_can_be_put_into_a_suite_by_its_path(tmp_path: Path) -> None:
    new_method("my_method", tmp_path)
    suite = {
        "name": "mine",
        "seeds": [0],
        "budget": {"steps": 40},
        "problems": {"p": {"dataset": "digits", "horizon": 10}},
        "methods": {"mine": {"adapter": "my_method.py:MyMethod", "width": 0.3}},
    }
    (cell,) = Suite.from_dict(suite, base=tmp_path).cells()
    assert cell.options == {"width": 0.3}
    assert resolve("my_method.py:MyMethod", base=tmp_path).name == "my_method"


@pytest.mark.parametrize("name", ["a", "es2", "_private", "straße", "x" * 40, "score", "abx"])
def test_what_it_writes_is_python_for_any_name(name: str, tmp_path: Path) -> None:
    for path in new_method(name, tmp_path):
        text = path.read_text(encoding="utf-8")
        ast.parse(text)
        assert "$" not in text
        assert all(len(line) <= 110 for line in text.splitlines()) or len(name) > 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "a Python identifier in lower case"),
        ("my method", "'my method' (allowed: a Python identifier in lower case: my_method)"),
        ("../evil", "a Python identifier"),
        ("MyMethod", "in lower case"),
        ("class", "a Python identifier"),
        ("2fast", "a Python identifier"),
        ("_", "a Python identifier"),
        ("task", "Task is the contract's own"),
        ("ask_tell", "AskTell is the contract's own"),
        ("fds", "there is a method 'fds' already"),
        ("random", "a module's name already"),
        ("numpy", "a module's name already"),
    ],
)
def test_names_that_would_not_work_are_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        new_method(name, tmp_path)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["my_method.py", "test_my_method.py"])
def test_nothing_is_overwritten_nor_half_written(existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(InputError, match=rf"{existing} exists and is not overwritten"):
        new_method("my_method", tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        new_method("my_method", tmp_path / "nowhere")


def test_class_names() -> None:
    assert [class_name(name) for name in ("my_method", "a", "es2", "_x__y")] == ["MyMethod", "A", "Es2", "XY"]


def test_check_takes_names_and_paths_and_reports_failures(tmp_path: Path) -> None:
    assert check("random_search").passed
    path = tmp_path / "bad.py"
    path.write_text(
        "from hpobench_fds.method import AskTell, Proposal\n"
        "class Bad(AskTell):\n"
        "    'Goes too far.'\n"
        "    name, paper = 'bad', 'none'\n"
        "    def ask(self, task):\n"
        "        return Proposal(task.space.from_vector(2 * task.space.high + task.rng.random()))\n"
    )
    report = check(f"{path}:Bad")
    assert not report.passed
    assert "stays in bounds" in str(report)
    assert str(report).endswith("rules checked")
    with pytest.raises(InputError, match="unknown method 'nosuch'"):
        check("nosuch")
    with pytest.raises(InputError, match="unknown key 'width'"):
        check("random_search", {"width": 1})
