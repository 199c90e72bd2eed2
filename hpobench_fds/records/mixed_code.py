"""Cells of one results folder that ran different versions of one file of the user's."""

from __future__ import annotations

from collections.abc import Mapping

SHOWN = 8  # letters of a digest that are shown
MOST_NAMED = 5  # cells


def mixed_code(cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Files of which not all cells that used them had the same, a line each that names those of the fewer.

    ``cells`` : for each cell, digests of its files by path.
    """
    users: dict[str, dict[str, list[str]]] = {}
    for cell, sources in cells.items():
        for path, digest in sources.items():
            users.setdefault(path, {}).setdefault(digest, []).append(cell)
    return [_told(path, versions) for path, versions in sorted(users.items()) if len(versions) > 1]


def _told(path: str, versions: Mapping[str, list[str]]) -> str:
    (most, many), *others = sorted(versions.items(), key=lambda item: -len(item[1]))
    told = [f"{_count(many)} with sha256 {most[:SHOWN]}"]
    for digest, cells in others:
        named = ", ".join(cells[:MOST_NAMED]) + (", ..." if len(cells) > MOST_NAMED else "")
        told.append(f"{_count(cells)} with {digest[:SHOWN]} ({named})")
    return f"{path} was edited between its runs: {'; '.join(told)}"


def _count(cells: list[str]) -> str:
    return "1 cell ran" if len(cells) == 1 else f"{len(cells)} cells ran"
