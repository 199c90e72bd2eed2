"""Specification of the datasets, splits and batch order."""

from __future__ import annotations

import gzip
import pickle
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from true_format import dump

from hpobench_fds.data import catalogue, readers
from hpobench_fds.data.catalogue import DATASETS, load_dataset, register_dataset
from hpobench_fds.data.dataset import Dataset
from hpobench_fds.data.readers import read_idx
from hpobench_fds.errors import InputError

N_TRAIN, N_TEST = 20, 10
few = settings(max_examples=40, deadline=None)


# ------------------------------------------------------------------------- small files of the true format


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def labels(n: int, classes: int = 10) -> np.ndarray:
    return (np.arange(n) * 7 % classes).astype(np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, *, gz: bool, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        for kind, array in (("images-idx3", images(n, 28, 28, seed=seed)), ("labels-idx1", labels(n))):
            content = idx_bytes(array)
            name = f"{part}-{kind}-ubyte"
            if gz:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def write_mnist(root: Path) -> Path:
    return write_idx(root / "MNIST" / "raw", gz=False)


def write_cifar10(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    x, y = images(N_TRAIN, 3072), labels(N_TRAIN).tolist()
    for batch in range(5):
        rows = slice(4 * batch, 4 * batch + 4)
        dump(folder / f"data_batch_{batch + 1}", {"data": x[rows], "labels": y[rows]})
    dump(folder / "test_batch", {"data": images(N_TEST, 3072), "labels": labels(N_TEST).tolist()})
    dump(folder / "batches.meta", {"label_names": [str(i) for i in range(10)]})
    return folder


def write_cifar100(root: Path) -> Path:
    folder = root / "cifar-100-python"
    for name, n in (("train", N_TRAIN), ("test", N_TEST)):
        fine = labels(n, 100).tolist()
        dump(folder / name, {"data": images(n, 3072), "fine_labels": fine, "coarse_labels": [0] * n})
    dump(folder / "meta", {"fine_label_names": [str(i) for i in range(100)]})
    return folder


def write_svhn(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, n in (("train", N_TRAIN), ("test", N_TEST)):
        y = labels(n).astype(np.uint8)
        y[y == 0] = 10  # SVHN writes the digit 0 as 10
        x = images(n, 3, 32, 32).transpose(2, 3, 1, 0)
        scipy.io.savemat(root / f"{name}_32x32.mat", {"X": x, "y": y[:, None]})
    return root


WRITERS: dict[str, Callable[[Path], Path]] = {
    "mnist": write_mnist,
    "fashion_mnist": lambda root: write_idx(root / "FashionMNIST" / "raw", gz=False),
    "svhn": write_svhn,
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
}


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test finds this machine's datasets by accident."""
    monkeypatch.setenv("HPOBENCH_DATA", str(tmp_path / "default-root"))
    monkeypatch.setenv("HPOBENCH_FASHION_MNIST_DIR", str(tmp_path / "no-debian"))


# ------------------------------------------------------------------------------------------------ datasets


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_dataset_is_the_normalised_images_of_its_files(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path)
    dataset = load_dataset(name, root=tmp_path, dtype=dtype)
    classes = 100 if name == "cifar100" else 10
    shape = (1, 28, 28) if "mnist" in name else (3, 32, 32)
    spec = catalogue._BUILTIN[name]
    assert spec.mean is not None
    assert spec.std is not None
    for x, y, n in ((dataset.x_train, dataset.y_train, N_TRAIN), (dataset.x_test, dataset.y_test, N_TEST)):
        raw = images(n, *shape).astype(np.float64) / 255
        mean, std = (np.array(v).reshape(-1, 1, 1) for v in (spec.mean, spec.std))
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        np.testing.assert_allclose(x.numpy(), (raw - mean) / std, atol=tolerance)
        assert x.dtype == dtype
        assert x.is_contiguous()
        assert y.dtype == torch.int64
        assert y.tolist() == labels(n, classes).tolist()
    assert (dataset.name, dataset.classes, dataset.shape) == (name, classes, shape)
    assert dataset.device == torch.device("cpu")


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_black_is_bit_for_bit_the_value_of_a_raw_zero(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    dataset = load_dataset(name, root=tmp_path)
    raw = torch.from_numpy(images(N_TRAIN, *dataset.shape))
    assert dataset.black is not None
    for channel, black in enumerate(dataset.black):
        zeros = dataset.x_train[:, channel][raw[:, channel] == 0]
        assert len(zeros) > 0
        assert bool((zeros == black).all())


@pytest.mark.usefixtures("any_md5")
def test_cifar100_is_not_cifar10(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(InputError, match="cifar-100-python"):
        load_dataset("cifar100", root=tmp_path)
    write_cifar100(tmp_path)
    assert int(load_dataset("cifar100", root=tmp_path).y_train.max()) > 9


@pytest.mark.usefixtures("any_md5")
def test_svhn_writes_zero_as_ten(tmp_path: Path) -> None:
    written = scipy.io.loadmat(write_svhn(tmp_path) / "train_32x32.mat")["y"].reshape(-1)
    read = load_dataset("svhn", root=tmp_path).y_train.numpy()
    assert 10 in written
    assert (read == written % 10).all()


def test_digits_are_embedded_and_split_the_same_way_always() -> None:
    from sklearn.datasets import load_digits

    dataset, bunch = load_dataset("digits", dtype=torch.float64), load_digits()
    assert dataset.shape == (1, 8, 8)
    assert dataset.classes == 10
    assert len(dataset.x_train) + len(dataset.x_test) == len(bunch.images) == 1797
    assert dataset.x_train.mean().item() == pytest.approx(0, abs=1e-12)
    assert dataset.x_train.std(correction=0).item() == pytest.approx(1)
    # Undo the normalisation: every image is there once, with its label.
    black = dataset.x_train.min()
    step = (dataset.x_train.max() - black) / 16
    together = torch.cat([dataset.x_train, dataset.x_test]).sub(black).div(step).round().flatten(1)
    y = torch.cat([dataset.y_train, dataset.y_test])
    rows = sorted([*row, label] for row, label in zip(together.tolist(), y.tolist(), strict=True))
    flat = bunch.images.reshape(1797, -1).tolist()
    assert rows == sorted([*row, label] for row, label in zip(flat, bunch.target.tolist(), strict=True))
    share = torch.bincount(dataset.y_test) / torch.bincount(y)
    assert ((share - 0.2).abs() < 0.01).all()
    assert torch.equal(load_dataset("digits", dtype=torch.float64).x_test, dataset.x_test)


def test_to_moves_images_to_a_dtype_and_keeps_labels() -> None:
    dataset = load_dataset("digits", test_limit=10)
    double = dataset.to("cpu", torch.float64)
    assert double.x_train.dtype == double.x_test.dtype == double.dtype == torch.float64
    assert double.black is not None
    assert double.black.dtype == torch.float64
    assert double.y_train.dtype == double.y_test.dtype == torch.int64
    assert dataset.to("cpu").x_train is dataset.x_train
    meta = dataset.to("meta")
    assert {t.device.type for t in (meta.x_train, meta.y_train, meta.x_test, meta.y_test)} == {"meta"}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        load_dataset("cifar11", where="suite.toml")
    assert "suite.toml: dataset: unknown dataset 'cifar11'" in str(error.value)
    for name in ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "svhn"):
        assert name in str(error.value)
        assert DATASETS[name]


def test_images_must_be_floating_point() -> None:
    with pytest.raises(InputError, match=r"dtype: torch\.int64"):
        load_dataset("digits", dtype=torch.int64)


# --------------------------------------------------------------------------------- where data is looked for


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "fashion-mnist", "."])
def test_fashion_mnist_is_found_in_the_root(folder: str, gz: bool, tmp_path: Path) -> None:
    write_idx(tmp_path / folder, gz=gz)
    assert len(load_dataset("fashion_mnist", root=tmp_path).x_train) == N_TRAIN


def test_fashion_mnist_is_found_in_debians_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPOBENCH_FASHION_MNIST_DIR")
    monkeypatch.setattr(readers, "FASHION_MNIST_DIR", write_idx(tmp_path / "debian", gz=True, seed=1))
    from_debian = load_dataset("fashion_mnist", root=tmp_path).x_train
    monkeypatch.setenv("HPOBENCH_FASHION_MNIST_DIR", str(write_idx(tmp_path / "variable", gz=True, seed=2)))
    from_variable = load_dataset("fashion_mnist", root=tmp_path).x_train
    assert not torch.equal(from_debian, from_variable)
    (write_idx(tmp_path, gz=False, seed=3) / "t10k-labels-idx1-ubyte").unlink()
    assert torch.equal(
        load_dataset("fashion_mnist", root=tmp_path).x_train, from_variable
    )  # half a set is none
    write_idx(tmp_path, gz=False, seed=3)
    assert not torch.equal(load_dataset("fashion_mnist", root=tmp_path).x_train, from_variable)  # root first


def test_the_default_root_is_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOBENCH_DATA", str(tmp_path / "elsewhere"))
    write_mnist(tmp_path / "elsewhere")
    assert len(load_dataset("mnist").x_train) == N_TRAIN
    monkeypatch.delenv("HPOBENCH_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert catalogue.data_root() == tmp_path / ".cache" / "hpobench_fds"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("svhn", "."),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar-100-python"),
    ],
)
def test_missing_data_says_where_it_was_expected(name: str, folder: str, tmp_path: Path) -> None:
    root = tmp_path / "empty"
    with pytest.raises(InputError) as error:
        load_dataset(name, root=root, where="suite.toml")
    message = str(error.value)
    assert f"suite.toml: dataset: {name}: not found" in message
    assert str(root / folder) in message
    assert f"the data root is {root}" in message
    assert DATASETS[name] in message


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"fashion_mnist"}))
def test_one_missing_file_is_named(name: str, tmp_path: Path) -> None:
    folder = WRITERS[name](tmp_path)
    victim = sorted(folder.iterdir())[-1]
    victim.unlink()
    with pytest.raises(InputError, match=f"{folder} lacks {victim.name}"):
        load_dataset(name, root=tmp_path)


