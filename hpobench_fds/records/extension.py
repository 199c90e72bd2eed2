"""A larger budget for a folder that has results: which may follow which, and what is on record of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Budget = Mapping[str, float | None]

EARLIER = "extended_from"  # of a problem in suite.json: the budgets that it had before


def is_larger(old: Budget, new: Budget) -> bool:
    """Whether all that could be spent before can be spent now, and more: no limit is lower than it was."""
    names = {*old, *new}
    kept = all(
        (after := new.get(name)) is None or ((before := old.get(name)) is not None and after >= before)
        for name in names
    )
    return kept and any(old.get(name) != new.get(name) for name in names)


def extended(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any] | None:
    """A problem of ``suite.json`` with the budget of ``new``, the old one kept; None if it is no larger."""
    if not is_larger(old["budget"], new["budget"]):
        return None
    return {**new, EARLIER: [*old.get(EARLIER, []), old["budget"]]}


def earlier_budgets(suite: Mapping[str, Any], problem: str) -> list[dict[str, Any]]:
    """The budgets that a problem of a suite, as recorded, had before it was extended, the first one first."""
    found: list[dict[str, Any]] = (suite.get("problems", {}).get(problem) or {}).get(EARLIER) or []
    return found
