"""A real, tiny results folder, run once a session, for the tests of everything that reads results."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from hpobench_fds.run.suite_run import run_suite

SUITE: dict[str, Any] = {
    "name": "tiny",
    "seeds": [0, 1],
    "device": "cpu",
    "budget": {"steps": 40},
    "problems": {
        "tiny": {
            "dataset": "digits",
            "train_limit": 120,
            "test_limit": 60,
            "batch_size": 8,
            "horizon": 10,
            "space": {"lr": {"windows": 2, "low": 0.0, "high": 0.2}},
        }
    },
    "methods": {"random_search": {}, "fds": {}},
}


@cache
def _original() -> Path:
    torch.set_num_threads(1)
    folder = Path(mkdtemp()) / "out"
    assert run_suite(SUITE, folder).exit_code == 0
    return folder


def copy_of_results(to: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(_original(), to)
    return to


def cell(folder: Path, method: str = "random_search", seed: int = 0) -> Path:
    return folder / "cells" / "tiny" / method / f"seed-{seed}"
