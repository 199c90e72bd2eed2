"""Data sets as they lie on the disk: raw images and labels, checked, with errors that name the file."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from hpobench_fds.errors import InputError

FASHION_MNIST_DIR = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files; HPOBENCH_FASHION_MNIST_DIR overrides it."""


@dataclass(frozen=True)
class Request:
    """What load_dataset was asked for, and how to complain about it. ``needs``: what the data set needs."""

    name: str
    root: Path
    download: bool
    where: object
    needs: str

    def error(self, problem: str, allowed: str | None = None) -> InputError:
        return InputError(f"{self.name}: {problem}", where=self.where, key="dataset", allowed=allowed)

    def missing(self, problem: str) -> InputError:
        return self.error(f"not found: {problem}; the data root is {self.root}", self.needs)

    @contextmanager
    def fetching(self, folder: Path) -> Iterator[None]:
        """Whatever a download raises becomes an InputError that names the folder."""
        try:
            yield
        except Exception as err:
            raise self.error(f"the download into {folder} failed: {type(err).__name__}: {err}") from err

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
            if self.download and _is_of_the_network(err):
                problem = f"the download into {self.root} failed: {type(err).__name__}: {err}"
                raise self.error(f"{problem} -- the same command takes it up again") from err
            raise self.damaged(f"{source} cannot be read: {type(err).__name__}: {err}") from err

    def damaged(self, problem: str) -> InputError:
        """Of a file that is there and is no good, as a download that was cut off leaves one."""
        return self.error(f"{problem} -- delete it, and --download fetches it again")


def _is_of_the_network(error: Exception) -> bool:
    """Whether a download did not come, as torchvision says it: nothing on the disk is to blame."""
    return isinstance(error, (URLError, ConnectionError, TimeoutError, HTTPException)) or (
        isinstance(error, RuntimeError) and "ownload" in str(error) and "corrupted" not in str(error)
    )


@dataclass(frozen=True)
class Part:
    """Raw training or test set: images [N, C, H, W] uint8, labels [N] int64, and the files they came from."""

    images: Tensor
    labels: Tensor
    images_from: Path | str
    labels_from: Path | str

    def check(self, request: Request, shape: tuple[int, int, int], classes: int) -> None:
        """Raise InputError, naming the file, unless these are images of that shape with labels to match."""
        found = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or found[1:] != shape or found[0] == 0:
            raise request.error(
                f"{self.images_from} holds {self.images.dtype} images of shape {found}",
                f"uint8 of shape (N, {', '.join(map(str, shape))}), N >= 1",
            )
        problem = label_problem(self.labels, found[0], classes)
        if problem:
            raise request.error(f"{self.labels_from} {problem}")


def label_problem(labels: Tensor, images: int, classes: int) -> str | None:
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


def _fashion_mnist_folders(root: Path) -> tuple[Path, ...]:
    debian = Path(os.environ.get("HPOBENCH_FASHION_MNIST_DIR") or FASHION_MNIST_DIR)
    return root / "FashionMNIST" / "raw", root / "fashion-mnist", root, debian.expanduser()


def has_fashion_mnist(root: Path) -> bool:
    """Whether the files are there, under this data root or where Debian has them."""
    return any(map(_find_idx, _fashion_mnist_folders(root)))


def read_fashion_mnist(request: Request) -> tuple[Part, Part]:
    folders = _fashion_mnist_folders(request.root)
    paths = next(filter(None, map(_find_idx, folders)), None)
    if paths is None and request.download:
        from torchvision.datasets import FashionMNIST

        with request.fetching(folders[0]):
            FashionMNIST(request.root, download=True)
        paths = _find_idx(folders[0])
    if paths is None:
        raise request.missing(f"no complete set of IDX files in any of {', '.join(map(str, folders))}")
    with _prefixed(request):
        images, labels, test_images, test_labels = (
            read_idx(path, 3 if "images" in path.name else 1) for path in paths
        )
    return (
        Part(images.unsqueeze(1), labels.long(), paths[0], paths[1]),
        Part(test_images.unsqueeze(1), test_labels.long(), paths[2], paths[3]),
    )


@contextmanager
def _prefixed(request: Request) -> Iterator[None]:
    """Give an InputError about a file its place in the suite as well."""
    try:
        yield
    except InputError as err:
        raise request.damaged(str(err)) from err


def _require(request: Request, *paths: Path) -> None:
    """Raise InputError, naming the folder, for files that are missing and may not be downloaded."""
    missing = [path for path in paths if not path.is_file()]
    if missing and not request.download:
        folder = missing[0].parent
        lacking = ", ".join(path.name for path in missing)
        state = f"{folder} lacks {lacking}" if folder.is_dir() else f"there is no folder {folder}"
        raise request.missing(state)


def mnist_files(root: Path) -> list[Path]:
    """The files that MNIST is read from."""
    return [root / "MNIST" / "raw" / name for name in _IDX_FILES]


def read_mnist(request: Request) -> tuple[Part, Part]:
    from torchvision.datasets import MNIST

    paths = mnist_files(request.root)
    _require(request, *paths)

    def part(train: bool, images_from: Path, labels_from: Path) -> Part:
        with request.reading(f"{images_from} or {labels_from.name}"):
            data = MNIST(request.root, train=train, download=request.download)
        return Part(data.data.unsqueeze(1), data.targets.long(), images_from, labels_from)

    return part(True, *paths[:2]), part(False, *paths[2:])


def svhn_files(root: Path) -> list[Path]:
    """The files that SVHN is read from: training, test."""
    from torchvision.datasets import SVHN

    return [root / SVHN.split_list[split][1] for split in ("train", "test")]


def read_svhn(request: Request) -> tuple[Part, Part]:
    from torchvision.datasets import SVHN

    paths = dict(zip(("train", "test"), svhn_files(request.root), strict=True))
    _require(request, *paths.values())

    def part(split: str) -> Part:
        path = paths[split]
        with request.reading(path):
            data = SVHN(request.root, split=split, download=request.download)
            images = torch.from_numpy(np.ascontiguousarray(data.data))
            return Part(images, torch.from_numpy(data.labels.reshape(-1)), path, path)

    return part("train"), part("test")


def cifar_files(root: Path, kind: str) -> list[Path]:
    """The files that CIFAR10 or CIFAR100 is read from, all in one folder."""
    from torchvision import datasets

    source: Any = getattr(datasets, kind)
    names = [name for name, _ in source.train_list + source.test_list] + [source.meta["filename"]]
    return [root / source.base_folder / name for name in names]


def read_cifar(request: Request, kind: str) -> tuple[Part, Part]:
    from torchvision import datasets

    source: Any = getattr(datasets, kind)
    paths = cifar_files(request.root, kind)
    folder = paths[0].parent
    _require(request, *paths)

    def part(train: bool) -> Part:
        with request.reading(folder):
            data = source(request.root, train=train, download=request.download)
            # torchvision shows a [N, H, W, C] view of the file's [N, C, H, W]: this goes back without a copy.
            images = torch.from_numpy(np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)))
            return Part(images, torch.tensor(data.targets, dtype=torch.int64), folder, folder)

    return part(True), part(False)


def read_digits(request: Request) -> tuple[Part, Part]:
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
        Part(images[~test], labels[~test], source, source),
        Part(images[test], labels[test], source, source),
    )
