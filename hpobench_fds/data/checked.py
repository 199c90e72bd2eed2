"""Examples and targets of a user, or of a package: what is wrong with them is said in one line.

Nothing is normalised here; a part for testing is drawn where a source has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.data.dataset import digest_of
from hpobench_fds.data.splits import strata, stratified_subset
from hpobench_fds.errors import InputError

Array = NDArray[Any]
Raw = Mapping[str, Array]  # x and y, or x_train, y_train, x_test and y_test
Targets = Literal["classes", "numbers", "tokens"]

PARTS = ("train", "test")
TEST_SHARE = 0.2  # of the examples, where a source does not say which are for testing


@dataclass(frozen=True, eq=False)
class Own:
    """Examples x [N, ...] (floats, bytes, or int64 codes) and targets y of both parts.

    y : classes [N], numbers [N, k] (float64), or the tokens [N, ...] that follow each of x.
    labels : the user's own value of each class, as text; none of other targets. outputs : classes, numbers or
    tokens that a model has to tell. digest : SHA-256 of all examples and targets.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    labels: tuple[str, ...]
    outputs: int

    @property
    def digest(self) -> str:
        return digest_of(self.x_train, self.y_train, self.x_test, self.y_test)


def checked(raw: Raw, path: Path, kind: Targets = "classes") -> Own:
    """Examples and targets of what was read; a part for testing is drawn where there is none.

    Raises InputError, naming ``path``, for whatever is wrong with them.
    """
    names = {f"{axis}_{part}" for axis in "xy" for part in PARTS}
    if not (names <= raw.keys() or {"x", "y"} <= raw.keys()):
        told = f"holds {', '.join(sorted(raw)) or 'nothing'}"
        raise InputError(told, where=path, allowed="x and y, or x_train, y_train, x_test and y_test")
    apart = names <= raw.keys()
    pairs = [(f"x_{p}", f"y_{p}") for p in PARTS] if apart else [("x", "y")]
    examples = [_examples(raw[x], x, path) for x, _ in pairs]
    if apart:
        _alike(examples[0], examples[1], path)
    table = path.suffix in (".csv", ".parquet")
    given = [
        (raw[y], "column 'target'" if table else y, x) for x, (_, y) in zip(examples, pairs, strict=True)
    ]
    targets, labels, outputs = _TARGETS[kind](given, path)
    parts = list(zip(examples, targets, strict=True))
    train, test = parts if apart else _drawn(*parts[0], path)
    return Own(*train, *test, labels, outputs)


def _examples(values: Array, name: str, path: Path) -> Tensor:
    """Examples [N, ...]: bytes and codes as they are, other numbers as float64, all finite."""
    if values.dtype.kind not in "fiub":
        raise InputError(f"{name} is of type {values.dtype}", where=path, allowed="numbers")
    if values.ndim < 2 or not values.size:
        told = f"{name} has shape {values.shape}"
        raise InputError(told, where=path, allowed="(examples, ...), at least one of each")
    if values.dtype.kind in "iu" and values.dtype != np.uint8:
        return torch.from_numpy(values.astype(np.int64))
    if values.dtype.kind != "f":
        return torch.from_numpy(np.ascontiguousarray(values.astype(np.uint8)))
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        place = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(values)))
        text = ", ".join(map(str, place))
        raise InputError(f"{name}[{text}] is {values[place]}", where=path, allowed="finite numbers")
    return torch.from_numpy(np.ascontiguousarray(values))


def _alike(x: Tensor, other: Tensor, path: Path) -> None:
    """Both parts are of one kind."""
    if x.shape[1:] != other.shape[1:] or x.dtype != other.dtype:
        told = [f"{one.dtype} of shape {tuple(one.shape[1:])}" for one in (x, other)]
        raise InputError(f"x_train is {told[0]}, x_test {told[1]}", where=path, allowed="the same")


# --------------------------------------------------------------------------------------------- targets

_Given = Sequence[tuple[Array, str, Tensor]]  # of each part: targets, how they are called, examples
_Found = tuple[list[Tensor], tuple[str, ...], int]  # targets of each part, labels, outputs


