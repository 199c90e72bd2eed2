"""Where and when cells run: devices by name, what is recorded of the machine, how its cores are divided."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_limits

from hpobench_fds.errors import InputError
from hpobench_fds.training.device_policy import settle

SEARCHERS = ("scipy", "optuna", "hyperopt", "cmaes")  # whose versions decide what methods propose


def now() -> str:
    """The time as records have it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Machine:
    """Where cells run, and what is recorded of it."""

    device: torch.device
    description: dict[str, Any]  # kind, name, threads
    software: dict[str, str]
    commit: str | None
    jobs: int = 1


def find_device(text: str, where: object = None) -> torch.device:
    """The device of a name: auto, cpu, cuda or cuda:N. Raises InputError if it is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    present = ["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if text not in present:
        absent = text.removeprefix("cuda").removeprefix(":").isdecimal() or text == "cuda"
        problem = f"{text!r}: there is no such device here" if absent else f"unknown device {text!r}"
        raise InputError(problem, where=where, allowed=present)
    if text == "auto":
        text = "cuda" if count else "cpu"
    # Named by number, so that a switch of the current device moves nothing.
    return torch.device("cuda:0" if text == "cuda" else text)


def find_devices(text: str, where: object = None) -> list[torch.device]:
    """All devices that a name allows for: every GPU for auto and cuda, if there are any."""
    first = find_device(text, where)
    if text in ("auto", "cuda") and first.type == "cuda":
        return [torch.device(f"cuda:{i}") for i in range(torch.cuda.device_count())]
    return [first]


def threads_each(jobs: int) -> int:
    """CPU threads of each of so many cells side by side: a share of the cores, no more than now.

    The cores are those that this process may use, by its affinity and its container's quota: torch counts
    the host's.
    """
    cores: int = joblib.cpu_count()
    return max(1, min(torch.get_num_threads(), cores // jobs))


@contextmanager
def threads_that_fit() -> Iterator[None]:
    """In this block the process has no more threads than it may use cores: what more there are would wait."""
    before, threads = torch.get_num_threads(), threads_each(1)
    if threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):  # numpy's and scikit-learn's
            yield
    finally:
        torch.set_num_threads(before)


def describe_machine(device: torch.device, jobs: int = 1) -> Machine:
    """What is recorded of this machine, its software and the package's commit."""
    return Machine(device, describe_device(device), describe_software(device), describe_commit(), jobs)


def describe_device(device: torch.device) -> dict[str, Any]:
    """Kind and name of a device, the CPU threads of this process, and how a GPU computes.

    Asks the GPU, and so sets it up, by the policy of all runs.
    """
    policy = settle(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {"kind": device.type, "name": name, "threads": torch.get_num_threads(), **policy}


def describe_software(device: torch.device) -> dict[str, str]:
    """Versions of what results depend on."""
    return {
        "hpobench_fds": version("hpobench-fds"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        **{name: version(name) for name in SEARCHERS},
        "platform": platform.platform(),
        **({"cuda": str(torch.version.cuda)} if device.type == "cuda" else {}),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return found or platform.processor() or platform.machine()


def describe_commit() -> str | None:
    """The commit that the package runs from, with ``-dirty`` if it was changed; None outside a checkout."""
    package = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        # An environment inside someone else's checkout is not the package's.
        if Path(git("rev-parse", "--show-toplevel")).resolve() / package.name != package:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def unnamed_machine(device: torch.device, commit: str | None, jobs: int = 1) -> Machine:
    """A machine whose device's name a cell's process finds out, which would set up a GPU here."""
    return Machine(device, {"kind": device.type}, describe_software(device), commit, jobs)


def own_memory(pid: int) -> int:
    """Bytes that a process holds in memory for itself, or 0 if it is gone.

    Pages that it shares do not count: the data set, which lies in memory once for all cells, and the
    files of its libraries. Python and torch as they are after loading do count, at about 0.4 GB. Where
    the system does not tell shared pages apart (macOS), they count too. Memory of a GPU never does.
    """
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(info.rss) - int(getattr(info, "shared", 0))
