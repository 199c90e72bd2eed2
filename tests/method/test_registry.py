"""Methods are found by name or by path; options are typed; every mistake is one line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from hpobench_fds.errors import InputError
from hpobench_fds.method import Method
from hpobench_fds.method.registry import GROUP, Registered, methods, options_as_data, parse_options, resolve

MINE = """
from pydantic import Field
from hpobench_fds.method import AskTell, Method, Options, Proposal

class Mine(AskTell):
    name = "mine"
    class Options(Options):
        width: int = Field(default=3, ge=1)
    def ask(self, task):
        return None

class Unfinished(Method):
    name = "unfinished"

class Nameless(Mine):
    name = None

class Other:
    pass
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_built_in_methods_come_through_the_entry_points() -> None:
    known = methods()
    assert {"fds", "random_search"} <= set(known)
    assert issubclass(known["fds"], Method)
    assert known["fds"].name == "fds"


def test_listing_names_imports_no_torch() -> None:
    code = (
        "import sys, hpobench_fds.method.registry as r; list(r.methods()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_package_found_twice_is_one_but_two_methods_of_a_name_are_refused() -> None:
    first = EntryPoint("fds", "hpobench_fds.methods.fds:FDS", GROUP)
    other = EntryPoint("fds", "someone.elses:FDS", GROUP)
    assert Registered([first, first])["fds"].name == "fds"
    with pytest.raises(InputError, match=r"'fds' is registered more than once: .*FDS, someone.*FDS"):
        Registered([first, other])["fds"]


def test_a_package_that_cannot_be_imported_hides_no_other() -> None:
    broken = EntryPoint("broken", "no_such_package.here:Method", GROUP)
    known = Registered([broken, EntryPoint("fds", "hpobench_fds.methods.fds:FDS", GROUP)])
    assert known["fds"].name == "fds"
    with pytest.raises(InputError, match=r"'broken' .* cannot be loaded: ModuleNotFoundError"):
        known["broken"]


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(InputError) as error:
        resolve("random_serch", where="s.toml", key="methods.a.adapter")
    text = line(error)
    assert text.startswith(
        "s.toml: methods.a.adapter: unknown method 'random_serch', did you mean 'random_search'?"
    )
    assert "fds" in text.partition("allowed")[2]


def test_a_path_is_looked_up_beside_the_suite_and_then_here(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve("mine.py:Mine", base=mine).name == "mine"
    monkeypatch.chdir(mine)
    assert resolve("mine.py:Mine", base=Path("/")).name == "mine"
    assert resolve(f"{mine}/mine.py:Mine").name == "mine"


def test_a_file_is_imported_once_until_it_changes(mine: Path) -> None:
    first = resolve("mine.py:Mine", base=mine)
    assert resolve("mine.py:Mine", base=mine) is first
    (mine / "mine.py").write_text(MINE.replace('"mine"', '"changed"'))
    assert resolve("mine.py:Mine", base=mine).name == "changed"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone.py:Mine", "no file"),
        ("mine.py:Mien", "unknown class in"),
        ("mine.py:Mien", "did you mean 'Mine'?"),
        ("mine.py:Other", "not a subclass"),
        ("mine.py:Unfinished", "does not define run"),
        ("mine.py:Nameless", "has no name"),
        ("mine.py", "FILE.py:CLASS"),
        ("mine:Mine", "FILE.py:CLASS"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(mine: Path, path: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        resolve(path, base=mine, where="s.toml", key="methods.m.adapter")
    assert said in line(error)
    assert line(error).startswith("s.toml: methods.m.adapter: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:\n", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("\x00", "SyntaxError" if sys.version_info >= (3, 12) else "null bytes"),
    ],
)
def test_a_file_that_does_not_import_is_named_with_the_cause(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(InputError) as error:
        resolve("broken.py:Mine", base=tmp_path)
    assert "broken.py cannot be imported: " in line(error)
    assert said in line(error)


def test_options_are_typed_and_have_defaults(mine: Path) -> None:
    method = resolve("mine.py:Mine", base=mine)
    assert parse_options(method, {"width": 5}).width == 5
    assert options_as_data(parse_options(method, {})) == {"width": 3}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"widht": 5}, "s.toml: methods.m: unknown key 'widht', did you mean 'width'? (allowed: width)"),
        ({"width": 0}, "s.toml: methods.m.width: got 0 (allowed: 1 or more)"),
        ({"width": "5"}, 's.toml: methods.m.width: got "5" (allowed: a whole number)'),
        ({"width": True}, "s.toml: methods.m.width: got true (allowed: a whole number)"),
        ({"width": 1.5}, "s.toml: methods.m.width: got 1.5 (allowed: a whole number)"),
    ],
)
def test_a_bad_option_is_named_with_its_value_and_what_is_allowed(
    mine: Path, raw: dict[str, object], said: str
) -> None:
    method = resolve("mine.py:Mine", base=mine)
    with pytest.raises(InputError) as error:
        parse_options(method, raw, where="s.toml", key="methods.m")
    assert line(error) == said


def test_a_bad_option_deep_inside_is_named_in_full() -> None:
    fds = methods()["fds"]
    with pytest.raises(InputError) as error:
        parse_options(fds, {"outer": {"kind": "adm"}}, key="methods.fds")
    said = "methods.fds.outer.kind: got \"adm\", did you mean 'adam'? "
    assert line(error) == said + "(allowed: 'sign', 'rprop', 'adam' or 'plain')"
    with pytest.raises(InputError) as error:
        parse_options(fds, {"outer": {"dekay": 0.1}}, key="methods.fds")
    assert "methods.fds.outer: unknown key 'dekay', did you mean 'decay'?" in line(error)


def test_a_list_is_a_tuple_and_a_whole_number_is_a_number() -> None:
    options = parse_options(methods()["fds"], {"inner_fractions": [0.5, 1]})
    assert options.inner_fractions == (0.5, 1.0)


def test_options_may_be_a_dataclass_and_are_as_strict() -> None:
    @dataclass
    class Plain:
        width: int = 3

    class WithDataclass(Method):
        name = "with_dataclass"
        Options = Plain  # type: ignore[assignment]

        def run(self, task: object) -> str:
            return "done"

    assert parse_options(WithDataclass, {"width": 4}) == Plain(4)
    with pytest.raises(InputError, match="unknown key 'w'"):
        parse_options(WithDataclass, {"w": 4})
    with pytest.raises(InputError, match="a whole number"):
        parse_options(WithDataclass, {"width": "4"})