def _classes(given: _Given, path: Path) -> _Found:
    """Labels [N] of any values as classes, each of which the training part has."""
    labels = [_labels(values, name, len(x), path) for values, name, x in given]
    classes = np.unique(labels[0])
    if len(classes) < 2:
        raise InputError(f"one class alone: {classes[0]!s}", where=path, allowed="two or more")
    for y in labels[1:]:
        if y.dtype.kind != labels[0].dtype.kind:
            told = f"y_train is of type {labels[0].dtype}, y_test of {y.dtype}"
            raise InputError(told, where=path)
        if len(unseen := np.setdiff1d(y, classes)):
            raise InputError(f"class {unseen[0]!s} is in y_test alone", where=path)
    found = [torch.from_numpy(np.searchsorted(classes, y)) for y in labels]
    return found, tuple(str(value) for value in classes), len(classes)


def _numbers(given: _Given, path: Path) -> _Found:
    """Numbers [N] or [N, k] as [N, k], each of which varies in the training part."""
    found = []
    for values, name, x in given:
        if values.dtype.kind in "OUS" and values.ndim == 1:
            told = f"{name} holds {values[0]!s}, which is no number"
            raise InputError(told, where=path, allowed='numbers; or loss = "cross_entropy"')
        if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or len(values) != len(x):
            told = f"{name} is {values.dtype} of shape {values.shape} for {len(x)} examples"
            raise InputError(told, where=path, allowed="numbers of shape (examples,) or (examples, targets)")
        table = values.astype(np.float64).reshape(len(values), -1)
        if not np.isfinite(table).all():
            row = int(np.nonzero(~np.isfinite(table))[0][0])
            raise InputError(f"{name}[{row}] is {values[row]}", where=path, allowed="finite numbers")
        found.append(torch.from_numpy(table))
    still = np.nonzero((found[0].std(0, correction=0) == 0).numpy())[0]
    if len(still):
        raise InputError(f"target {still[0]} is the same for all examples", where=path)
    return found, (), found[0].shape[1]


def _tokens(given: _Given, path: Path) -> _Found:
    """Tokens [N, ...] of the shape of the examples, which are codes themselves."""
    found, most = [], 0
    for values, name, x in given:
        codes = x.dtype == torch.int64 and values.dtype.kind in "iu"
        if not codes or values.shape != tuple(x.shape):
            told = f"{name} is {values.dtype} of shape {values.shape}, x {x.dtype} of {tuple(x.shape)}"
            raise InputError(told, where=path, allowed="whole numbers, both of one shape")
        y = torch.from_numpy(values.astype(np.int64))
        if int(y.min()) < 0:
            raise InputError(f"{name} holds the token {int(y.min())}", where=path, allowed="0 or more")
        most = max(most, int(y.max()), int(x.max()))
        found.append(y)
    return found, (), most + 1


_TARGETS = {"classes": _classes, "numbers": _numbers, "tokens": _tokens}


def _labels(values: Array, name: str, count: int, path: Path) -> Array:
    """Labels [N] of any values that can be put in order; whole numbers as integers."""
    if values.shape != (count,):
        told = f"{name} has shape {values.shape} for {count} examples"
        allowed = f'({count},); or loss = "squared_error" or "next_token"'
        raise InputError(told, where=path, allowed=allowed)
    if values.dtype.kind == "O":  # of a table: its texts
        values = values.astype(str)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            place = int(np.nonzero(~np.isfinite(values))[0][0])
            raise InputError(f"{name}[{place}] is {values[place]}", where=path, allowed="a label")
        if not (values == np.round(values)).all():
            odd = values[values != np.round(values)][0]
            told = f"{name} holds {odd:g}, which is no class"
            raise InputError(told, where=path, allowed='whole numbers or texts; or loss = "squared_error"')
        values = values.astype(np.int64)
    if values.dtype.kind not in "iubUS":
        raise InputError(f"{name} is of type {values.dtype}", where=path, allowed="whole numbers or texts")
    return values


def _drawn(x: Tensor, y: Tensor, path: Path) -> list[tuple[Tensor, Tensor]]:
    """Training and test parts: a share, of each class if there are classes, the same every time."""
    count = round(TEST_SHARE * len(y))
    if not 1 <= count < len(y):
        raise InputError(f"{len(y)} examples are too few to keep some for testing", where=path)
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[stratified_subset(strata(y), count, "test part")] = True
    parts = [(x[~chosen], y[~chosen]), (x[chosen], y[chosen])]
    if len(torch.unique(strata(parts[0][1]))) < len(torch.unique(strata(y))):
        raise InputError("a class has a single example, which cannot be in both parts", where=path)
    return parts
