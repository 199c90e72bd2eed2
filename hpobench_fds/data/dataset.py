"""Datasets as whole tensors on the device, deterministic splits and batch order.

Images are kept normalised and whole in memory: a batch is one ``index_select``. Nothing here depends on
the method, and every random draw is made on the CPU from a named stream, so that devices and methods agree.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.seeds import generator

DATA_ROOT = Path("~/.cache/hpobench_fds")
"""Where datasets are looked for and downloaded to; the environment variable HPOBENCH_DATA overrides it."""

FASHION_MNIST_DIR = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files; HPOBENCH_FASHION_MNIST_DIR overrides it."""

T = TypeVar("T")


# ---------------------------------------------------------------------------------------------- the dataset


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification dataset, normalised, whole, on one device.

    x_train, x_test : [N, C, H, W] floating point, contiguous; y_train, y_test : [N] int64 in [0, classes).
    black : [C], the normalised value of raw 0, with which crops are padded; None pads with the mean, 0.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    black: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width

    @property
    def device(self) -> torch.device:
        return self.x_train.device

    @property
    def dtype(self) -> torch.dtype:
        return self.x_train.dtype

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Dataset:
        """The same dataset elsewhere; labels stay int64, and what is already there is not copied."""
        return replace(
            self,
            x_train=self.x_train.to(device, dtype or self.dtype),
            y_train=self.y_train.to(device),
            x_test=self.x_test.to(device, dtype or self.dtype),
            y_test=self.y_test.to(device),
            black=None if self.black is None else self.black.to(device, dtype or self.dtype),
        )

    @classmethod
    def from_images(
        cls,
        name: str,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        scale: float = 255.0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Dataset:
        """From raw pairs (images [N, C, H, W] in 0..scale, labels [N]); mean, std [C] of images / scale."""
        # Tensors, not Python numbers: CUDA divides by a number through its reciprocal and would differ from
        # the CPU in the last bit.
        centre, spread = (
            (torch.tensor(values, dtype=torch.float64) * scale).to(device, dtype).view(-1, 1, 1)
            for values in (mean, std)
        )

        def normalise(raw: Tensor) -> Tensor:
            # Raw bytes travel to the device, a quarter of what floats would.
            x = raw.to(device).to(dtype, copy=True, memory_format=torch.contiguous_format)
            return x.sub_(centre).div_(spread)

        return cls(
            name=name,
            x_train=normalise(train[0]),
            y_train=train[1].to(device, torch.int64),
            x_test=normalise(test[0]),
            y_test=test[1].to(device, torch.int64),
            classes=classes,
            black=normalise(torch.zeros(len(mean), 1, 1)).flatten(),
        )


# -------------------------------------------------------------------------------- reading what is on the disk


@dataclass(frozen=True)
class _Request:
    """What load_dataset was asked for, and how to complain about it."""

    name: str
    root: Path
    download: bool
    where: object

    def error(self, problem: str, allowed: str | None = None) -> InputError:
        return InputError(f"{self.name}: {problem}", where=self.where, key="dataset", allowed=allowed)

    def missing(self, problem: str) -> InputError:
        return self.error(f"not found: {problem}; the data root is {self.root}", _BUILTIN[self.name].needs)

    @contextmanager
    def reading(self, source: object) -> Iterator[None]:
        """Whatever a third party's reader raises becomes an InputError that names ``source``.

        Unpickling or inflating garbage can raise nearly any type, hence Exception.
        """
        try:
            yield
        except InputError:
            raise
        except Exception as err:
            raise self.error(f"{source} cannot be read: {type(err).__name__}: {err}") from err


@dataclass(frozen=True)
class _Part:
    """Raw training or test set: images [N, C, H, W] uint8, labels [N] int64, and the files they came from."""

    images: Tensor
    labels: Tensor
    images_from: Path | str
    labels_from: Path | str

    def check(self, request: _Request, shape: tuple[int, int, int], classes: int) -> None:
        """Raise InputError, naming the file, unless these are images of that shape with labels to match."""
        found = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or found[1:] != shape or found[0] == 0:
            raise request.error(
                f"{self.images_from} holds {self.images.dtype} images of shape {found}",
                f"uint8 of shape (N, {', '.join(map(str, shape))}), N >= 1",
            )
        problem = _label_problem(self.labels, found[0], classes)
        if problem:
            raise request.error(f"{self.labels_from} {problem}")


def _label_problem(labels: Tensor, images: int, classes: int) -> str | None:
    if labels.shape != (images,):
        return f"holds {labels.numel()} labels for {images} images"
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        return f"holds label {low if low < 0 else high}, outside 0..{classes - 1}"
    return None


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The uint8 tensor in an IDX file, plain or gzipped (by its suffix .gz).

    Raises
    ------
    InputError : not gzip, truncated, another magic number, or more or fewer bytes than the header announces.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"cannot be read: {type(err).__name__}: {err}", where=path) from err
    header = 4 * (1 + dimensions)
    magic = 0x0800 + dimensions  # two zero bytes, the code of unsigned bytes, the number of dimensions
    if len(content) < header:
        raise InputError(f"{len(content)} bytes, shorter than an IDX header of {header}", where=path)
    found, *shape = struct.unpack(f">{1 + dimensions}I", content[:header])
    if found != magic:
        raise InputError(f"IDX magic number {found:#010x}", where=path, allowed=f"{magic:#010x}")
    if len(content) - header != math.prod(shape):
        raise InputError(
            f"{len(content) - header} bytes of values, {math.prod(shape)} announced for shape {tuple(shape)}",
            where=path,
        )
    if not math.prod(shape):
        return torch.empty(shape, dtype=torch.uint8)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).view(shape)


