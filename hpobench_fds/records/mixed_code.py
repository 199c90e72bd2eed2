"""Cells of one results folder that ran different versions of one file of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from hpobench_fds.records.schema import RunRecord

SHOWN = 8  # letters of a digest that are shown
MOST_NAMED = 5  # cells


def mixed_code(records: Iterable[RunRecord]) -> list[str]:
    """Files of which not all cells that are compared had the same, a line each that names those of the fewer.

    An adapter's cells are compared with each other, since a file may hold several methods and one be mended;
    those of a model's file with all that use it.
    """
    users: dict[tuple[str, str], dict[str, list[str]]] = {}
    for record in records:
        model = str(record.problem_config.get("model", "")).rpartition(":")[0]
        for path, digest in record.sources.items():
            method = "" if Path(path) == Path(model) else record.method
            cell = f"{record.problem}/{record.method}/seed-{record.seed}"
            users.setdefault((path, method), {}).setdefault(digest, []).append(cell)
    return [_told(path, versions) for (path, _), versions in sorted(users.items()) if len(versions) > 1]


def _told(path: str, versions: Mapping[str, list[str]]) -> str:
    (most, many), *others = sorted(versions.items(), key=lambda item: -len(item[1]))
    told = [f"{_count(many)} with sha256 {most[:SHOWN]}"]
    for digest, cells in others:
        named = ", ".join(cells[:MOST_NAMED]) + (", ..." if len(cells) > MOST_NAMED else "")
        told.append(f"{_count(cells)} with {digest[:SHOWN]} ({named})")
    return f"{path} was edited between its runs: {'; '.join(told)}"


def _count(cells: list[str]) -> str:
    return "1 cell ran" if len(cells) == 1 else f"{len(cells)} cells ran"
