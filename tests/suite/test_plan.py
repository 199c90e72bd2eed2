"""A plan tells what a run would do, and does nothing; the schema accepts what the loader accepts."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from real_run import SUITE, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.suite.built_in import builtin_suites
from hpobench_fds.suite.config import Suite, suite_schema
from hpobench_fds.suite.plan import plan


def suite(**changes: Any) -> Suite:
    return Suite.from_dict({**SUITE, **changes})


def test_a_new_suite_is_all_to_do_and_nothing_is_written(tmp_path: Path) -> None:
    planned = plan(suite(budget={"seconds": 30}), tmp_path / "out")
    assert [one.status for one in planned.cells] == ["to do"] * 4
    assert (planned.seconds(), planned.seconds(jobs=2)) == (120, 60)
    assert list(tmp_path.iterdir()) == []


def test_cells_side_by_side_take_as_long_as_the_job_that_ends_last(tmp_path: Path) -> None:
    planned = plan(suite(budget={"seconds": 30}, seeds=[0, 1, 2], methods={"fds": {}}), tmp_path / "out")
    assert [planned.seconds(jobs) for jobs in (1, 2, 3, 8)] == [90, 60, 30, 30]


def test_a_budget_in_steps_alone_has_no_known_time(tmp_path: Path) -> None:
    assert plan(suite(), tmp_path / "out").seconds() is None


def test_what_has_been_run_is_not_to_do(tmp_path: Path) -> None:
    folder = copy_of_results(tmp_path / "out")
    assert plan(suite(), folder).todo == []
    more = plan(suite(seeds=[0, 1, 2]), folder)
    assert [one.cell.seed for one in more.todo] == [2, 2]


def test_runs_on_record_say_how_long_a_budget_in_steps_takes(tmp_path: Path) -> None:
    planned = plan(suite(seeds=[0, 1, 2]), copy_of_results(tmp_path / "out"))
    seconds = planned.seconds()
    assert seconds is not None
    assert planned.overhead is not None
    method = sum(one.seconds or 0 for one in planned.todo)
    assert seconds == pytest.approx(method * (1 + planned.overhead))
    assert seconds > method > 0


def test_a_folder_of_another_suite_is_an_input_error(tmp_path: Path) -> None:
    folder = copy_of_results(tmp_path / "out")
    with pytest.raises(InputError, match="holds the suite 'tiny'"):
        plan(suite(name="other"), folder)


def accepts(data: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(suite_schema()).is_valid(data)


@pytest.mark.parametrize("name", builtin_suites())
def test_the_schema_accepts_every_built_in_suite(name: str) -> None:
    content = resources.files("hpobench_fds.benchmarks").joinpath(f"{name}.toml").read_text()
    assert accepts(tomllib.loads(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": "0-x"},
        {"seeds": []},
        {"budget": {"seconds": -1}},
        {"budget": {"hours": 1}},
        {"problems": {}},
        {"surprise": 1},
        {"problems": {"p": {"dataset": 3}}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(changes: dict[str, Any]) -> None:
    data = {**SUITE, **changes}
    assert not accepts(data)
    with pytest.raises(InputError):
        Suite.from_dict(data)


def test_the_schema_says_what_its_keys_are() -> None:
    tables = suite_schema()
    assert all("description" in key for key in tables["properties"].values())
    assert all("description" in key for key in tables["$defs"]["BudgetConfig"]["properties"].values())


def test_the_schema_accepts_seeds_as_text_and_options_of_methods() -> None:
    assert accepts(
        {**SUITE, "seeds": "0-4,7", "methods": {"a": {"adapter": "fds", "outer": {"kind": "adam"}}}}
    )