_IDX_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


def _find_idx(folder: Path) -> list[Path] | None:
    """The four IDX files of a folder, each plain or gzipped; None unless all are there."""
    found = []
    for name in _IDX_FILES:
        # Plain first: it need not be inflated.
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
        if path is None:
            return None
        found.append(path)
    return found


def _read_fashion_mnist(request: _Request) -> tuple[_Part, _Part]:
    root, debian = request.root, Path(os.environ.get("HPOBENCH_FASHION_MNIST_DIR") or FASHION_MNIST_DIR)
    raw = root / "FashionMNIST" / "raw"
    folders = (raw, root / "fashion-mnist", root, debian.expanduser())
    paths = next(filter(None, map(_find_idx, folders)), None)
    if paths is None and request.download:
        from torchvision.datasets import FashionMNIST

        with request.reading(f"the download into {raw}"):
            FashionMNIST(root, download=True)
        paths = _find_idx(raw)
    if paths is None:
        raise request.missing(f"no complete set of IDX files in any of {', '.join(map(str, folders))}")
    with _prefixed(request):
        images, labels, test_images, test_labels = (
            read_idx(path, 3 if "images" in path.name else 1) for path in paths
        )
    return (
        _Part(images.unsqueeze(1), labels.long(), paths[0], paths[1]),
        _Part(test_images.unsqueeze(1), test_labels.long(), paths[2], paths[3]),
    )


@contextmanager
def _prefixed(request: _Request) -> Iterator[None]:
    """Give an InputError about a file its place in the suite as well."""
    try:
        yield
    except InputError as err:
        raise request.error(str(err)) from err


def _require(request: _Request, *paths: Path) -> None:
    """Raise InputError, naming the folder, for files that are missing and may not be downloaded."""
    missing = [path for path in paths if not path.is_file()]
    if missing and not request.download:
        folder = missing[0].parent
        lacking = ", ".join(path.name for path in missing)
        state = f"{folder} lacks {lacking}" if folder.is_dir() else f"there is no folder {folder}"
        raise request.missing(state)


def _read_mnist(request: _Request) -> tuple[_Part, _Part]:
    from torchvision.datasets import MNIST

    paths = [request.root / "MNIST" / "raw" / name for name in _IDX_FILES]
    _require(request, *paths)

    def part(train: bool, images_from: Path, labels_from: Path) -> _Part:
        with request.reading(f"{images_from} or {labels_from.name}"):
            data = MNIST(request.root, train=train, download=request.download)
        return _Part(data.data.unsqueeze(1), data.targets.long(), images_from, labels_from)

    return part(True, *paths[:2]), part(False, *paths[2:])


