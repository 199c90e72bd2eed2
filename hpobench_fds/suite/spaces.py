"""A method's own space: what it searches in place of the problem's; so families stand side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from hpobench_fds.errors import InputError
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.training.problem import ProblemConfig, too_many_windows
from hpobench_fds.typed import dotted, validated

OF_A_FAMILY = ("windows", "warmup", "start", "final")  # keys that another family has no use for

OF_THE_RANGE = ("family", "low", "high", "scale")  # what a first step is small against

Tables = Mapping[str, Mapping[str, Any]]


def with_space(config: ProblemConfig, tables: Tables, *, where: object, key: str) -> ProblemConfig:
    """The problem with a method's tables laid over its space, key by key.

    Of a hyperparameter whose family changes, ``windows`` and whatever else only the old family has is
    dropped, and so is an initial value for each window; of one whose range or scale does, the first step.

    Raises
    ------
    InputError : a table that makes no space, a hyperparameter that the optimiser does not have.
    """
    space = dict(config.space)
    for name, table in tables.items():
        known = config.space.get(name)
        base = {} if known is None else _kept(known, table)
        place = dotted(key, location=[name])
        space[name] = validated(HyperparameterSpace, {**base, **table}, where=where, key=place)
    tables_of_all = {name: one.model_dump(mode="json") for name, one in space.items()}
    try:
        made = ProblemConfig.model_validate({**config.model_dump(mode="json"), "space": tables_of_all})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = str(first.get("ctx", {}).get("error", first["msg"]))
        raise InputError(problem, where=where, key=key) from error
    too_many = too_many_windows(made.space, made.horizon) if made.horizon is not None else None
    if too_many:
        raise InputError(too_many.removeprefix("space."), where=where, key=key)
    return made


def _kept(known: HyperparameterSpace, table: Mapping[str, Any]) -> dict[str, Any]:
    """What a method's table leaves standing of the problem's."""
    kept = known.model_dump(mode="json", exclude_none=True)
    if table.get("family", known.family) != known.family:
        for name in OF_A_FAMILY:
            kept.pop(name, None)
        if isinstance(known.initial, tuple):
            del kept["initial"]
    if any(table.get(name, getattr(known, name)) != getattr(known, name) for name in OF_THE_RANGE):
        kept.pop("step", None)  # which was a small change of another range
    return kept


def replaced(config: ProblemConfig, own: ProblemConfig) -> dict[str, Any]:
    """The hyperparameters whose space is the method's own, as plain data: all of each."""
    return {
        name: space.model_dump(mode="json")
        for name, space in own.space.items()
        if config.space.get(name) != space
    }
