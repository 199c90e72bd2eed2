"""What a run searched, in a few words, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "nothing"


def searched(names: Sequence[str], space: Mapping[str, Any], searches: bool = True) -> str:
    """``lr[10], momentum`` or ``lr as a cosine (peak, warmup)``: windows in brackets, the numbers of a curve.

    Parameters
    ----------
    names : of a flat schedule, as ``RunRecord.schedule_names``.
    space : of each hyperparameter, as the record of its problem has it.
    searches : whether the method looks for a schedule at all.
    """
    if not searches:
        return NOTHING
    numbers: dict[str, list[str]] = {}
    for name in names:
        owner, _, number = name.partition("[")[0].partition(".")
        numbers.setdefault(owner, []).append(number)
    return ", ".join(_one(owner, found, space.get(owner)) for owner, found in numbers.items())


def _one(owner: str, numbers: list[str], table: object) -> str:
    if not numbers[0]:
        return owner if len(numbers) == 1 else f"{owner}[{len(numbers)}]"
    family = str(table.get("family", "curve")) if isinstance(table, Mapping) else "curve"
    return f"{owner} as a {family.replace('_', ' ')} ({', '.join(numbers)})"
