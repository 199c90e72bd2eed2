"""A folder for the sockets of multiprocessing whose paths are no longer than the system takes."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from multiprocessing import util

from hpobench_fds.errors import InputError

PATH = 103  # bytes of a socket's path that every system takes; Linux takes four more
MOST = PATH - len("/pymp-12345678/listener-12345678")  # bytes of the folder that temporary ones are made in
PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def ensure_short_paths() -> None:
    """Have multiprocessing use another folder for its sockets where that of temporary files is too deep.

    TMPDIR stands for everything else, here and in processes started from here. To be called by one thread
    at a time.

    Raises
    ------
    InputError : TMPDIR is too long, and no other folder can be written.
    OSError : there is no folder for temporary files at all.
    """
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    made = config.get("tempdir")  # by the caller's own processes, say
    folder = tempfile.gettempdir() if made is None else os.path.dirname(made)
    if _fits(folder):
        return
    short = next((place for place in PLACES if os.access(place, os.W_OK | os.X_OK)), None)
    if short is None:
        problem = f"{folder} is too long a path for sockets, and none of {', '.join(PLACES)} can be written"
        raise InputError(problem, key="TMPDIR", allowed=f"{MOST} bytes at most")
    config.pop("tempdir", None)
    before, tempfile.tempdir = tempfile.tempdir, short
    try:
        util.get_temp_dir()  # makes it, remembers it, and removes it at the end
    finally:
        tempfile.tempdir = before


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) <= MOST
