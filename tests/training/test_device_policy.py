"""How a GPU computes is set in one place, for all methods alike, and recorded with every run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from hpobench_fds.run.machine import describe_device
from hpobench_fds.training.device_policy import WORKSPACE, DevicePolicy, policy_of, settle

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def settings() -> dict[str, object]:
    return {
        "tf32 products": torch.backends.cuda.matmul.allow_tf32,
        "tf32 convolutions": torch.backends.cudnn.allow_tf32,
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "deterministic convolutions": torch.backends.cudnn.deterministic,
    }


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of a GPU can be made without one."""
    monkeypatch.delenv(WORKSPACE, raising=False)
    before, filled = settings(), torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.backends.cuda.matmul.allow_tf32 = bool(before["tf32 products"])
    torch.backends.cudnn.allow_tf32 = bool(before["tf32 convolutions"])
    torch.backends.cudnn.benchmark = bool(before["benchmark"])
    torch.backends.cudnn.deterministic = bool(before["deterministic convolutions"])
    torch.use_deterministic_algorithms(bool(before["deterministic"]))
    torch.utils.deterministic.fill_uninitialized_memory = filled
    os.environ.pop(WORKSPACE, None)


def test_a_cpu_has_no_such_choice() -> None:
    before = settings()
    assert settle(CPU) == {}
    assert settings() == before
    assert set(describe_device(CPU)) == {"kind", "name", "threads"}


def test_runs_on_a_gpu_are_exact_to_float32_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    said = settle(GPU)
    assert said == {"tf32": False, "deterministic": True, "cudnn_benchmark": False, "graphs": True}
    assert settings() == {
        "tf32 products": False, "tf32 convolutions": False, "benchmark": False,
        "deterministic": True, "deterministic convolutions": True,
    }  # fmt: skip
    assert os.environ[WORKSPACE] == ":4096:8"  # without it cuBLAS is not deterministic
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a big card")
    assert describe_device(GPU) | said == describe_device(GPU)  # every run's record has it


def test_a_benchmark_may_try_another_policy_and_leaves_that_of_runs() -> None:
    with policy_of(GPU, DevicePolicy(tf32=True, deterministic=False, cudnn_benchmark=True)):
        assert settings() == {
            "tf32 products": True, "tf32 convolutions": True, "benchmark": True,
            "deterministic": False, "deterministic convolutions": False,
        }  # fmt: skip
    assert not settings()["tf32 products"]
    assert settings()["deterministic"]
