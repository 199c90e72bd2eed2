"""A cell: one run of a suite, with all that decides its outcome."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hpobench_fds.errors import InputError
from hpobench_fds.records.configuration import configuration_hash
from hpobench_fds.records.extension import earlier_budgets
from hpobench_fds.training.problem import MOST_EPOCHS, ProblemConfig

BUDGETS = "seconds, steps, epochs or gradient_equivalents"


class BudgetConfig(BaseModel):
    """What each cell may spend: seconds of the fair clock, inner steps or epochs, gradient-equivalents."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seconds: float | None = Field(default=None, gt=0, description="Of the method's own time.")
    steps: int | None = Field(default=None, ge=1, description="Inner steps.")
    epochs: float | None = Field(
        default=None,
        gt=0,
        le=MOST_EPOCHS,
        description="In place of steps: epochs of the training split.",
    )
    gradient_equivalents: float | None = Field(
        default=None,
        gt=0,
        description="Passes over a training batch, forward and backward; products by their FLOPs.",
    )

    @model_validator(mode="after")
    def _check(self) -> BudgetConfig:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(f"no budget: give {BUDGETS}")
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        return self

    def inner_steps(self, steps_per_epoch: int) -> int | None:
        """The limit on inner steps, if there is one."""
        return self.steps if self.epochs is None else max(1, round(self.epochs * steps_per_epoch))


def _number_or_all(value: object) -> object:
    """Said here, since a union's own complaints name its branches."""
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise ValueError(f'got {json.dumps(value, default=str)} (allowed: a whole number from 1, or "all")')


class RefereeConfig(BaseModel):
    """What the referee retrains, off every clock; it decides which numbers there are, none of them.

    ``points`` incumbents of a run, spread evenly over the logarithm of method time, the last among them,
    each in ``draws`` fresh draws of initialisation and order that all methods share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    draws: int = Field(default=1, ge=1, le=1000, description="Fresh draws of each retraining.")
    points: Annotated[int | Literal["all"], BeforeValidator(_number_or_all)] = Field(
        default=1, description="Incumbents that are retrained, the last among them, or all."
    )

    def retrainings(self) -> int | None:
        """How many a cell has at most, the last schedule beside the incumbents'; None: it cannot be told."""
        return None if self.points == "all" else self.draws * self.points + 1


LEAST_RETRAINED = RefereeConfig()  # the last incumbent alone, once


@dataclass(frozen=True)
class Cell:
    """One run: a problem, a method and a seed, with all that decides its outcome. Plain data.

    ``base`` is the folder that an adapter's path is relative to; ``options`` have defaults filled in.
    ``referee`` decides nothing of the outcome, but how much of it is measured. ``sources`` are digests of
    an adapter's and a model's files, by path, as they were when the cell was made. ``earlier_budgets`` are
    those that it had before it was given a larger one, as plain data.
    """

    suite: str
    problem: str
    config: ProblemConfig
    method: str
    adapter: str
    options: dict[str, Any]
    seed: int
    budget: BudgetConfig
    base: Path
    referee: RefereeConfig = LEAST_RETRAINED
    sources: dict[str, str] = field(default_factory=dict)
    earlier_budgets: tuple[dict[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.problem}/{self.method}/seed-{self.seed}"

    @property
    def config_hash(self) -> str:
        """Of the effective configuration: the same whatever the order of keys or the labels."""
        return self._hash(self.budget.model_dump(mode="json"))

    def is_extension_of(self, config_hash: str) -> bool:
        """Whether that is this cell's hash with one of its earlier budgets."""
        return config_hash in map(self._hash, self.earlier_budgets)

    def _hash(self, budget: dict[str, Any]) -> str:
        config = self.config.model_dump(mode="json")
        return configuration_hash(config, self.adapter, self.options, budget, self.seed)


def with_earlier_budgets(cells: Sequence[Cell], suite: Mapping[str, Any]) -> list[Cell]:
    """Cells with the budgets that their problems had before, by the suite as it is recorded."""
    earlier = {name: tuple(earlier_budgets(suite, name)) for name in {cell.problem for cell in cells}}
    return [replace(cell, earlier_budgets=earlier[cell.problem]) for cell in cells]


def part_of(cells: list[Cell], part: str | tuple[int, int] | None) -> list[Cell]:
    """The i-th of n parts of the cells. Raises InputError."""
    if part is None:
        return cells
    text = part if isinstance(part, str) else "/".join(map(str, part))
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    i, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= i <= n:
        raise InputError(f"got {text!r}", key="cell", allowed="i/n, 1 <= i <= n: the i-th of n parts")
    return cells[i - 1 :: n]
