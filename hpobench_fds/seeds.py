"""Random streams, each derived from the suite's seed and named axes.

Two streams that differ in any axis are independent; two that agree in all axes are the same,
whatever else ran before them. Methods share every stream whose axes leave the method out.
"""

from __future__ import annotations

import hashlib

import torch

_BITS = 63  # torch.Generator takes seeds up to 2**64, numpy's and hyperopt's wrappers less


def derive(seed: int, *axes: str | int) -> int:
    """A 63-bit seed for the stream that ``seed`` and ``axes`` name; the order of axes counts.

    >>> derive(0, "split", 3) == derive(0, "split", 3)
    True
    >>> derive(0, "split", 3) == derive(0, "order", 3)
    False
    """
    text = "\x1f".join([str(int(seed)), *(_named(axis) for axis in axes)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)


def _named(axis: str | int) -> str:
    return f"str:{axis}" if isinstance(axis, str) else f"int:{int(axis)}"  # numpy's integers too


def generator(seed: int, *axes: str | int) -> torch.Generator:
    """A CPU generator for that stream. Draws are made on the CPU so that devices agree."""
    return torch.Generator().manual_seed(derive(seed, *axes))