def _read_svhn(request: _Request) -> tuple[_Part, _Part]:
    from torchvision.datasets import SVHN

    paths = {split: request.root / SVHN.split_list[split][1] for split in ("train", "test")}
    _require(request, *paths.values())

    def part(split: str) -> _Part:
        path = paths[split]
        with request.reading(path):
            data = SVHN(request.root, split=split, download=request.download)
            images = torch.from_numpy(np.ascontiguousarray(data.data))
            return _Part(images, torch.from_numpy(data.labels.reshape(-1)), path, path)

    return part("train"), part("test")


def _read_cifar(request: _Request, kind: str) -> tuple[_Part, _Part]:
    from torchvision import datasets

    source: Any = getattr(datasets, kind)
    folder = request.root / source.base_folder
    names = [name for name, _ in source.train_list + source.test_list] + [source.meta["filename"]]
    _require(request, *(folder / name for name in names))

    def part(train: bool) -> _Part:
        with request.reading(folder):
            data = source(request.root, train=train, download=request.download)
            # torchvision shows a [N, H, W, C] view of the file's [N, C, H, W]: this goes back without a copy.
            images = torch.from_numpy(np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)))
            return _Part(images, torch.tensor(data.targets, dtype=torch.int64), folder, folder)

    return part(True), part(False)


def _read_digits(request: _Request) -> tuple[_Part, _Part]:
    """Every fifth image of a class is a test image; the file is ordered by writer, so both parts see all."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).long()
    rank = torch.zeros_like(labels)
    for digit in range(10):
        members = labels == digit
        rank[members] = torch.arange(int(members.sum()))
    test = rank % 5 == 4
    source = "scikit-learn's digits"
    return (
        _Part(images[~test], labels[~test], source, source),
        _Part(images[test], labels[test], source, source),
    )


@dataclass(frozen=True)
class _Builtin:
    needs: str
    read: Callable[[_Request], tuple[_Part, _Part]]
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...] | None = None  # None: of the training images
    std: tuple[float, ...] | None = None
    scale: float = 255.0


_GREY = (1, 28, 28)
_COLOUR = (3, 32, 32)

# Means and standard deviations are the field's usual ones, of the training images in 0..1.
_BUILTIN: dict[str, _Builtin] = {
    "digits": _Builtin("nothing: bundled with scikit-learn", _read_digits, (1, 8, 8), 10, scale=16.0),
    "mnist": _Builtin(
        "the four IDX files in ROOT/MNIST/raw, not gzipped, or a download",
        _read_mnist,
        _GREY,
        10,
        (0.1307,),
        (0.3081,),
    ),
    "fashion_mnist": _Builtin(
        "the four IDX files, plain or .gz, in ROOT/FashionMNIST/raw, ROOT/fashion-mnist or ROOT; or Debian's "
        "package dataset-fashion-mnist, or a folder named by HPOBENCH_FASHION_MNIST_DIR; or a download",
        _read_fashion_mnist,
        _GREY,
        10,
        (0.2860,),
        (0.3530,),
    ),
    "svhn": _Builtin(
        "ROOT/train_32x32.mat and ROOT/test_32x32.mat, or a download",
        _read_svhn,
        _COLOUR,
        10,
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
    ),
    "cifar10": _Builtin(
        "the folder ROOT/cifar-10-batches-py, or a download",
        lambda request: _read_cifar(request, "CIFAR10"),
        _COLOUR,
        10,
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
    ),
    "cifar100": _Builtin(
        "the folder ROOT/cifar-100-python, or a download",
        lambda request: _read_cifar(request, "CIFAR100"),
        _COLOUR,
        100,
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
    ),
}

Loader = Callable[[Path, torch.dtype], Dataset]
_REGISTERED: dict[str, Loader] = {}
_needs = {name: source.needs for name, source in _BUILTIN.items()}

DATASETS: Mapping[str, str] = MappingProxyType(_needs)
"""Every dataset's name and what it needs; grows with register_dataset."""


