"""How a GPU computes: one setting for all methods, recorded with every run.

float32 is float32: TF32's ten bits of mantissa would drown a hypergradient, which is made of differences.
Kernels are deterministic, so that equal seeds give equal traces; and the inner loop's kernels are recorded
once and played again, so that Python's time to launch them is not what is measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # without it cuBLAS's products may differ from call to call


@dataclass(frozen=True)
class DevicePolicy:
    """What is set of a GPU's arithmetic.

    tf32 : matrix products and convolutions of float32 in TF32.
    deterministic : kernels whose results do not depend on the order in which threads finish; of an operation
        that has none torch warns.
    cudnn_benchmark : try convolution algorithms at first use, and keep what was fastest that time.
    graphs : play recorded kernels again where a stretch of inner steps is alike (``training.recorded``).
    """

    tf32: bool = False
    deterministic: bool = True
    cudnn_benchmark: bool = False
    graphs: bool = True


POLICY = DevicePolicy()
"""What runs are made with."""


def settle(device: torch.device, policy: DevicePolicy = POLICY) -> dict[str, Any]:
    """Set this process up for a device; what records say of it: nothing on a CPU, which has no such choice.

    To be called before the device's first product: cuBLAS reads its workspace setting once.
    """
    if device.type != "cuda":
        return {}
    if policy.deterministic:
        os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.backends.cuda.matmul.allow_tf32 = policy.tf32
    torch.backends.cudnn.allow_tf32 = policy.tf32
    torch.backends.cudnn.benchmark = policy.cudnn_benchmark
    torch.backends.cudnn.deterministic = policy.deterministic
    torch.use_deterministic_algorithms(policy.deterministic, warn_only=True)
    # A check of torch's own, at a kernel for each tensor made.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return asdict(policy)


@contextmanager
def policy_of(device: torch.device, policy: DevicePolicy) -> Iterator[None]:
    """Another policy for a block; afterwards that of runs."""
    settle(device, policy)
    try:
        yield
    finally:
        settle(device)
