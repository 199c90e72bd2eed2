"""The one importer of a user's Python file: an adapter, a model."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from hpobench_fds.errors import InputError


def import_file(path: Path, *, where: object = None, key: str | None = None) -> ModuleType:
    """The module in a file, imported once for each content it has had: an edited file is read again.

    Raises
    ------
    InputError : it is no Python file, cannot be read, or raises while it is imported. ``where`` and
        ``key`` say in the message what named it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", where=where, key=key) from error
    digest = hashlib.sha256(str(path).encode() + b"\0" + content).hexdigest()[:12]
    name = f"hpobench_fds_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file", where=where, key=key)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look a class's module up while it is defined
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        problem = f"{path} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(problem, where=where, key=key) from error
    return module
