"""Texts as data: each token is to be told from those before it.

A text is cut once: its first part trains, its last one tests. Both are cut again into examples that do not
overlap, ``context`` tokens and the tokens that follow each of them.
"""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hpobench_fds.data.checked import Own
from hpobench_fds.errors import InputError

TEXT_TEST_SHARE = 0.1  # of each text: its end
MOST_CHARACTERS = 1000  # different ones: each becomes an output at every place
BYTES = 256

Tokens = Literal["characters", "bytes"]
Codes = NDArray[Any]


@dataclass(frozen=True)
class Reading:
    """How a text becomes examples: what a token is, and how many of them an example has."""

    tokens: Tokens = "characters"
    context: int = 64


AS_USUAL = Reading()


def read_text(path: Path, reading: Reading) -> Own:
    """A file of UTF-8, or all files of a folder but hidden ones. Raises InputError, naming the file."""
    files = [path]
    if path.is_dir():
        found = [one for one in path.rglob("*") if one.is_file()]
        files = sorted(one for one in found if not _is_hidden(one.relative_to(path)))
        if not files:
            raise InputError("a folder without files", where=path, allowed="files of UTF-8 text")
    try:
        texts = {str(file): file.read_bytes() for file in files}
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from error
    return examples_of(texts, reading, path)


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def examples_of(texts: Mapping[str, bytes], reading: Reading, where: Path) -> Own:
    """Codes x [N, context] and the tokens y [N, context] that follow each, of both parts.

    Each text gives its first nine tenths to training and the rest to testing. The characters that are tokens
    are those of all texts: which there are tells nothing of what follows.

    Raises InputError for bytes that are not UTF-8, too many characters, too few tokens.
    """
    decoded = {name: _decoded(content, name) for name, content in texts.items()}
    cuts = [round(len(text) * (1.0 - TEXT_TEST_SHARE)) for text in decoded.values()]
    heads = "\n".join(text[:cut] for text, cut in zip(decoded.values(), cuts, strict=True))
    tails = "\n".join(text[cut:] for text, cut in zip(decoded.values(), cuts, strict=True))
    if reading.tokens == "bytes":
        outputs, parts = BYTES, [np.frombuffer(part.encode(), np.uint8) for part in (heads, tails)]
    else:
        outputs, parts = _characters([heads, tails], where)
    (x, y), (x_test, y_test) = (
        _chunks(part, name, reading.context, where)
        for part, name in zip(parts, ("training", "test"), strict=True)
    )
    return Own(x, y, x_test, y_test, (), outputs)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        start = error.start + len(content) - len(content.removeprefix(BOM_UTF8))
        told = f"is not UTF-8: byte {start} is {content[start]:#04x}"
        if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            told = f"{told}, and it is UTF-16 by its first two: save it as UTF-8"
        raise InputError(told, where=name) from error


def _characters(parts: Sequence[str], where: Path) -> tuple[int, list[Codes]]:
    """How many characters there are, and each part as their numbers, in the order of Unicode."""
    points = [np.frombuffer(part.encode("utf-32-le"), np.uint32) for part in parts]
    known = np.unique(np.concatenate(points))
    if len(known) > MOST_CHARACTERS:
        told = f"holds {len(known)} different characters, each of which would be a token"
        raise InputError(told, where=where, allowed=f'at most {MOST_CHARACTERS}, or text.tokens = "bytes"')
    if len(known) < 2:
        told = "one character alone" if len(known) else "an empty text"
        raise InputError(told, where=where, allowed="two different characters or more")
    return len(known), [np.searchsorted(known, part) for part in points]


def _chunks(codes: Codes, part: str, context: int, where: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples [N, context] and what follows each of their tokens; a rest at the end is left."""
    count = (len(codes) - 1) // context
    if count < 1:
        told = f"{len(codes)} tokens of its {part} part are too few for a context of {context}"
        share = TEXT_TEST_SHARE if part == "test" else 1.0 - TEXT_TEST_SHARE
        least = int(np.ceil((context + 1) / share))
        raise InputError(
            told, where=where, allowed=f"about {least} tokens or more, or a shorter text.context"
        )
    whole = torch.from_numpy(codes.astype(np.int64))
    x, y = whole[: count * context], whole[1 : count * context + 1]
    return x.view(count, context).clone(), y.view(count, context).clone()
