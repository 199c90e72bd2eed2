"""The results folders below a folder: which suites there are, each loaded, or why it cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpobench_fds.errors import InputError
from hpobench_fds.records.folder import SUITE_FILE
from hpobench_fds.wording import printable

from .. import loading


@dataclass(frozen=True, eq=False)
class Volume:
    """One suite's results: ``key``, a file name that no other has; ``loaded``, or in ``trouble`` why not."""

    key: str
    folder: Path
    loaded: loading.Loaded | None
    trouble: str = ""

    @property
    def name(self) -> str:
        """The suite's; of one that cannot be read the folder's."""
        return printable(str(self.loaded.suite["name"] if self.loaded else self.folder.name))


class FileNames:
    """File names from any texts, each given once, whatever the file system thinks of capitals."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def __call__(self, text: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:80] or "unnamed"
        name, count = plain, 1
        while name.lower() in self._given:
            count += 1
            name = f"{plain}-{count}"
        self._given.add(name.lower())
        return name


def shelf(root: Path) -> list[Volume]:
    """All suites at or below a folder, by path; links are not followed.

    Raises
    ------
    InputError : no such folder, no suite below it, or none that can be read.
    """
    if not root.is_dir():
        raise InputError("no such folder", where=root)
    names, volumes = FileNames(), []
    for folder in _folders(root):
        key = names(root.resolve().name if folder == root else str(folder.relative_to(root)))
        try:
            volumes.append(Volume(key, folder, loading.load(folder)))
        except InputError as error:
            volumes.append(Volume(key, folder, None, str(error)))
    if not volumes:
        raise InputError(f"no results below it: no folder with a {SUITE_FILE}", where=root)
    if not any(volume.loaded for volume in volumes):
        raise InputError(f"none of {len(volumes)} suites can be read: {volumes[0].trouble}", where=root)
    return volumes


def _folders(root: Path) -> Iterator[Path]:
    """Results folders; what lies inside one is its own."""
    for place, below, files in os.walk(root):
        below.sort()
        if SUITE_FILE in files:
            below.clear()
            yield Path(place)
