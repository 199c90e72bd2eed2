"""Numbers that are not finite, or that no float can hold, are refused in a line wherever one is read."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from hpobench_fds.errors import InputError
from hpobench_fds.method import Method
from hpobench_fds.method.registry import methods, parse_options
from hpobench_fds.run.backends.ray_cluster import Cluster
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.suite.cell import BudgetConfig
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.limits import Limits
from hpobench_fds.training.problem import AugmentationConfig, ProblemConfig
from hpobench_fds.typed import validated

BAD = [math.inf, -math.inf, math.nan, 10**400]
MODELS: list[type] = [
    AugmentationConfig, BudgetConfig, HyperparameterSpace, Limits, ProblemConfig,
]  # fmt: skip
NAMES = list(methods())


def places(annotation: Any, bad: Any) -> Iterator[Any]:
    """What puts a bad number into each place of a type that holds a float."""
    if annotation is float:
        yield bad
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from ({name: value} for value in places(field.annotation, bad))
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from places(part, bad)
    elif typing.get_origin(annotation) in (list, tuple):
        for part in typing.get_args(annotation):
            yield from ([value] for value in places(part, bad))
    elif typing.get_origin(annotation) is dict:
        yield from ({"lr": value} for value in places(typing.get_args(annotation)[1], bad))


def test_places_are_found_in_lists_tables_and_tables_of_tables() -> None:
    class Inner(BaseModel):
        a: float | None = None
        n: int = 0

    class Outer(BaseModel):
        b: tuple[float, ...] = ()
        c: dict[str, float] = {}
        inner: Inner = Inner()

    assert list(places(Outer, 7)) == [{"b": [7]}, {"c": {"lr": 7}}, {"inner": {"a": 7}}]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:5])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_table_of_a_suite_takes_them(model: type, bad: Any) -> None:
    tried = list(places(model, bad))
    assert tried
    for raw in tried:
        if model is ProblemConfig:
            raw = {"dataset": "digits", **({} if "epochs" in raw else {"horizon": 10}), **raw}
        with pytest.raises(InputError) as caught:
            validated(model, raw)
        text = str(caught.value)
        assert "finite" in text or f"got {bad}"[:9] in text, text


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:5])
@pytest.mark.parametrize("name", NAMES)
def test_no_option_of_a_method_takes_them(name: str, bad: Any) -> None:
    method = methods()[name]
    for raw in places(method.Options, bad):
        with pytest.raises(InputError, match="finite number"):
            parse_options(method, raw)


@dataclasses.dataclass(frozen=True)
class PlainOptions:
    width: float = 1.0
    weights: tuple[float, ...] = ()
    anything: Any = None


class Careless(BaseModel):
    width: float = 1.0


class NestedOptions(Method.Options):
    inner: Careless = Careless()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:5])
@pytest.mark.parametrize(
    ("options", "place"),
    [(PlainOptions, "width"), (PlainOptions, "weights[0]"), (PlainOptions, "anything.x[1]"),
     (NestedOptions, "inner.width")],
)  # fmt: skip
def test_nor_do_options_of_whatever_type(options: type, place: str, bad: Any) -> None:
    raw = {
        "width": {"width": bad}, "weights[0]": {"weights": [bad]},
        "anything.x[1]": {"anything": {"x": [1, bad]}}, "inner.width": {"inner": {"width": bad}},
    }[place]  # fmt: skip
    method = type("M", (Method,), {"Options": options})
    with pytest.raises(InputError) as caught:
        parse_options(method, raw, where="s.toml", key="methods.m")
    assert str(caught.value).startswith(f"s.toml: methods.m.{place}: got ")
    assert str(caught.value).endswith("(allowed: a finite number)")


def test_a_class_may_say_that_it_takes_them() -> None:
    class Open(Method.Options):
        model_config = {"allow_inf_nan": True}  # noqa: RUF012
        most: float = 1.0

    method = type("M", (Method,), {"Options": Open})
    assert parse_options(method, {"most": math.inf}).most == math.inf


@pytest.mark.parametrize("key", ["steps", "seconds"])
def test_whole_numbers_that_no_float_can_hold_are_named(key: str) -> None:
    data = {
        "name": "s", "seeds": [0], "budget": {key: 10**400}, "methods": {"random_search": {}},
        "problems": {"p": {"dataset": "digits", "horizon": 10}},
    }  # fmt: skip
    with pytest.raises(InputError, match=rf"suite: budget\.{key}: got 1000.* \(allowed: a finite number\)"):
        Suite.from_dict(data)


@pytest.mark.parametrize("key", ["epochs", "final_epochs"])
def test_epochs_that_come_to_no_number_of_steps_are_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"{key}: got 1e"):
        validated(ProblemConfig, {"dataset": "digits", "epochs": 1.0, key: 1e308})
    with pytest.raises(InputError, match="epochs: got 1e"):
        validated(BudgetConfig, {"epochs": 1e308})


@pytest.mark.parametrize("bad", BAD[:3])
def test_numbers_of_the_command_line_are_refused_too(bad: float) -> None:
    with pytest.raises(InputError, match="cell_seconds: got"):
        Limits().replaced(bad, None)
    with pytest.raises(InputError, match="cell_memory: got"):
        Limits().replaced(None, bad)
    with pytest.raises(InputError, match="--gpus: got"):
        Cluster(gpus=bad)
