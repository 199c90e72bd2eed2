"""Records as bytes: from JSON to plain data, and their digests."""

from __future__ import annotations

import hashlib
import json
import re
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from hpobench_fds.errors import InputError

# Whole strings alone: no keys, and no end of a longer string with a quotation mark in it. Exact, and slow.
_QUOTED = re.compile(rb'(?<!\\)"(-?Infinity|NaN)"(?!:)')


def unquote_infinity(content: bytes) -> bytes:
    """Records write what JSON cannot hold as strings; the parser reads the bare words.

    A byte order mark, which editors of Windows put before a text, goes too: the parser knows none.
    """
    content = content.removeprefix(BOM_UTF8)
    for word in (b"Infinity", b"-Infinity", b"NaN"):
        quoted = b'"' + word + b'"'
        if quoted not in content:
            continue
        if quoted + b":" in content or b"\\" + quoted in content:
            return _QUOTED.sub(rb"\1", content)
        content = content.replace(quoted, word)
    return content


def plain_object(content: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    data = from_json(content.removeprefix(BOM_UTF8))
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def whole_lines(content: bytes) -> bytes:
    """All but the half line that a crash may have left at the end."""
    return content[: content.rfind(b"\n") + 1]


def parse_lines(content: bytes, path: Path) -> list[dict[str, Any]]:
    """Every whole line of a trace, parsed in one go."""
    lines = unquote_infinity(whole_lines(content))
    try:
        rows: list[dict[str, Any]] = from_json(
            b"[" + lines.rstrip().replace(b"\n", b",") + b"]", cache_strings="keys"
        )
    except ValueError:
        for number, line in enumerate(lines.splitlines(), 1):
            try:
                from_json(line)
            except ValueError as error:
                raise InputError(f"line {number} is no report: {error}", where=path) from error
        raise
    for number, row in enumerate(rows, 1):
        if type(row) is not dict:
            raise InputError(f"line {number} is no report: not a JSON object", where=path)
    return rows


def invalid(what: str, path: Path, error: ValidationError) -> InputError:
    """The first thing that a schema has against a file."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))[:80]
    return InputError(f"{what}: {place}{': ' if place else ''}{first['msg']}", where=path)


def trace_digest(content: bytes | None) -> str | None:
    """SHA-256 of a trace; None if there is none."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def record_digest(content: bytes) -> str:
    """SHA-256 of what a ``run.json`` holds, its digest left out, however it is laid out.

    Of the file's own data, not of the record that it is read as: fields that later versions add to
    records, and migrations, leave the digests of old files as they are. Raises ValueError.
    """
    data = plain_object(unquote_infinity(content))
    data.pop("digest", None)
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
