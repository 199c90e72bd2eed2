"""A user's own data: arrays, tables, functions, texts and folders of images as examples and labels, checked.

Everything wrong is said in one line that names the file and the place in it. Pickles are never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpobench_fds.data.checked import PARTS, Array, Own, Raw, Targets, checked
from hpobench_fds.data.text import AS_USUAL, Reading, read_text
from hpobench_fds.errors import InputError
from hpobench_fds.python_file import find_file, import_file

FORMS = "data.npz, data.csv, data.parquet, data.txt, FILE.py:FUNCTION or a folder, of images or texts"
TARGET, SPLIT = "target", "split"  # columns of a table with a meaning
MOST_CATEGORIES = 1000  # of a column: each becomes an input
TEXTS = (".txt", ".md")  # which are known for texts without a folder before them


def is_own(name: str) -> bool:
    """Whether a data set's name is that of a file, a function in one, or a folder."""
    file = name.rpartition(":")[0] or name
    return "/" in name or "\\" in name or file.endswith((*_READERS, ".py", *TEXTS))


def find_own(
    name: str,
    base: Path | None = None,
    targets: Targets = "classes",
    *,
    where: object = None,
    key: str = "dataset",
) -> Path:
    """The file or folder of that name, beside the suite (``base``) or in the working directory.

    Raises InputError if there is none, or it is of no known form; of tokens any file may be a text.
    """
    file, _, function = name.rpartition(":")
    if file.endswith(".py") and function.isidentifier():
        path, tried = find_file(file, base)
    elif name.endswith(".py"):
        raise InputError(f"{name!r} names no function", where=where, key=key, allowed="FILE.py:FUNCTION")
    else:
        tried = [folder / Path(name).expanduser() for folder in dict.fromkeys((base or Path(), Path()))]
        path = next((one.resolve() for one in tried if one.exists()), None)
    if path is None:
        problem = f"there is no {' or '.join(map(str, tried))}"
        raise InputError(problem, where=where, key=key, allowed=FORMS)
    if path.is_dir() or path.suffix in _READERS or path.suffix == ".py" or targets == "tokens":
        return path
    if path.suffix in TEXTS:
        raise InputError(f"{path} is a text", where=where, key=key, allowed='loss = "next_token"')
    raise InputError(f"{path} is of no form that is read", where=where, key=key, allowed=FORMS)


def read_own(
    name: str,
    base: Path | None = None,
    targets: Targets = "classes",
    reading: Reading = AS_USUAL,
    *,
    where: object = None,
    key: str = "dataset",
) -> Own:
    """The data of that name, with targets of a kind, a text as it is to be read.

    Raises InputError for whatever is wrong with it.
    """
    path = find_own(name, base, targets, where=where, key=key)
    if targets == "tokens" and path.suffix not in (*_READERS, ".py"):
        return read_text(path, reading)
    if path.is_dir():
        return checked(_images(path), path, targets)
    if path.suffix == ".py":
        return checked(_returned(path, name.rpartition(":")[2], where, key), path, targets)
    return checked(_READERS[path.suffix](path), path, targets)


def data_digest(name: str, base: Path | None = None) -> dict[str, str]:
    """SHA-256 of a file of data, or of all files of a folder with their places, by the name itself.

    Raises InputError as ``find_own`` does.
    """
    path = find_own(name, base, "tokens")  # any form that a suite may name
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    seen = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return {name: _digest_of(path, seen)}


@lru_cache(maxsize=64)
def _digest_of(path: Path, seen: tuple[tuple[str, int, int], ...]) -> str:
    """Read once as long as times and sizes are the same: each cell of a suite asks."""
    found = hashlib.sha256()
    for file, _, _ in seen:
        place = Path(file).relative_to(path).as_posix() if path.is_dir() else ""
        found.update(f"{place} {hashlib.sha256(Path(file).read_bytes()).hexdigest()}".encode())
    return found.hexdigest()


# --------------------------------------------------------------------------------------------- reading


