"""What a GPU's recording does, without a GPU: each operation again, on the tensors that it was recorded with.

As on a GPU, recording runs nothing that lasts, Python is not run again, and results lie where they did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


def tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


class _Taped(TorchDispatchMode):
    """Runs operations and keeps them; what they write to is kept as it was before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # by address: a storage whole, and a copy

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for one in tensors((args, kwargs)):
            whole = _whole(one)
            if whole.data_ptr() not in self.before:
                self.before[whole.data_ptr()] = whole, whole.clone()
        out = func(*args, **kwargs)
        if "_local_scalar_dense" in str(func) or "nonzero" in str(func):
            raise RuntimeError(f"{func} waits for the device")
        self.calls.append((func, args, kwargs, tensors(out)))
        return out

    def undo(self) -> None:
        for whole, copy in self.before.values():
            whole.copy_(copy)


def _whole(one: Tensor) -> Tensor:
    """A tensor over all of another's storage."""
    size = one.untyped_storage().nbytes() // one.element_size()
    return torch.empty(0, dtype=one.dtype).set_(one.untyped_storage(), 0, (size,), (1,))


def emulated(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """In place of ``record_kernels``."""
    with torch.no_grad(), _Taped() as taped:
        work()
    taped.undo()

    def play() -> None:
        with torch.no_grad():
            for func, args, kwargs, outs in taped.calls:
                for old, new in zip(outs, tensors(func(*args, **kwargs)), strict=True):
                    if old.data_ptr() != new.data_ptr():  # neither a view nor in place
                        old.copy_(new)

    return play
