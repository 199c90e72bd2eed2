"""What a model draws at random while it trains: dropout, noise, whole paths left out, by a seed.

A draw is a number that names everything random in one pass. The same draw gives the same masks whenever the
pass is made again: in a replay, in a gradient's derivative, for all tangents. Without a draw nothing is
random: that is evaluation. A CPU and a GPU make different masks of one draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ON: ContextVar[bool] = ContextVar("_ON", default=False)


def are_on() -> bool:
    """Whether a pass is under way that draws."""
    return _ON.get()


@contextmanager
def drawn(draw: int | None, device: torch.device) -> Iterator[None]:
    """Within it torch's generators give what follows from ``draw``, and are afterwards as they were."""
    if draw is None:
        yield
        return
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    states = [one.get_state() for one in generators]
    on = _ON.set(True)
    try:
        for one in generators:
            one.manual_seed(draw)
        yield
    finally:
        _ON.reset(on)
        for one, state in zip(generators, states, strict=True):
            one.set_state(state)


class LaidOutAlike(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it a random tensor's numbers follow its shape, not how its memory is laid out.

    torch fills memory in its order, and a derivative of a pass may lay out what the pass itself does not.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not _is_random(func):
            return func(*args, **kwargs)
        plain = [one.contiguous() if isinstance(one, Tensor) else one for one in args]
        found = func(*plain, **kwargs)
        if func._schema.is_mutable and plain[0] is not args[0]:  # in place, in a copy
            args[0].copy_(plain[0])
            return args[0]
        return found


@cache
def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


@contextmanager
def counted() -> Iterator[list[bool]]:
    """Afterwards its one entry says whether the CPU's generator was used; which is then as it was."""
    before = torch.default_generator.get_state()
    used: list[bool] = []
    try:
        yield used
    finally:
        used.append(not torch.equal(before, torch.default_generator.get_state()))
        torch.default_generator.set_state(before)
