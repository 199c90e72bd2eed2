"""Files written in one piece, and read from a folder that may come from anyone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hpobench_fds.errors import InputError


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file in one piece: a reader, or a crash, meets the old content or the new, no mixture."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_plain(path: Path) -> bytes:
    """The content of a plain file.

    A results folder may come from anyone: a link in it is not followed, a pipe is not waited for.

    Raises
    ------
    FileNotFoundError : there is nothing of that name.
    InputError : it is no plain file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InputError("a link, a folder or the like in place of a plain file", where=path)
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
