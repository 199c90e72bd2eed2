"""A cell's configuration by the suite's record, and its hash, which tells which run a record is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpobench_fds.plain import content_hash

CAME_LATER = ("final_epochs", "gradient_equivalents")  # keys that hashes of older records know nothing of


def config_of(suite: Mapping[str, Any], problem: str, method: str) -> dict[str, Any]:
    """A problem of a suite, both as recorded, as a method sees it: with that method's own space."""
    config: dict[str, Any] = suite["problems"][problem]["config"]
    own = suite["methods"][method].get("space", {}).get(problem)
    return {**config, "space": {**config.get("space", {}), **own}} if own else config


def configuration_hash(
    problem: Mapping[str, Any], adapter: str, options: Mapping[str, Any], budget: Mapping[str, Any], seed: int
) -> str:
    """The hash of all that decides a cell's outcome, given as plain data."""
    problem, budget = (
        {key: value for key, value in table.items() if key not in CAME_LATER or value is not None}
        for table in (problem, budget)
    )
    cell = {"problem": problem, "adapter": adapter, "options": options, "budget": budget, "seed": seed}
    return content_hash(cell)
