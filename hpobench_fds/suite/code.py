"""Which files of a user's decide a cell, code and data: the digests of those that are given by a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpobench_fds.data.own import data_digest, is_own
from hpobench_fds.errors import InputError
from hpobench_fds.python_file import sources

Digests = Mapping[str, str]  # SHA-256 by path
SHOWN = 8  # letters of a digest that are shown


def code_of(adapter: str, model: str, dataset: str, base: Path) -> dict[str, str]:
    """SHA-256 of an adapter's and a model's source and what they import beside them, and of data, by path.

    Nothing of what is registered or built in: the record's commit and library versions tell of these.
    Raises InputError for a file that is not there or cannot be imported.
    """
    found: dict[str, str] = {}
    for key, given in (("adapter", adapter), ("model", model)):
        if ":" in given:
            found |= sources(given, base, key=key)
    if is_own(dataset):
        found |= sources(dataset, base, key="dataset") if ":" in dataset else data_digest(dataset, base)
    return found


def edited(recorded: Digests, now: Digests) -> str | None:
    """In what code differs from that on record, in words; None if it is the same, or none is on record."""
    if not recorded:
        return None
    return "; ".join(
        f"{path} was {_short(recorded.get(path))}, is {_short(now.get(path))}"
        for path in sorted({*recorded, *now})
        if recorded.get(path) != now.get(path)
    ) or None  # fmt: skip


def _short(digest: str | None) -> str:
    return "not used" if digest is None else f"sha256 {digest[:SHOWN]}"


def refuse_edited(cell: object, recorded: Digests, now: Digests, where: object) -> None:
    """Raise InputError unless a cell's code is that on record: its results are of other code."""
    if (difference := edited(recorded, now)) is not None:
        raise InputError(
            f"{cell} was run with other code or data, edited since: {difference}: choose another --out, "
            "undo the edit, or remove the cell's folder",
            where=where,
        )