def _npz(path: Path) -> Raw:
    """Arrays of a file of numpy's. Those of Python objects would have to be unpickled, which runs code."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            problem = "holds an array of Python objects, which is not read: it could run code"
            raise InputError(problem, where=path, allowed="arrays of numbers or strings") from error
        raise InputError(f"cannot be read: {error}", where=path) from error
    except Exception as error:  # a zip file's readers raise nearly anything on garbage
        raise InputError(f"cannot be read: {type(error).__name__}: {error}", where=path) from error


def _table(path: Path) -> Raw:
    import pandas as pd

    read: Callable[..., Any] = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
    try:
        table: pd.DataFrame = read(path)
    except Exception as error:
        raise InputError(f"cannot be read: {type(error).__name__}: {error}", where=path) from error
    return columns_of(table, path)


def columns_of(table: Any, path: Path) -> Raw:
    """Columns of a table as inputs: numbers as they are, each category of any other as a 0 or 1.

    The column TARGET has the classes, and SPLIT, if there is one, the part of each row. Raises InputError
    for missing values, for no inputs and for more categories than MOST_CATEGORIES.
    """
    import pandas as pd

    columns = [str(name) for name in table.columns]
    table.columns = pd.Index(columns)
    if TARGET not in columns:
        raise InputError(f"has no column {TARGET!r}", where=path, allowed=f"one of {', '.join(columns[:20])}")
    inputs = [name for name in columns if name not in (TARGET, SPLIT)]
    if not inputs or not len(table):
        told = f"has {len(table)} rows and {len(inputs)} columns of inputs"
        raise InputError(told, where=path, allowed="at least one of each, beside the target")
    _whole(table, path)
    parts = _split_column(table, path) if SPLIT in columns else None
    fitted = table if parts is None else table[parts == "train"]
    x = np.column_stack([_column(table[name], fitted[name], path) for name in inputs])
    y = table[TARGET].to_numpy()
    if parts is None:
        return {"x": x, "y": y}
    chosen = {part: (parts == part).to_numpy() for part in PARTS}
    return {f"{axis}_{part}": values[chosen[part]] for part in PARTS for axis, values in (("x", x), ("y", y))}


def _whole(table: Any, path: Path) -> None:
    """Raise InputError for the first missing or infinite value, by the row and column that people see."""
    numbers = table.select_dtypes("number")
    bad = table.isna()
    bad[numbers.columns] |= np.isinf(numbers.astype(float))
    if bad.to_numpy().any():
        row, column = (int(i[0]) for i in np.nonzero(bad.to_numpy()))
        line = f"line {row + 2}" if path.suffix == ".csv" else f"row {row}"
        value = table.iloc[row, column]
        told = "is missing" if bool(table.isna().iloc[row, column]) else f"is {value}"
        count = int(bad.to_numpy().sum())
        more = f", and {count - 1} more values are not finite" if count > 1 else ""
        raise InputError(f"column {table.columns[column]!r} {told} in {line}{more}", where=path)


def _split_column(table: Any, path: Path) -> Any:
    parts = table[SPLIT].astype(str)
    for value in parts.unique():
        if value not in PARTS:
            raise InputError(f"column {SPLIT!r} holds {value!r}", where=path, allowed=PARTS)
    if parts.nunique() < 2:
        raise InputError(f"column {SPLIT!r} says {parts.iloc[0]!r} of every row", where=path, allowed=PARTS)
    return parts


def _column(values: Any, fitted: Any, path: Path) -> Array:
    """Inputs [N, k] of a column; categories are those of the training rows, of another all are 0."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        numbers: Array = values.to_numpy(dtype=np.float64)[:, None]
        return numbers
    texts, known = values.astype(str).to_numpy(), np.unique(fitted.astype(str).to_numpy())
    if len(known) > MOST_CATEGORIES:
        problem = f"column {values.name!r} has {len(known)} categories, each of which would be an input"
        raise InputError(problem, where=path, allowed=f"at most {MOST_CATEGORIES}, or numbers")
    flags: Array = (texts[:, None] == known).astype(np.float64)
    return flags


def _returned(path: Path, name: str, where: object, key: str) -> Raw:
    """What a function of a user's file returns: x_train, y_train, x_test and y_test."""
    function = getattr(import_file(path, where=where, key=key), name, None)
    if not callable(function):
        raise InputError(f"{path} has no function {name!r}", where=where, key=key)
    try:
        found = function()
    except Exception as error:
        problem = f"{name}() raised {type(error).__name__}: {error}"
        raise InputError(problem, where=path) from error
    names = ("x_train", "y_train", "x_test", "y_test")
    if isinstance(found, Sequence) and len(found) == 2 and all(isinstance(one, Sequence) for one in found):
        found = (*found[0], *found[1])
    if not isinstance(found, Sequence) or len(found) != len(names):
        told = f"{len(found)} things" if isinstance(found, Sequence) else f"a {type(found).__name__}"
        raise InputError(f"{name}() returned {told}", where=path, allowed=", ".join(names))
    return {
        label: one.numpy(force=True) if isinstance(one, Tensor) else np.asarray(one)
        for label, one in zip(names, found, strict=True)
    }


def _images(path: Path) -> Raw:
    """Images as bytes [N, 3, H, W] from train/CLASS/ and test/CLASS/, or from CLASS/ alone."""
    if all((path / part).is_dir() for part in PARTS):
        parts = {part: _image_folder(path / part) for part in PARTS}
        if (shapes := {x.shape[1:] for x, _ in parts.values()}) and len(shapes) > 1:
            sizes = " and ".join(f"{s[1]} x {s[2]}" for s in sorted(shapes))
            raise InputError(f"holds images of {sizes} pixels", where=path, allowed="one size")
        return {f"{axis}_{part}": parts[part][i] for part in PARTS for i, axis in enumerate("xy")}
    x, y = _image_folder(path)
    return {"x": x, "y": y}


def _image_folder(path: Path) -> tuple[Array, Array]:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import pil_to_tensor

    try:
        found = ImageFolder(str(path))
    except (OSError, RuntimeError) as error:
        raise InputError(f"no folder of images, one folder a class: {error}", where=path) from error
    images, first = [], None
    for file, _ in found.samples:
        try:
            image = pil_to_tensor(found.loader(file))
        except Exception as error:
            raise InputError(f"cannot be read: {type(error).__name__}: {error}", where=file) from error
        first = first or tuple(image.shape)
        if tuple(image.shape) != first:
            sizes = [f"{s[1]} x {s[2]}" for s in (tuple(image.shape), first)]
            raise InputError(f"{sizes[0]} pixels, where others have {sizes[1]}", where=file)
        images.append(image)
    return torch.stack(images).numpy(), np.array([found.classes[label] for _, label in found.samples])


_READERS: dict[str, Callable[[Path], Raw]] = {".npz": _npz, ".csv": _table, ".parquet": _table}
