"""What a suite can name without a user's file: data sets, and models with the data sets that they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpobench_fds.data.catalogue import Listed
from hpobench_fds.errors import InputError
from hpobench_fds.nn.losses import NextToken
from hpobench_fds.nn.zoo import MODELS, build_network


@dataclass(frozen=True)
class OfferedModel:
    """A built-in model, the data sets of a list that it takes, and how many parameters it has on each."""

    name: str
    parameters: dict[str, int]


def models_for(data: Sequence[Listed]) -> list[OfferedModel]:
    """Each built-in model, tried on a small batch of the shape of each of these data sets."""
    sizes = dict[tuple[str, tuple[int, ...], int, bool], int | None]()

    def size(model: str, shape: tuple[int, ...], classes: int, tokens: bool) -> int | None:
        key = model, shape, classes, tokens
        if key not in sizes:
            codes, objective = (classes, NextToken()) if tokens else (0, None)
            try:
                sizes[key] = build_network(model, shape, classes, None, codes, objective).size
            except InputError:  # it does not fit
                sizes[key] = None
        return sizes[key]

    found = []
    for model in MODELS:
        pairs = [(one.name, size(model, one.shape, one.classes, one.targets == "tokens")) for one in data]
        found.append(OfferedModel(model, {name: count for name, count in pairs if count is not None}))
    return found