def test_fashion_mnist_is_downloaded_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: object) -> None:
        write_idx(tmp_path / "FashionMNIST" / "raw", gz=False)

    monkeypatch.setattr("torchvision.datasets.FashionMNIST.download", download)
    with pytest.raises(InputError, match="not found"):
        load_dataset("fashion_mnist", root=tmp_path)
    assert len(load_dataset("fashion_mnist", root=tmp_path, download=True).x_train) == N_TRAIN


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("svhn", "SVHN"), ("cifar10", "CIFAR10")],
)
def test_a_failed_download_is_an_input_error(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(self: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(f"torchvision.datasets.{kind}.download", download)
    with pytest.raises(InputError, match=rf"{tmp_path}.*no route to host") as error:
        load_dataset(name, root=tmp_path, download=True)
    assert isinstance(error.value.__cause__, OSError)


# ------------------------------------------------------------------------------------------- corrupt files


def spoil(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


TRAIN_X, TRAIN_Y = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
LABELS_99 = np.full(N_TRAIN, 99, dtype=np.uint8)

BAD_PLAIN = {
    "empty": (TRAIN_X, lambda b: b"", "0 bytes, shorter than an IDX header of 16"),
    "a half header": (TRAIN_X, lambda b: b[:10], "10 bytes, shorter than an IDX header of 16"),
    "truncated": (TRAIN_X, lambda b: b[:-1], "15679 bytes of values, 15680 announced"),
    "trailing bytes": ("t10k-images-idx3-ubyte", lambda b: b + b"x", "7841 bytes of values, 7840 announced"),
    "labels for images": (TRAIN_X, lambda b: idx_bytes(labels(20)), "IDX magic number 0x00000801"),
    "images for labels": (TRAIN_Y, lambda b: idx_bytes(images(20, 28, 28)), "IDX magic number 0x00000803"),
    "floats": (TRAIN_X, lambda b: b[:2] + b"\x0d" + b[3:], "IDX magic number 0x00000d03"),
    "too few labels": (TRAIN_Y, lambda b: idx_bytes(labels(19)), "holds 19 labels for 20 images"),
    "too many labels": (
        "t10k-labels-idx1-ubyte",
        lambda b: idx_bytes(labels(11)),
        "holds 11 labels for 10 images",
    ),
    "label out of range": (TRAIN_Y, lambda b: idx_bytes(LABELS_99), r"holds label 99, outside 0\.\.9"),
    "small images": (TRAIN_X, lambda b: idx_bytes(images(20, 27, 28)), r"images of shape \(20, 1, 27, 28\)"),
    "no images": (TRAIN_X, lambda b: idx_bytes(images(0, 28, 28)), r"images of shape \(0, 1, 28, 28\)"),
}


@pytest.mark.parametrize("case", BAD_PLAIN)
def test_a_bad_fashion_mnist_file_is_named(case: str, tmp_path: Path) -> None:
    name, change, problem = BAD_PLAIN[case]
    path = spoil(write_idx(tmp_path, gz=False) / name, change)
    with pytest.raises(InputError, match=problem) as error:
        load_dataset("fashion_mnist", root=tmp_path, where="suite.toml")
    assert str(path) in str(error.value)
    assert str(error.value).startswith("suite.toml: dataset: ")


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"garbage" * 100,
        lambda b: b[:10] + b"\xff" * 100 + b[110:],  # no such kind of deflate block
        lambda b: b[:-8] + bytes(4) + b[-4:],
        lambda b: gzip.decompress(b),
    ],
    ids=["truncated", "garbage", "garbage inside", "wrong checksum", "not gzipped"],
)
def test_a_bad_gzip_file_is_named(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = spoil(write_idx(tmp_path, gz=True) / f"{TRAIN_X}.gz", change)
    with pytest.raises(InputError) as error:
        load_dataset("fashion_mnist", root=tmp_path)
    assert str(path) in str(error.value)
    assert error.value.__cause__ is not None


@pytest.mark.parametrize("case", BAD_PLAIN)
def test_a_bad_mnist_file_is_named(case: str, tmp_path: Path) -> None:
    """torchvision reads it and checks little itself: whatever is wrong is found all the same."""
    name, change, _ = BAD_PLAIN[case]
    path = spoil(write_mnist(tmp_path) / name, change)
    with pytest.raises(InputError, match=path.name) as error:
        load_dataset("mnist", root=tmp_path)
    assert str(path.parent) in str(error.value)


def cifar_batch(**changes: object) -> bytes:
    return pickle.dumps({"data": images(4, 3072), "labels": [0, 1, 2, 3]} | changes)


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize(
    "change",
    [
        lambda b: b"",
        lambda b: b[: len(b) // 2],
        lambda b: b"garbage" * 100,
        lambda b: pickle.dumps({"data": images(4, 3072)}),
        lambda b: pickle.dumps([1, 2]),
        lambda b: cifar_batch(labels=[0, 1, 2]),
        lambda b: cifar_batch(labels=[0, 1, 2, 10]),
        lambda b: cifar_batch(labels=[0, 1, 2, -1]),
        lambda b: cifar_batch(labels=["a", "b", "c", "d"]),
        lambda b: cifar_batch(data=images(4, 3071)),
        lambda b: cifar_batch(data=images(4, 3072).astype(np.float32)),
    ],
)
def test_a_bad_cifar_file_is_an_input_error(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path)
    spoil(folder / "data_batch_2", change)
    with pytest.raises(InputError, match=str(folder)):
        load_dataset("cifar10", root=tmp_path)


@pytest.mark.usefixtures("any_md5")
def test_a_cifar100_label_may_not_reach_100(tmp_path: Path) -> None:
    folder = write_cifar100(tmp_path)
    dump(folder / "test", {"data": images(2, 3072), "fine_labels": [99, 100]})
    with pytest.raises(InputError, match=r"holds label 100, outside 0\.\.99"):
        load_dataset("cifar100", root=tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_files_with_another_md5_are_refused(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    with pytest.raises(InputError, match=rf"{tmp_path}.*corrupted") as error:
        load_dataset(name, root=tmp_path)
    assert isinstance(error.value.__cause__, RuntimeError)


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize(
    "change",
    [lambda b: b"", lambda b: b"garbage" * 100, lambda b: b[: len(b) // 2]],
    ids=["empty", "garbage", "truncated"],
)
def test_a_bad_svhn_file_is_named(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = spoil(write_svhn(tmp_path) / "test_32x32.mat", change)
    with pytest.raises(InputError, match=f"{path} cannot be read"):
        load_dataset("svhn", root=tmp_path)


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"X": images(32, 32, 3, 2), "y": np.array([[1], [2], [3]])}, "holds 3 labels for 2 images"),
        ({"X": images(32, 32, 3, 2), "y": np.array([[1], [11]])}, "holds label 11"),
        ({"X": images(32, 32, 3, 2)}, "KeyError"),
        ({"X": images(32, 32, 3, 2).astype(float), "y": np.array([[1], [2]])}, "float64 images"),
        ({"X": images(16, 32, 3, 2), "y": np.array([[1], [2]])}, r"\(2, 3, 16, 32\)"),
    ],
)
def test_a_strange_svhn_file_is_named(content: dict[str, np.ndarray], problem: str, tmp_path: Path) -> None:
    write_svhn(tmp_path)
    scipy.io.savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(InputError, match=problem) as error:
        load_dataset("svhn", root=tmp_path)
    assert str(tmp_path / "train_32x32.mat") in str(error.value)


@few
@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=3), gz=st.booleans())
def test_idx_files_are_read_as_written(
    shape: list[int], gz: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = images(shape[0], *shape[1:])
    path = tmp_path_factory.getbasetemp() / ("array.gz" if gz else "array")
    path.write_bytes(gzip.compress(idx_bytes(array)) if gz else idx_bytes(array))
    assert torch.equal(read_idx(path, len(shape)), torch.from_numpy(array))


# -------------------------------------------------------------------------------------- registered datasets


@pytest.fixture
def _registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registrations of a test end with it."""
    monkeypatch.setattr(catalogue, "_REGISTERED", {})
    before = dict(catalogue._needs)
    yield
    catalogue._needs.clear()
    catalogue._needs.update(before)


def stripes(root: Path, dtype: torch.dtype) -> Dataset:
    raw, y = torch.from_numpy(images(8, 2, 5, 6)), torch.arange(8) % 2
    return Dataset.from_images(
        "?", (raw, y), (raw[:4], y[:4]), 2, mean=(0.5, 0.4), std=(0.2, 0.3), dtype=dtype
    )


def broken(**changes: object) -> Callable[[Path, torch.dtype], Dataset]:
    return lambda root, dtype: replace(stripes(root, dtype), **changes)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_registry")
def test_a_user_can_register_a_dataset(tmp_path: Path) -> None:
    seen: list[tuple[Path, torch.dtype]] = []

    def loader(root: Path, dtype: torch.dtype) -> Dataset:
        seen.append((root, dtype))
        return stripes(root, dtype)

    register_dataset("stripes", loader, "nothing")
    assert DATASETS["stripes"] == "nothing"
    dataset = load_dataset("stripes", root=tmp_path, dtype=torch.float64, train_limit=4)
    assert seen == [(tmp_path, torch.float64)]
    assert (dataset.name, dataset.shape, dataset.classes) == ("stripes", (2, 5, 6), 2)
    assert dataset.y_train.bincount().tolist() == [2, 2]
    assert dataset.x_test.dtype == torch.float64


def test_a_built_in_name_is_taken() -> None:
    with pytest.raises(InputError, match="'digits' is a built-in dataset"):
        register_dataset("digits", stripes)


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(
    ("loader", "problem"),
    [
        (lambda root, dtype: None, "returned a NoneType"),
        (broken(x_train=torch.zeros(8)), r"x_train has shape \(8,\)"),
        (broken(x_test=torch.zeros(4, 2, 5, 5)), r"x_test has shape \(4, 2, 5, 5\)"),
        (broken(x_train=torch.zeros(8, 2, 5, 6, dtype=torch.uint8)), "x_train is torch.uint8"),
        (broken(y_test=torch.zeros(4)), "y_test torch.float32"),
        (broken(y_train=torch.zeros(7, dtype=torch.int64)), "y_train holds 7 labels for 8 images"),
        (broken(classes=1), "y_train holds label 1"),
        (broken(black=torch.zeros(3)), r"black has shape \(3,\)"),
    ],
)
def test_what_a_loader_returns_is_checked(
    loader: Callable[[Path, torch.dtype], Dataset], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalogue._REGISTERED, "stripes", loader)
    with pytest.raises(InputError, match=f"dataset: stripes: .*{problem}"):
        load_dataset("stripes")


# ------------------------------------------------------------------------------------------ the real files

REAL = readers.FASHION_MNIST_DIR


@pytest.mark.skipif(readers._find_idx(REAL) is None, reason=f"no Fashion-MNIST in {REAL}")
def test_the_real_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPOBENCH_FASHION_MNIST_DIR")
    dataset = load_dataset("fashion_mnist", root=tmp_path)
    assert dataset.x_train.shape == (60_000, 1, 28, 28)
    assert torch.bincount(dataset.y_train).tolist() == [6_000] * 10
    assert torch.bincount(dataset.y_test).tolist() == [1_000] * 10
    assert abs(dataset.x_train.mean().item()) < 1e-3
    assert abs(dataset.x_train.std().item() - 1) < 1e-3


# ----------------------------------------------------------------------------------------- damaged downloads


@pytest.mark.parametrize("download", [False, True])
def test_a_file_that_is_there_and_is_damaged_is_named_with_what_to_do(tmp_path: Path, download: bool) -> None:
    folder = write_idx(tmp_path / "FashionMNIST" / "raw", gz=True)
    path = spoil(folder / f"{TRAIN_X}.gz", lambda b: b[: len(b) // 2])
    with pytest.raises(InputError, match=rf"{path}.*delete it, and --download fetches it again"):
        load_dataset("fashion_mnist", root=tmp_path, download=download)
    assert path.exists()


def test_one_runner_at_a_time_downloads_and_the_others_find_what_it_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPOBENCH_FASHION_MNIST_DIR", str(tmp_path / "none"))
    inside: list[int] = []
    most: list[int] = []

    def download(self: object) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.1)
        write_idx(tmp_path / "FashionMNIST" / "raw", gz=False)
        inside.pop()

    def load(_: int) -> Dataset:
        return load_dataset("fashion_mnist", root=tmp_path, download=True)

    monkeypatch.setattr("torchvision.datasets.FashionMNIST.download", download)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(load, range(4)))
    assert most == [1]
    assert all(torch.equal(one.x_train, found[0].x_train) for one in found)


TORCHVISION = {"mnist": "MNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN"}


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn"])
def test_every_set_of_torchvision_names_what_is_damaged_and_what_to_do(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            spoil(path, lambda b: b[: len(b) // 2])
    with pytest.raises(InputError, match=rf"{tmp_path}.*-- delete it, and --download fetches it again"):
        load_dataset(name, root=tmp_path)


@pytest.mark.parametrize("name", TORCHVISION)
@pytest.mark.parametrize(
    "error",
    [URLError("no route to host"), ConnectionResetError("by peer"), RuntimeError("Error downloading x")],
)
def test_a_download_that_does_not_come_blames_no_file(
    name: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"torchvision.datasets.{TORCHVISION[name]}.download", fails)
    with pytest.raises(
        InputError, match=rf"the download into {tmp_path} failed: .*takes it up again"
    ) as said:
        load_dataset(name, root=tmp_path, download=True)
    assert "delete" not in str(said.value)


def test_a_data_root_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/root cannot be written"):
        load_dataset("fashion_mnist", root=tmp_path / "file" / "root", download=True)