def register_dataset(name: str, loader: Loader, needs: str = "whatever its loader needs") -> None:
    """Make ``load_dataset(name)`` call ``loader(data root, dtype)``; Dataset.from_images helps to write one.

    A second registration replaces the first (as a re-run notebook cell does).

    Raises
    ------
    InputError : the name is a built-in dataset's.
    """
    if name in _BUILTIN:
        raise InputError(f"{name!r} is a built-in dataset", key="dataset", allowed="another name")
    _REGISTERED[name] = loader
    _needs[name] = needs


# ------------------------------------------------------------------------------------------------- loading


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
) -> Dataset:
    """The dataset of that name (see DATASETS), normalised per channel, on the device.

    Parameters
    ----------
    root : the data root; see data_root.
    download : let torchvision download what is missing into the root.
    train_limit, test_limit : keep that many examples, the same every time, classes in proportion; a smaller
        subset lies within a larger one. All are kept if there are fewer.
    where : the place in a suite to name in errors.

    Raises
    ------
    InputError : unknown name, missing or corrupt files, a limit below 1, a dtype that is not floating point.
    """
    for key, limit in (("train_limit", train_limit), ("test_limit", test_limit)):
        if limit is not None and limit < 1:
            raise InputError(f"{limit} examples", where=where, key=key, allowed="at least 1")
    if not dtype.is_floating_point:
        raise InputError(f"{dtype}", where=where, key="dtype", allowed="a floating-point dtype")
    request = _Request(name, data_root(root), download, where)
    if name in _BUILTIN:
        return _load_builtin(request, device, dtype, train_limit, test_limit)
    if name in _REGISTERED:
        return _load_registered(request, device, dtype, train_limit, test_limit)
    raise InputError(f"unknown dataset {name!r}", where=where, key="dataset", allowed=sorted(DATASETS))


def _load_builtin(
    request: _Request,
    device: str | torch.device,
    dtype: torch.dtype,
    train_limit: int | None,
    test_limit: int | None,
) -> Dataset:
    source = _BUILTIN[request.name]
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
        device=device,
        dtype=dtype,
    )


