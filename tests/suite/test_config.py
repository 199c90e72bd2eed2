"""Suites: what a file may say, what it expands to, and how mistakes are told."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.errors import InputError
from hpobench_fds.suite.built_in import builtin_suites
from hpobench_fds.suite.cell import BudgetConfig
from hpobench_fds.suite.config import Suite, load_suite, parse_seeds

GOOD = """
name = "tiny"
seeds = [0, 3]
device = "cpu"

[budget]
steps = 100

[problems.one]
dataset = "digits"
horizon = 20
space.lr = { windows = 2, low = -1.0, high = 1.0 }

[problems.two]
dataset = "digits"
epochs = 2.5
budget.epochs = 3

[methods.random_search]

[methods.fds-adam]
adapter = "fds"
outer.kind = "adam"
"""


def suite(**changes: Any) -> dict[str, Any]:
    """The good suite with dotted keys changed; None removes one."""
    data = tomllib.loads(GOOD)
    for key, value in changes.items():
        *path, last = key.split("__")
        table = data
        for part in path:
            table = table.setdefault(part, {})
        if value is None:
            del table[last]
        else:
            table[last] = value
    return data


def complaint(data: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        Suite.from_dict(data, where="s.toml")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_suite_expands_by_problem_then_seed_then_method() -> None:
    cells = Suite.from_dict(suite()).cells()
    assert [str(cell) for cell in cells] == [
        "one/random_search/seed-0",
        "one/fds-adam/seed-0",
        "one/random_search/seed-3",
        "one/fds-adam/seed-3",
        "two/random_search/seed-0",
        "two/fds-adam/seed-0",
        "two/random_search/seed-3",
        "two/fds-adam/seed-3",
    ]


def test_a_label_is_the_adapter_unless_one_is_given_and_the_other_keys_are_options() -> None:
    methods = Suite.from_dict(suite()).methods
    assert methods["random_search"] == ("random_search", {"prior": False})
    adapter, options = methods["fds-adam"]
    assert (adapter, options["outer"]["kind"], options["outer"]["decay"]) == ("fds", "adam", 0.5)


def test_a_problems_own_budget_stands_in_place_of_the_suites() -> None:
    budgets = {cell.problem: cell.budget for cell in Suite.from_dict(suite()).cells()}
    assert budgets == {"one": BudgetConfig(steps=100), "two": BudgetConfig(epochs=3)}


def test_epochs_of_a_budget_are_counted_in_inner_steps() -> None:
    assert BudgetConfig(epochs=2.5).inner_steps(steps_per_epoch=10) == 25
    assert BudgetConfig(steps=7).inner_steps(steps_per_epoch=10) == 7
    assert BudgetConfig(seconds=7).inner_steps(steps_per_epoch=10) is None


def test_problems_methods_and_seeds_can_be_chosen() -> None:
    loaded = Suite.from_dict(suite())
    assert {c.problem for c in loaded.cells(problems="two")} == {"two"}
    assert {c.problem for c in loaded.cells(problems=["two", "one"])} == {"one", "two"}
    with pytest.raises(InputError, match=r"problems: unknown problem 'tow', did you mean 'two'\?"):
        loaded.cells(problems="tow")
    assert {c.method for c in loaded.cells(methods="fds-adam")} == {"fds-adam"}
    assert {c.seed for c in loaded.cells(seeds="5-6")} == {5, 6}
    assert {c.seed for c in loaded.cells(seeds=[0])} == {0}
    assert {c.seed for c in loaded.cells(seeds=0)} == {0}
    with pytest.raises(InputError, match=r"methods: unknown method 'fds-adm', did you mean 'fds-adam'\?"):
        loaded.cells(methods="fds-adm")
    with pytest.raises(InputError, match="seeds: got"):
        loaded.cells(seeds="4-2")


@pytest.mark.parametrize("text", ["0-4", "0,1,2-4", " 0, 1,2,3,4 "])
def test_seeds_as_text(text: str) -> None:
    assert parse_seeds(text) == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
def test_seeds_read_back_as_they_are_written(seeds: list[int]) -> None:
    assert parse_seeds(",".join(map(str, seeds))) == parse_seeds(seeds) == seeds


@pytest.mark.parametrize(
    "bad",
    ["", "a", "3-1", "-1", "1-", [], [-1], [0, 0], "0,0", [True], [0.5], 3, None, "0-99999999", [2**63]],
)
def test_bad_seeds_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"got|twice"):
        parse_seeds(bad)


def test_the_hash_is_of_the_content_and_not_of_its_order_or_labels() -> None:
    data = suite()
    turned = {key: data[key] for key in reversed(data)}
    turned["problems"] = {"renamed": dict(reversed(data["problems"]["one"].items()))}
    turned["methods"] = {"also-renamed": dict(reversed(data["methods"]["fds-adam"].items()))}
    of = {(c.problem, c.method, c.seed): c.config_hash for c in Suite.from_dict(data).cells()}
    again = Suite.from_dict(turned).cells(seeds=[3])
    assert again[0].config_hash == of["one", "fds-adam", 3]
    assert len(set(of.values())) == len(of)


def test_the_order_of_free_keys_changes_no_hash_either() -> None:
    def hash_of(names: list[str]) -> str:
        space = {name: {"high": 0.5} for name in names}
        outer = {"step": dict.fromkeys(names, 0.1)}
        data = suite(problems__one__space=space, methods={"fds": {"outer": outer}})
        return Suite.from_dict(data).cells()[0].config_hash

    assert hash_of(["lr", "momentum"]) == hash_of(["momentum", "lr"]) != hash_of(["lr"])


@pytest.mark.parametrize(
    "changes",
    [
        {"problems__one__horizon": 21},
        {"problems__one__space": {"lr": {"windows": 3}}},
        {"methods__fds-adam__outer": {"kind": "adam", "decay": 0.4}},
        {"methods__fds-adam__outer": {"kind": "plain"}},
        {"budget__steps": 101},
    ],
)
def test_the_hash_changes_with_whatever_decides_the_outcome(changes: dict[str, Any]) -> None:
    def hash_of(data: dict[str, Any]) -> str:
        return Suite.from_dict(data).cells(methods="fds-adam", seeds=[0])[0].config_hash

    assert hash_of(suite(**changes)) != hash_of(suite())


def test_writing_out_a_default_changes_no_hash() -> None:
    spelled = suite(problems__one__batch_size=128, budget__seconds=5)
    plain = suite(budget__seconds=5)
    assert [c.config_hash for c in Suite.from_dict(spelled).cells()] == [
        c.config_hash for c in Suite.from_dict(plain).cells()
    ]


BAD = {
    "unknown key": (
        suite(sedes=[1]),
        "s.toml: unknown key 'sedes', did you mean 'seeds'? (allowed: name, seeds,",
    ),
    "key of a problem": (
        suite(problems__one__horizn=3),
        "s.toml: problems.one: unknown key 'horizn', did you",
    ),
    "key of a space": (
        suite(problems__one__space__lr__lo=3),
        "s.toml: problems.one.space.lr: unknown key 'lo'",
    ),
    "no name": (suite(name=None), "s.toml: name: missing"),
    "no methods": (suite(methods={}), "s.toml: methods: got {} (allowed: at least 1)"),
    "no dataset": (suite(problems__one__dataset=None), "s.toml: problems.one.dataset: missing"),
    "dataset": (
        suite(problems__one__dataset="digit"),
        "s.toml: problems.one.dataset: unknown dataset 'digit', did",
    ),
    "model": (
        suite(problems__one__model="mpl"),
        "s.toml: problems.one.model: unknown model 'mpl', did you mean 'mlp'",
    ),
    "horizon 0": (
        suite(problems__one__horizon=0),
        "s.toml: problems.one.horizon: got 0 (allowed: 1 or more)",
    ),
    "horizon true": (
        suite(problems__one__horizon=True),
        "s.toml: problems.one.horizon: got true (allowed: a whole",
    ),
    "horizon and epochs": (suite(problems__one__epochs=1.0), "s.toml: problems.one: give either horizon"),
    "bounds": (
        suite(problems__one__space__lr__low=2.0),
        "s.toml: problems.one.space.lr: low = 2 must be below high = 1",
    ),
    "infinite bound": (
        suite(problems__one__space__lr__high=float("inf")),
        "s.toml: problems.one.space.lr: high = inf",
    ),
    "objective": (
        suite(problems__one__objective="acc"),
        "s.toml: problems.one.objective: got \"acc\" (allowed: 'val_loss' or 'val_accuracy')",
    ),
    "hyperparameter": (
        suite(problems__one__space__beta={}),
        "s.toml: problems.one.space: sgd has no hyperparameter 'beta'",
    ),
    "no budget": (suite(budget=None), "s.toml: no budget for problem 'one'"),
    "empty budget": (
        suite(budget={}),
        "s.toml: budget: no budget: give seconds, steps, epochs or gradient_equivalents",
    ),
    "budget 0": (suite(budget__steps=0), "s.toml: budget.steps: got 0 (allowed: 1 or more)"),
    "negative budget": (suite(budget__seconds=-1.5), "s.toml: budget.seconds: got -1.5 (allowed: above 0)"),
    "infinite budget": (
        suite(budget__seconds=float("inf")),
        "s.toml: budget.seconds: got inf (allowed: a finite",
    ),
    "nan budget": (suite(budget__seconds=float("nan")), "s.toml: budget.seconds: got nan (allowed: a finite"),
    "windows above the horizon": (
        suite(problems={"one": {"dataset": "digits", "horizon": 6}}),
        "s.toml: problems.one: space.lr.windows: got 7 (allowed: at most 6, the inner steps)",
    ),
    "infinite epochs": (
        suite(problems={"one": {"dataset": "digits", "epochs": float("inf")}}),
        "s.toml: problems.one.epochs: got inf (allowed: a finite number)",
    ),
    "nan option": (
        suite(methods__fds={"product_clip": float("nan")}),
        "s.toml: methods.fds.product_clip: got nan (allowed: a finite number)",
    ),
    "nan share of the validation data": (
        suite(problems={"one": {"dataset": "digits", "horizon": 9, "validation_fraction": float("nan")}}),
        "s.toml: problems.one.validation_fraction: got nan (allowed: a finite number)",
    ),
    "range too wide for a number": (
        suite(
            problems={
                "one": {"dataset": "digits", "horizon": 9, "space": {"lr": {"low": -1e308, "high": 1e308}}}
            }
        ),
        "s.toml: problems.one.space.lr: low = -1e+308 and high = 1e+308 are too far apart for a number",
    ),
    "ratio too wide for a number": (
        suite(
            problems={
                "one": {
                    "dataset": "digits",
                    "horizon": 9,
                    "space": {"lr": {"low": 1e-300, "high": 1e100, "initial": 1.0, "scale": "log"}},
                }
            }
        ),
        "are too far apart for a number",
    ),
    "steps and epochs": (suite(budget__epochs=1.0), "s.toml: budget: give steps or epochs, not both"),
    "device": (suite(device="gpu"), 's.toml: device: got "gpu" (allowed: auto, cpu, cuda, cuda:N)'),
    "seeds": (suite(seeds=[1, 1]), "s.toml: seeds: seed 1 is there twice"),
    "negative seed": (suite(seeds=[-1]), "s.toml: seeds: got [-1] (allowed: "),
    "method": (
        suite(methods__fsd={}),
        "s.toml: methods.fsd: unknown method 'fsd', did you mean 'fds'? (allowed: ",
    ),
    "adapter": (suite(methods__a={"adapter": "fsd"}), "s.toml: methods.a.adapter: unknown method 'fsd'"),
    "option": (
        suite(methods__random_search={"n": 3}),
        "s.toml: methods.random_search: unknown key 'n' (allowed: prior)",
    ),
    "options in a table": (
        suite(methods__random_search={"options": {"n": 3}}),
        "s.toml: methods.random_search: unknown key 'options'",
    ),
    "name": (suite(name="../up"), 's.toml: name: the name "../up" cannot be a folder'),
    "problem's name": (suite(problems={"a/b": {"dataset": "digits", "horizon": 3}}), "cannot be a folder"),
    "dots": (suite(methods={"..": {"adapter": "fds"}}), "cannot be a folder"),
    "hidden": (suite(methods={".fds": {"adapter": "fds"}}), "cannot be a folder"),
    "same folder": (
        suite(methods={"fds": {}, "FDS": {"adapter": "fds"}}),
        "'fds' and 'FDS' differ in case alone",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_each_mistake_is_one_line_with_its_place_value_and_what_is_allowed(case: str) -> None:
    data, said = BAD[case]
    assert said in complaint(copy.deepcopy(data))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = \n", "malformed TOML: Invalid value (at line 1, column 8)"),
        (b'name = "a"\nname = "b"\n', "malformed TOML: Cannot overwrite a value (at line 2"),
        (b"[methods.fds]\n[methods.fds]\n", "malformed TOML: Cannot declare"),
        (b"name = '\xff'", "not UTF-8 text: byte 8 is 0xff"),
        (b"\xef\xbb\xbfname = '\xff'", "not UTF-8 text: byte 8 is 0xff"),
        (b"\xff\xfen\0", "not UTF-8 text: byte 0 is 0xff: UTF-16 by its byte order mark, save it as UTF-8"),
    ],
)
def test_malformed_files_are_named_with_the_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_suite(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    text = 'name = "a"\nseeds = [0]\nbudget.seconds = 1\nmethods.fds = {}\n[problems.p]\ndataset = "digits"\n'
    text += "horizon = 10\n"
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load_suite(path).name == "a"


def test_a_missing_file_and_an_unknown_built_in_say_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_suite(tmp_path / "gone.toml")
    with pytest.raises(InputError, match=r"unknown built-in suite 'digit', did you mean 'digits'\?"):
        load_suite("digit")


def test_the_built_in_suites_are_valid() -> None:
    assert "digits" in builtin_suites()
    for name in builtin_suites():
        assert load_suite(name).cells()


def test_an_adapter_by_path_lies_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from hpobench_fds.method import AskTell\n"
        "class Mine(AskTell):\n    name = 'mine'\n    def ask(self, task):\n        return None\n"
    )
    (tmp_path / "s.toml").write_text(GOOD + '[methods.mine]\nadapter = "mine.py:Mine"\n')
    assert load_suite(tmp_path / "s.toml").methods["mine"] == ("mine.py:Mine", {})


class SomeMethod:
    """Given where its path belongs."""


@pytest.mark.parametrize(
    ("key", "methods"),
    [
        ("methods.m", {"m": SomeMethod}),
        ("methods.m.adapter", {"m": {"adapter": SomeMethod}}),
        ("methods.m.outer[1]", {"m": {"outer": [1, SomeMethod]}}),
    ],
)
def test_a_class_in_place_of_a_path_is_named_with_its_key(key: str, methods: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        Suite.from_dict({**tomllib.loads(GOOD), "methods": methods})
    assert str(error.value).startswith(f"suite: {key}: got the class SomeMethod (allowed: plain data")


def test_a_folder_in_place_of_a_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r": a folder, not a suite file \(allowed: a \.toml file\)"):
        load_suite(tmp_path)


def test_a_model_by_path_lies_beside_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "net.py").write_text("def build(shape, classes): ...\n")
    text = 'name = "a"\nseeds = [0]\nbudget.seconds = 1\nmethods.fds = {}\n[problems.p]\ndataset = "digits"\n'
    (tmp_path / "sub" / "s.toml").write_text(text + 'horizon = 10\nmodel = "net.py:build"\n')
    monkeypatch.chdir(tmp_path)
    (cell,) = load_suite("sub/s.toml").cells()
    assert cell.base == Path("sub")
    assert list(cell.sources) == ["net.py"]
