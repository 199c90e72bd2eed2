"""A user's own data: read as it is, split the same every time, and whatever is wrong said in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hpobench_fds.data.checked import TEST_SHARE
from hpobench_fds.data.own import data_digest, find_own, is_own, read_own
from hpobench_fds.errors import InputError

RNG = np.random.default_rng(0)


def arrays(n: int = 40, classes: int = 4) -> dict[str, Any]:
    return {"x": RNG.normal(size=(n, 3)), "y": np.arange(n) % classes}


def apart(**changes: Any) -> dict[str, Any]:
    """Arrays in two parts, with some of them changed."""
    one, other = arrays(40), arrays(20)
    whole = {"x_train": one["x"], "y_train": one["y"], "x_test": other["x"], "y_test": other["y"]}
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    def write(**content: Any) -> Path:
        np.savez(tmp_path / "data.npz", **content)
        return tmp_path / "data.npz"

    return write


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "data.csv").write_text(text)
        return tmp_path / "data.csv"

    return write


# ---------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["data.npz", "a/b.csv", "x.parquet", "mine.py:load", "photos/", "./photos"])
def test_files_functions_and_folders_are_a_users_own(name: str) -> None:
    assert is_own(name)


@pytest.mark.parametrize("name", ["digits", "cifar10", "my-registered"])
def test_other_names_are_not(name: str) -> None:
    assert not is_own(name)


def test_a_file_is_found_beside_the_suite_or_here(
    npz: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npz(**arrays())
    assert find_own("data.npz", tmp_path) == path
    monkeypatch.chdir(tmp_path)
    assert find_own("data.npz", Path("elsewhere")) == path
    assert find_own(str(path)) == path


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.npz", "there is no"), ("none.py:load", "there is no"), ("mine.py", "names no function"),
     ("./notes.doc", "of no form that is read"), ("notes.txt", "is a text.*next_token")],
)  # fmt: skip
def test_what_is_no_data_is_refused(name: str, said: str, tmp_path: Path) -> None:
    for text in ("notes.txt", "notes.doc"):
        (tmp_path / text).write_text("x")
    with pytest.raises(InputError, match=said):
        find_own(name, tmp_path)


# ------------------------------------------------------------------------------------------------ npz


def test_arrays_in_two_parts_stay_in_them(npz: Callable[..., Path]) -> None:
    content = apart(y_train=np.array(["b", "a"] * 20), y_test=np.array(["a"] * 20))
    own = read_own(str(npz(**content)))
    np.testing.assert_array_equal(own.x_train.numpy(), content["x_train"])
    np.testing.assert_array_equal(own.x_test.numpy(), content["x_test"])
    assert own.labels == ("a", "b")
    assert own.y_train.tolist() == [1, 0] * 20
    assert own.y_train.dtype == torch.int64


def test_a_fifth_of_each_class_is_kept_for_testing_the_same_every_time(npz: Callable[..., Path]) -> None:
    content = arrays(100)
    path = str(npz(**content))
    own, again = read_own(path), read_own(path)
    assert len(own.y_test) == TEST_SHARE * 100
    assert torch.bincount(own.y_test).tolist() == [5, 5, 5, 5]
    assert torch.equal(own.x_test, again.x_test)
    rows = {tuple(row) for part in (own.x_train, own.x_test) for row in part.tolist()}
    assert rows == {tuple(row) for row in content["x"].tolist()}


@pytest.mark.parametrize("shape", [(3,), (5, 7), (3, 8, 8), (2, 3, 4, 5)])
def test_examples_may_be_of_any_rank(npz: Callable[..., Path], shape: tuple[int, ...]) -> None:
    own = read_own(str(npz(x=RNG.normal(size=(40, *shape)), y=np.arange(40) % 2)))
    assert own.x_train.shape == (32, *shape)


@pytest.mark.parametrize(
    ("kind", "kept"), [("uint8", torch.uint8), ("bool", torch.uint8), ("int32", torch.int64),
                       ("float32", torch.float64)],
)  # fmt: skip
def test_bytes_codes_and_numbers_stay_what_they_are(npz: Callable[..., Path], kind: str, kept: Any) -> None:
    own = read_own(str(npz(x=np.ones((40, 3), kind), y=np.arange(40) % 2)))
    assert own.x_train.dtype == kept


def test_labels_of_any_values_become_classes(npz: Callable[..., Path]) -> None:
    for y, labels in (
        (np.array([7, -3] * 20), ("-3", "7")),
        (np.array([2.0, 5.0] * 20), ("2", "5")),
        (np.array([True, False] * 20), ("False", "True")),
    ):
        own = read_own(str(npz(x=RNG.normal(size=(40, 3)), y=y)))
        assert own.labels == labels
        assert set(own.y_train.tolist()) == {0, 1}


NAN = arrays()["x"].copy()
NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: arrays() | {"x": NAN}, r"x\[3, 1\] is nan \(allowed: finite numbers\)"),
        (lambda: apart(y_test=np.arange(20)), "class 4 is in y_test alone"),
        (lambda: apart(y_train=np.zeros(40, int)), "one class alone: 0"),
        (lambda: apart(y_train=np.arange(39) % 4), r"y_train has shape \(39,\) for 40 examples"),
        (lambda: apart(x_test=np.zeros((20, 4))), "x_train is .* x_test"),
        (lambda: apart(y_test=None), "holds x_test, x_train, y_train"),
        (lambda: apart(y_test=np.array(["a"] * 20)), "y_train is of type int64, y_test of <U1"),
        (lambda: {"x": np.zeros(40), "y": np.arange(40) % 2}, r"x has shape \(40,\)"),
        (lambda: {"x": np.zeros((0, 3)), "y": np.zeros(0)}, r"x has shape \(0, 3\)"),
        (lambda: arrays() | {"y": np.linspace(0, 1, 40)}, "y holds .* which is no class"),
        (lambda: arrays() | {"y": np.full(40, np.nan)}, r"y\[0\] is nan"),
        (lambda: arrays() | {"y": np.eye(40)}, r"y has shape \(40, 40\) for 40 examples"),
        (lambda: arrays() | {"x": np.full((40, 3), "a")}, "x is of type <U1"),
        (lambda: {"x": np.zeros((2, 3)), "y": np.array([0, 1])}, "too few to keep some for testing"),
        (lambda: {"x": np.zeros((5, 3)), "y": np.arange(5)}, "a class has a single example"),
        (lambda: {"x": np.zeros((5, 3), complex), "y": np.arange(5)}, "x is of type complex128"),
    ],
)
def test_bad_arrays_are_named(npz: Callable[..., Path], content: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        read_own(str(npz(**content())))
    assert "data.npz" in str(raised.value)
    assert "\n" not in str(raised.value)


class Bomb:
    exploded = False

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return (_explode, ())


def _explode() -> None:
    Bomb.exploded = True


def test_object_arrays_are_refused_without_unpickling(npz: Callable[..., Path]) -> None:
    path = npz(x=np.zeros((4, 2)), y=np.array([Bomb()] * 4, object))
    with pytest.raises(InputError, match="array of Python objects, which is not read"):
        read_own(str(path))
    assert not Bomb.exploded


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04garbage"])
def test_garbage_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"data\.npz.*cannot be read|Python objects"):
        read_own(str(tmp_path / "data.npz"))


# --------------------------------------------------------------------------------------------- tables

ROWS = "".join(f"{i},{'red' if i % 3 else 'blue'},{'yes' if i % 2 else 'no'}\n" for i in range(20))


def test_a_table_has_numbers_and_categories(csv: Callable[[str], Path]) -> None:
    own = read_own(str(csv("size,colour,target\n" + ROWS)))
    assert own.labels == ("no", "yes")
    assert own.x_train.shape == (16, 3)  # a number and two categories
    whole = torch.cat([own.x_train, own.x_test])
    assert sorted(whole[:, 0].tolist()) == list(range(20))
    assert set(map(tuple, whole[:, 1:].tolist())) == {(0.0, 1.0), (1.0, 0.0)}


def test_parquet_is_read_alike(csv: Callable[[str], Path], tmp_path: Path) -> None:
    path = csv("size,colour,target\n" + ROWS)
    pd.read_csv(path).to_parquet(tmp_path / "data.parquet")
    one, other = read_own(str(path)), read_own(str(tmp_path / "data.parquet"))
    assert torch.equal(one.x_train, other.x_train)
    assert one.digest == other.digest


def test_a_table_may_say_what_is_for_testing(csv: Callable[[str], Path]) -> None:
    lines = [f"{i},{'b' if i == 9 else 'a'},{i % 2},{'test' if i > 7 else 'train'}" for i in range(10)]
    own = read_own(str(csv("size,colour,target,split\n" + "\n".join(lines))))
    assert own.x_test[:, 0].tolist() == [8.0, 9.0]
    assert own.x_test[:, 1].tolist() == [1.0, 0.0]  # a category that no training row has


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size,colour\n1,a\n", r"has no column 'target' \(allowed: one of size, colour"),
        ("size,target\n1,a\n,b\n", "column 'size' is missing in line 3"),
        ("size,target\n1,a\n2,\n,b\n", "column 'target' is missing in line 3, and 1 more values"),
        ("size,target\n1,a\ninf,b\n", "column 'size' is inf in line 3"),
        ("size,target\n", "has 0 rows"),
        ("target\n1\n2\n", "0 columns of inputs"),
        ("size,target,split\n1,a,train\n2,b,dev\n", "column 'split' holds 'dev'"),
        ("size,target,split\n1,a,train\n2,b,train\n", "says 'train' of every row"),
        ("name,target\n" + "".join(f"n{i},{i % 2}\n" for i in range(1200)), "1200 categories"),
        ("", "cannot be read"),
    ],
)
def test_bad_tables_are_named(csv: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_own(str(csv(text)))


# ------------------------------------------------------------------------------- functions and folders


def function(tmp_path: Path, body: str) -> str:
    (tmp_path / "mine.py").write_text(f"import numpy as np, torch\ndef load():\n    {body}\n")
    return f"{tmp_path / 'mine.py'}:load"


@pytest.mark.parametrize(
    "body",
    [
        "return np.eye(6), np.arange(6) % 2, np.eye(6), np.arange(6) % 2",
        "return (torch.eye(6), torch.arange(6) % 2), (torch.eye(6), torch.arange(6) % 2)",
    ],
)
def test_a_function_returns_both_parts(tmp_path: Path, body: str) -> None:
    own = read_own(function(tmp_path, body))
    assert torch.equal(own.x_train, torch.eye(6, dtype=torch.float64))
    assert own.y_test.tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return np.eye(6), np.arange(6)", "returned 2 things"),
        ("return 3", r"load\(\) returned a int"),
        ("raise OSError('no disk')", r"load\(\) raised OSError: no disk"),
    ],
)
def test_a_function_that_does_not_is_named(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_own(function(tmp_path, body))


def picture(path: Path, size: tuple[int, int], shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(path)


def test_a_folder_of_images(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 2)):
        for i in range(count):
            picture(tmp_path / part / ("cat" if i % 2 else "dog") / f"{i}.png", (8, 4), 10 * i)
    own = read_own(f"{tmp_path}/")
    assert own.x_train.shape == (6, 3, 4, 8)
    assert own.x_train.dtype == torch.uint8
    assert own.labels == ("cat", "dog")
    assert own.x_train[own.y_train == 0][:, 0, 0, 0].tolist() == [10, 30, 50]
    assert len(own.y_test) == 2


def test_images_of_two_sizes_are_named(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / ("cat" if i % 2 else "dog") / f"{i}.png", (8, 8 if i < 9 else 4), i)
    with pytest.raises(InputError, match=r"9\.png: 4 x 8 pixels, where others have 8 x 8"):
        read_own(f"{tmp_path}/")


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of images, one folder a class"):
        read_own(f"{tmp_path}/")


# --------------------------------------------------------------------------------------------- digests


def test_the_digest_of_a_file_changes_with_it(npz: Callable[..., Path]) -> None:
    path = npz(**arrays())
    before = data_digest("data.npz", path.parent)
    assert before == data_digest("data.npz", path.parent)
    assert list(before) == ["data.npz"]
    npz(**arrays(60))
    assert data_digest("data.npz", path.parent) != before


def test_the_digest_of_a_folder_is_of_its_files_and_their_places(tmp_path: Path) -> None:
    picture(tmp_path / "p" / "cat" / "1.png", (4, 4), 9)
    before = data_digest("p/", tmp_path)
    (tmp_path / "p" / "dog").mkdir()
    (tmp_path / "p" / "cat" / "1.png").rename(tmp_path / "p" / "dog" / "1.png")
    assert data_digest("p/", tmp_path) != before


# ------------------------------------------------------------------------------------- numbers and tokens


def test_numbers_are_kept_as_they_are(npz: Callable[..., Path]) -> None:
    for y, shape in ((RNG.normal(size=50), (40, 1)), (RNG.normal(size=(50, 2)), (40, 2))):
        own = read_own(str(npz(x=RNG.normal(size=(50, 3)), y=y)), targets="numbers")
        assert own.y_train.shape == shape
        assert own.y_train.dtype == torch.float64
        assert (own.labels, own.outputs) == ((), shape[1])
        whole = torch.cat([own.y_train, own.y_test]).flatten().tolist()
        assert sorted(whole) == sorted(y.ravel().tolist())


def test_whole_numbers_may_be_numbers_too(csv: Callable[[str], Path]) -> None:
    own = read_own(
        str(csv("size,target\n" + "".join(f"{i},{i % 7}\n" for i in range(20)))), targets="numbers"
    )
    assert own.y_train.dtype == torch.float64


def test_tokens_are_of_the_shape_of_the_codes(npz: Callable[..., Path]) -> None:
    text = RNG.integers(0, 9, (50, 6))
    own = read_own(str(npz(x=text[:, :-1], y=text[:, 1:])), targets="tokens")
    assert own.y_train.shape == own.x_train.shape == (40, 5)
    assert own.outputs == int(text.max()) + 1
    assert torch.equal(own.x_train[:, 1:], own.y_train[:, :-1])


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("numbers", lambda: arrays() | {"y": np.full(40, "a")}, "y holds a, which is no number"),
        ("numbers", lambda: arrays() | {"y": np.full(40, np.nan)}, r"y\[0\] is nan"),
        ("numbers", lambda: arrays() | {"y": np.ones(40)}, "target 0 is the same for all examples"),
        ("numbers", lambda: arrays() | {"y": np.ones((40, 2, 2))}, r"y is float64 of shape \(40, 2, 2\)"),
        ("numbers", lambda: arrays() | {"y": np.arange(39)}, r"y is int64 of shape \(39,\) for 40 examples"),
        ("tokens", lambda: arrays(), "y is int64 of shape"),
        ("tokens", lambda: {"x": np.ones((40, 3), int), "y": np.ones((40, 2), int)}, "both of one shape"),
        ("tokens", lambda: {"x": np.ones((40, 3), int), "y": -np.ones((40, 3), int)}, "holds the token -1"),
        ("classes", lambda: arrays() | {"y": np.linspace(0, 1, 40)}, 'or loss = "squared_error"'),
    ],
)
def test_targets_of_another_kind_are_named(
    npz: Callable[..., Path], kind: Any, content: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_own(str(npz(**content())), targets=kind)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("numbers", "size,target\n1,a b\n2,c\n", "column 'target' holds a b, which is no number"),
        ("classes", "size,target\n1,0.5\n2,0.7\n", "column 'target' holds 0.5, which is no class"),
    ],
)
def test_of_a_table_the_column_is_named(csv: Callable[[str], Path], kind: Any, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_own(str(csv(text)), targets=kind)


def test_tokens_without_their_loss_are_told_of_it(npz: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match='or loss = "squared_error" or "next_token"'):
        read_own(str(npz(x=np.ones((40, 3), int), y=np.ones((40, 3), int))))