def _load_registered(
    request: _Request,
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


def _check_registered(request: _Request, dataset: Dataset) -> None:
    for part, x, y in (("train", dataset.x_train, dataset.y_train), ("test", dataset.x_test, dataset.y_test)):
        if not x.is_floating_point() or y.dtype != torch.int64:
            raise request.error(
                f"x_{part} is {x.dtype} and y_{part} {y.dtype}", "floating point and torch.int64"
            )
        if x.dim() != 4 or not x.numel() or x.shape[1:] != dataset.x_train.shape[1:]:
            raise request.error(
                f"x_{part} has shape {tuple(x.shape)}", "(N, C, H, W), the same for both parts"
            )
        problem = _label_problem(y, len(x), dataset.classes)
        if problem:
            raise request.error(f"y_{part} {problem}")
    if dataset.black is not None and dataset.black.shape != dataset.x_train.shape[1:2]:
        raise request.error(f"black has shape {tuple(dataset.black.shape)}", "(C,)")


def _limited(images: Tensor, labels: Tensor, limit: int | None, part: str) -> tuple[Tensor, Tensor]:
    if limit is None or limit >= len(labels):
        return images, labels
    chosen = stratified_subset(labels, limit, part).to(labels.device)
    return images[chosen], labels[chosen]


def stratified_subset(labels: Tensor, limit: int, stream: str) -> Tensor:
    """Ascending indices [min(limit, N)] of a fixed subset with the classes of ``labels`` [N] in proportion.

    The r-th member of a class of n, in a fixed random order, stands at (r + 1/2) / n; the first ``limit``
    by that place are taken. So a smaller subset lies within a larger one.
    """
    shuffle = torch.randperm(len(labels), generator=generator(0, "subset", stream))
    by_class = shuffle[torch.argsort(labels.cpu()[shuffle], stable=True)]
    member_of = labels.cpu()[by_class]
    counts = torch.bincount(member_of)
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[member_of]
    place = (rank.double() + 0.5) / counts[member_of]
    return by_class[torch.argsort(place, stable=True)[:limit]].sort().values


# ------------------------------------------------------------------------------------- splits and batch order


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into the training set: train [n_train] and validation [n_val], int64, ascending, on the CPU."""

    train: Tensor
    validation: Tensor


def make_split(n: int, validation_fraction: float, seed: int, *, where: object = None) -> Split:
    """Draw round(n * validation_fraction) of n examples for validation; a function of its arguments alone.

    Raises
    ------
    InputError : the fraction leaves either part empty.
    """
    # A negative, infinite or NaN fraction fails this comparison too.
    size = math.floor(n * validation_fraction + 0.5) if 0 < validation_fraction < 1 else 0
    if not 1 <= size < n:
        raise InputError(
            f"{validation_fraction} of {n} examples leaves training or validation empty",
            where=where,
            key="validation_fraction",
            allowed="between 0 and 1, with at least one example each",
        )
    order = torch.randperm(n, generator=generator(seed, "split"))
    return Split(train=order[size:].sort().values, validation=order[:size].sort().values)


class EpochCache(Generic[T]):
    """A value for each step, drawn an epoch at a time by a pure function of the epoch.

    Access is random, since reverse mode replays steps backwards; the ``keep`` epochs last used are kept.
    """

    def __init__(self, draw: Callable[[int], Sequence[T]], steps_per_epoch: int, keep: int = 8) -> None:
        self._draw = draw
        self._steps = steps_per_epoch
        self._keep = keep
        self._epochs: OrderedDict[int, Sequence[T]] = OrderedDict()
        self._epoch: int | None = None
        self._values: Sequence[T] = ()

    def at(self, step: int) -> T:
        """The value of that step; raises IndexError if it is negative."""
        epoch, slot = divmod(step, self._steps)
        if epoch != self._epoch:
            self._values = self._recall(epoch)
            self._epoch = epoch
        return self._values[slot]

    def _recall(self, epoch: int) -> Sequence[T]:
        if epoch < 0:
            raise IndexError("steps count from 0")
        if epoch not in self._epochs:
            self._epochs[epoch] = self._draw(epoch)
            if len(self._epochs) > self._keep:
                self._epochs.popitem(last=False)
        self._epochs.move_to_end(epoch)
        return self._epochs[epoch]


class BatchOrder:
    """Which examples make up the batch of an inner step.

    Each epoch goes through ``indices`` in a fresh permutation, a function of (seed, epoch) alone; the last,
    partial batch is dropped.

    Parameters
    ----------
    indices : [n] int64, the examples to draw from.
    device : where batches are wanted. The order is the same on every device.

    Raises
    ------
    InputError : the batch size is below 1 or above n.
    """

    def __init__(self, indices: Tensor, batch_size: int, seed: int, device: str | torch.device) -> None:
        if not 1 <= batch_size <= len(indices):
            raise InputError(
                f"{batch_size}", key="batch_size", allowed=f"1 to {len(indices)}, the examples there are"
            )
        self.batch_size = batch_size
        self.steps_per_epoch = len(indices) // batch_size
        self._indices = indices.to("cpu", torch.int64)
        self._seed = seed
        self._device = torch.device(device)
        self._batches: EpochCache[Tensor] = EpochCache(self._draw, self.steps_per_epoch)

    def batch(self, step: int) -> Tensor:
        """[batch_size] int64 on the device, for step 0, 1, ... in any order; not to be written to."""
        return self._batches.at(step)

    def _draw(self, epoch: int) -> tuple[Tensor, ...]:
        order = torch.randperm(len(self._indices), generator=generator(self._seed, "order", epoch))
        used = self._indices[order[: self.steps_per_epoch * self.batch_size]]
        return used.to(self._device).view(self.steps_per_epoch, self.batch_size).unbind()
