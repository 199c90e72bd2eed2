"""A problem's data, once in memory for all processes of a run."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.training.problem import Problem, ProblemConfig, TestData, data_key


class SharedTensor:
    """A copy of a CPU tensor that is handed to other processes without being copied again.

    It lies in a file without a name: nothing is left behind, however the processes end. /dev/shm is not
    used, since containers often have no more than 64 MB there.
    """

    def __init__(self, tensor: Tensor) -> None:
        tensor = tensor.detach().cpu().contiguous()
        self._dtype, self._shape = tensor.dtype, tuple(tensor.shape)
        self._fd = _nameless_file()
        with os.fdopen(self._fd, "wb", closefd=False) as file:
            file.write(tensor.numpy().data if tensor.numel() else b"\0")

    def __del__(self) -> None:
        os.close(self._fd)

    def __getstate__(self) -> dict[str, Any]:
        return {"dtype": self._dtype, "shape": self._shape, "fd": DupFd(self._fd)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._dtype, self._shape, self._fd = state["dtype"], state["shape"], state["fd"].detach()

    def tensor(self) -> Tensor:
        """The tensor. What one process writes into it no other one sees."""
        size = max(1, os.fstat(self._fd).st_size)
        shared = mmap.mmap(self._fd, size, access=mmap.ACCESS_COPY)
        if 0 in self._shape:
            return torch.empty(self._shape, dtype=self._dtype)
        return torch.frombuffer(shared, dtype=self._dtype).view(self._shape)


def _nameless_file() -> int:
    try:
        return os.memfd_create("hpobench-data", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # not Linux, or a sandbox that forbids it
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


@dataclass(frozen=True)
class SharedProblem:
    """A problem loaded and checked once, to be built again in the process of each of its cells.

    ``steps_per_epoch`` is the problem's, for those who need no more than that; ``base`` is the folder that
    its model's path is relative to.
    """

    name: str
    config: ProblemConfig
    classes: int
    steps_per_epoch: int
    x: SharedTensor
    y: SharedTensor
    x_test: SharedTensor
    y_test: SharedTensor
    black: SharedTensor | None
    base: Path | None = None
    labels: tuple[str, ...] = ()
    digest: str | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    least: float | None = None

    @classmethod
    def of(cls, problem: Problem, test: TestData, like: SharedProblem | None = None) -> SharedProblem:
        """Share a problem as ``load_problem`` gives it; its data are those of ``like``, if that is given."""
        if like is not None:
            return replace(
                like,
                name=problem.name,
                config=problem.config,
                steps_per_epoch=problem.steps_per_epoch,
                base=problem.base,
                least=test.least,
            )
        return cls(
            name=problem.name,
            config=problem.config,
            classes=problem.classes,
            steps_per_epoch=problem.steps_per_epoch,
            x=SharedTensor(problem.x),
            y=SharedTensor(problem.y),
            x_test=SharedTensor(test.x),
            y_test=SharedTensor(test.y),
            black=None if problem.black is None else SharedTensor(problem.black),
            base=problem.base,
            labels=problem.labels,
            digest=problem.digest,
            software=problem.software,
            least=test.least,
        )

    def build(self, device: torch.device) -> tuple[Problem, TestData]:
        """The problem on a device, and the test split apart, for the referee."""
        dataset = Dataset(
            name=self.config.dataset,
            x_train=self.x.tensor(),
            y_train=self.y.tensor(),
            x_test=self.x_test.tensor(),
            y_test=self.y_test.tensor(),
            classes=self.classes,
            black=None if self.black is None else self.black.tensor(),
            labels=self.labels,
            digest=self.digest,
            software=self.software,
        )
        _touch(dataset)
        dataset = dataset.to(device)
        test = TestData(dataset.x_test, dataset.y_test, self.least)
        return Problem(self.config, dataset, self.name, self.base), test


def share(problems: dict[str, tuple[Problem, TestData]]) -> dict[str, SharedProblem]:
    """Share problems, each data set once. Takes them out of the dictionary, whose tensors are let go."""
    shared, alike = {}, dict[tuple[object, ...], SharedProblem]()
    # Those on the same data follow each other, so that only one data set is there twice at a time.
    for name in sorted(problems, key=lambda name: str(data_key(problems[name][0].config))):
        problem, test = problems.pop(name)
        key = data_key(problem.config)
        shared[name] = SharedProblem.of(problem, test, alike.get(key))
        alike.setdefault(key, shared[name])
    return shared


def _touch(dataset: Dataset) -> None:
    """Read a byte of every page now, so that no method pays for mapping them."""
    for tensor in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        int(tensor.view(-1).view(torch.uint8)[:: mmap.PAGESIZE].max())
