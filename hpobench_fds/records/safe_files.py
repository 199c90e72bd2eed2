"""Files written in one piece, one writer at a time, and read from a folder that may come from anyone."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hpobench_fds.errors import InputError

LOCK_WAIT = 60.0  # seconds; what is done under such a lock takes milliseconds
LOCK_POLL = 0.01  # seconds between tries


def write_atomic(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file in one piece: a reader, or a crash, meets the old content or the new, no mixture.

    Not ``durable``: only a power cut may cost it. That is enough for what can be made again.
    """
    # No process id: two containers on one folder may have the same.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the disk has its say already
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = str(path)  # whoever reads it knows no temporary name
        raise


@contextmanager
def writing(where: Path, instead: str = "") -> Iterator[None]:
    """What is written in this block, or told in a line that it cannot be.

    Parameters
    ----------
    where : what the line names; the system may name a temporary file.
    instead : what to do then, for the end of the line.

    Raises
    ------
    InputError : the disk is full, the folder read-only, a name too long, and the like.
    """
    try:
        yield
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise InputError(f"{problem}: {instead}" if instead else problem, where=where) from error


def take_lock(path: Path, seconds: float = 0.0) -> FileLock:
    """The lock of that name, taken; given back by its ``release``, or when the process ends.

    Raises
    ------
    Timeout : another has had it for so many seconds.
    OSError : it cannot be made, or the file system knows no locks.
    """
    if path.is_symlink():  # opened, the file behind it might be emptied
        raise OSError(errno.ELOOP, "a link in the place of a lock", str(path))
    lock = FileLock(path, timeout=seconds)
    try:
        lock.acquire(poll_interval=LOCK_POLL)
    except NotImplementedError as error:
        raise OSError(f"the file system of {path} has no locks") from error
    return lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block that one process and thread at a time goes through, on all machines that share the folder.

    Raises InputError where another has been in it for a minute, OSError as ``take_lock`` does.
    """
    try:
        lock = take_lock(path, LOCK_WAIT)
    except Timeout as error:
        raise InputError(f"held by another process for {LOCK_WAIT:g} s", where=path) from error
    try:
        yield
    finally:
        lock.release()


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
