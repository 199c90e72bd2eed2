"""A stretch of alike inner steps on a GPU: the kernels of one are recorded, those of the others are played.

A small network's step is some dozens of kernels of a few microseconds, and Python takes longer to launch
them than the GPU to run them. A recording (a CUDA graph) is launched as one. It runs the same kernels on
the same addresses, so its results are those of the steps taken one by one, bit for bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import torch
from torch import Tensor

from hpobench_fds.collection import uncollected

WORTH = 8  # steps that a stretch must have left: recording costs about two
FIRST = 2  # steps taken one by one before: what is set up at first use must not be recorded

Play = Callable[[], None]


def record_kernels(work: Callable[[], None], device: torch.device) -> Play | None:
    """Record what ``work`` launches, without running it; plays it. None if it cannot be recorded.

    What ``work`` reads and writes outside of itself must stay at its addresses, and it must not wait for
    the device.
    """
    studio = _studio(device)
    play = studio.record(work)
    if isinstance(play, RuntimeError):
        _studio.cache_clear()  # a recording that broke off leaves its pool unusable
        warnings.warn(f"inner steps are launched one by one: {play}", stacklevel=2)
        return None
    return play


class Played:
    """A function of tensors of the same shapes each time: launched at first, then played where wanted.

    It works on the device alone, on what stays where it is; what it returns is written over by the next call.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device, wanted: bool) -> None:
        self._function, self._device, self._wanted = function, device, wanted
        self._launched = 0
        self._play: Play | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._out: Tensor | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self._wanted and self._play is None and self._launched >= FIRST:
            self._record(inputs)
        if self._play is None or self._out is None:
            self._launched += 1
            return self._function(*inputs)
        for held, one in zip(self._inputs, inputs, strict=True):
            held.copy_(one)
        self._play()
        return self._out

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(one.clone() for one in inputs)

        def work() -> None:
            self._out = self._function(*self._inputs)

        self._play = record_kernels(work, self._device)
        self._wanted = self._play is not None


def forget_recordings() -> None:
    """Let go of the memory that recordings have used; to be called when none is in use."""
    _studio.cache_clear()


class _Studio:
    """Where recordings on a device are made: one stream and one pool of memory, that later ones use again.

    A pool lives as long as a recording in it, so an empty-handed one is kept.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._keeper = torch.cuda.CUDAGraph()
        self._capture(self._keeper, lambda: torch.zeros(1, device=device))

    def record(self, work: Callable[[], object]) -> Play | RuntimeError:
        graph = torch.cuda.CUDAGraph()
        try:
            self._capture(graph, work)
        except RuntimeError as error:
            with suppress(RuntimeError):
                torch.cuda.synchronize(self._device)
            return error
        return graph.replay

    def _capture(self, graph: torch.cuda.CUDAGraph, work: Callable[[], object]) -> None:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        # An old recording that is let go of meanwhile, as one in a cycle may be at any time, spoils this one.
        with torch.cuda.stream(self._stream), uncollected():
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        current.wait_stream(self._stream)


@cache
def _studio(device: torch.device) -> _Studio:
    return _Studio(device)
