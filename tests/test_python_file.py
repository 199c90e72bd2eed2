"""Users' files: found beside the suite, imported with what lies beside them, told by their digests."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from hpobench_fds.errors import InputError
from hpobench_fds.python_file import find_file, import_file, sources


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_path_leads_from_the_suite_s_folder_and_then_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = write(tmp_path / "suite" / "net.py", "")
    here = write(tmp_path / "here" / "net.py", "")
    only_here = write(tmp_path / "here" / "other.py", "")
    monkeypatch.chdir(tmp_path / "here")
    assert find_file("net.py", tmp_path / "suite")[0] == beside
    assert find_file("net.py")[0] == here
    assert find_file("other.py", tmp_path / "suite")[0] == only_here
    assert find_file("gone.py", tmp_path / "suite") == (
        None,
        [tmp_path / "suite" / "gone.py", Path("gone.py")],
    )


def test_a_file_imports_the_modules_and_packages_beside_it_and_leaves_no_trace(tmp_path: Path) -> None:
    write(tmp_path / "widths_of_it.py", "WIDTH = 3\n")
    write(tmp_path / "parts_of_it" / "__init__.py", "from parts_of_it.inner import DEPTH\n")
    write(tmp_path / "parts_of_it" / "inner.py", "DEPTH = 2\n")
    path = write(tmp_path / "net.py", "from widths_of_it import WIDTH\nfrom parts_of_it import DEPTH\n")
    paths, finders = list(sys.path), list(sys.meta_path)
    module = import_file(path)
    assert (module.WIDTH, module.DEPTH) == (3, 2)
    assert (sys.path, sys.meta_path) == (paths, finders)
    assert not {"widths_of_it", "parts_of_it", "parts_of_it.inner"} & set(sys.modules)


def test_siblings_of_one_name_in_two_folders_do_not_meet(tmp_path: Path) -> None:
    found = []
    for width in (3, 7):
        write(tmp_path / str(width) / "helpers_of_it.py", f"WIDTH = {width}\n")
        path = write(tmp_path / str(width) / "net.py", "from helpers_of_it import WIDTH\n")
        found.append(import_file(path).WIDTH)
    assert found == [3, 7]


def test_a_sibling_goes_before_a_module_of_its_name_that_happens_to_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "elsewhere" / "helpers_in_use.py", "WIDTH = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    import helpers_in_use  # type: ignore[import-not-found]

    write(tmp_path / "beside" / "helpers_in_use.py", "WIDTH = 2\n")
    path = write(tmp_path / "beside" / "net.py", "from helpers_in_use import WIDTH\n")
    assert import_file(path).WIDTH == 2
    assert sys.modules["helpers_in_use"] is helpers_in_use
    del sys.modules["helpers_in_use"]


@pytest.mark.parametrize("name", ["numpy", "json"])
def test_what_is_installed_goes_before_a_sibling(tmp_path: Path, name: str) -> None:
    """An adapter of a library is often called as the library is."""
    path = write(tmp_path / f"{name}.py", f"import {name} as library\n")
    module = import_file(path)
    assert module.library is __import__(name)


def test_annotations_in_a_sibling_are_found_when_they_are_needed_later(tmp_path: Path) -> None:
    from pydantic import TypeAdapter

    write(
        tmp_path / "options_of_it.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import Literal\n"
        "@dataclass\nclass Options:\n    kind: Literal['a', 'b'] = 'a'\n",
    )
    module = import_file(write(tmp_path / "mine.py", "from options_of_it import Options\n"))
    assert TypeAdapter(module.Options).validate_python({"kind": "b"}).kind == "b"


def test_an_edited_sibling_is_read_again_at_once(tmp_path: Path) -> None:
    """Even within the second, and of the same length, by which a cached compilation would be told."""
    sibling = write(tmp_path / "values_of_it.py", "WIDTH = 3\n")
    path = write(tmp_path / "net.py", "from values_of_it import WIDTH\n")
    first = import_file(path)
    assert import_file(path) is first
    sibling.write_text("WIDTH = 4\n")
    assert (first.WIDTH, import_file(path).WIDTH) == (3, 4)
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_file_and_the_siblings_that_it_imports_are_told_by_their_digests(tmp_path: Path) -> None:
    write(tmp_path / "nets" / "used_by_it.py", "WIDTH = 3\n")
    write(tmp_path / "nets" / "not_used_by_it.py", "WIDTH = 3\n")
    write(tmp_path / "nets" / "net.py", "import used_by_it\n")
    wanted = {"nets/net.py": sha256("import used_by_it\n"), "nets/used_by_it.py": sha256("WIDTH = 3\n")}
    assert sources("nets/net.py:build", tmp_path) == wanted
    write(tmp_path / "nets" / "used_by_it.py", "WIDTH = 5\n")
    edited = {**wanted, "nets/used_by_it.py": sha256("WIDTH = 5\n")}
    assert sources("nets/net.py:build", tmp_path) == edited


def test_digests_of_a_file_that_is_not_there_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model: there is no file .*gone\.py or gone\.py"):
        sources("gone.py:build", tmp_path, key="model")


def test_a_file_that_fails_leaves_nothing_of_itself_or_of_its_siblings(tmp_path: Path) -> None:
    write(tmp_path / "good_part.py", "")
    path = write(tmp_path / "net.py", "import good_part\n1 / 0\n")
    before = set(sys.modules)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        import_file(path)
    assert not {name for name in set(sys.modules) - before if name == "good_part" or "_net_" in name}
