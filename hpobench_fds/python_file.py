"""The one importer of a user's Python file: an adapter, a model, and the modules that lie beside it."""

from __future__ import annotations

import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hpobench_fds.errors import InputError

NUL = b"\0"
_sources: dict[str, dict[Path, str]] = {}  # of each module that was imported: its files and their digests


def find_file(given: str, base: Path | None = None) -> tuple[Path | None, list[Path]]:
    """The file of a path in a suite, or None, and where it was looked for: in ``base``, then here."""
    tried = [folder / Path(given).expanduser() for folder in dict.fromkeys((base or Path(), Path()))]
    return next((path.resolve() for path in tried if path.is_file()), None), tried


def import_file(path: Path, *, where: object = None, key: str | None = None) -> ModuleType:
    """The module in a file, imported once for each content it has had: an edited file is read again.

    While it is imported, modules beside it are found as well, whatever else goes by their names; what is
    installed goes first. They are its own: another file gets another module of that name.

    Raises
    ------
    InputError : it is no Python file, cannot be read, or raises while it is imported. ``where`` and
        ``key`` say in the message what named it.
    """
    path = path.resolve()
    content = _read(path, where, key)
    name = _unique(path, content)
    if name in sys.modules and all(_digest_now(file) == digest for file, digest in _sources[name].items()):
        return sys.modules[name]
    if path.suffix not in SOURCE_SUFFIXES:
        raise InputError(f"{path} is not a Python file", where=where, key=key)
    spec = spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look a class's module up while it is defined
    try:
        with _siblings_importable(path) as siblings:
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        problem = f"{path} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(problem, where=where, key=key) from error
    beside = [file for file in map(_file_of, siblings) if file is not None]
    _sources[name] = {path: _digest(content), **{file: _digest(file.read_bytes()) for file in beside}}
    return module


def sources(given: str, base: Path | None = None, *, key: str | None = None) -> dict[str, str]:
    """SHA-256 of the source of ``FILE.py:NAME`` and of the modules beside it that it imports, by path.

    Paths are as the suite has them, with slashes. Raises InputError as ``import_file`` does, and if there
    is no such file.
    """
    file = given.rpartition(":")[0]
    path, tried = find_file(file, base)
    if path is None:
        raise InputError(f"there is no file {' or '.join(map(str, tried))}", key=key)
    import_file(path, key=key)
    parent = Path(file).parent
    found = _sources[_unique(path, _read(path, None, key))]
    return {(parent / one.relative_to(path.parent)).as_posix(): digest for one, digest in found.items()}


def _read(path: Path, where: object, key: str | None) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", where=where, key=key) from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_now(path: Path) -> str | None:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return None


def _unique(path: Path, content: bytes) -> str:
    """The name of a module of that content: no two are alike."""
    return f"hpobench_fds_user_{path.stem}_{_digest(bytes(path) + NUL + content)[:12]}"


# ------------------------------------------------------------------------------------ modules beside it


class _FromSource(SourceFileLoader):
    """Compiles what is in the file now: a cached compilation is told by its second and its size alone."""

    def path_stats(self, path: Any) -> Any:
        raise OSError("no cache")


class _Beside:
    """Finds the modules in a folder, except where the same name is installed."""

    def __init__(self, folder: Path) -> None:
        self._finder = FileFinder(str(folder), (_FromSource, SOURCE_SUFFIXES))
        self._installed = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if path is not None or name in sys.stdlib_module_names:
            return None
        spec = self._finder.find_spec(name)
        if spec is None or spec.loader is None:  # nothing, or a folder that is no package
            return None
        return None if PathFinder.find_spec(name, self._installed) else spec


@contextmanager
def _siblings_importable(path: Path) -> Iterator[list[ModuleType]]:
    """Let modules beside a file be imported; those that were are in the list when it is over.

    They leave the table of modules again, and others of their names return to it.
    """
    finder, siblings = _Beside(path.parent), list[ModuleType]()
    before = dict(sys.modules)
    others = {top for top in map(_top, before) if _is_another(before, top, finder)}
    hidden = {name for name in before if _top(name) in others}
    for name in hidden:
        del sys.modules[name]
    importlib.invalidate_caches()
    sys.meta_path.insert(0, finder)
    try:
        yield siblings
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            top = _top(name)
            if (top not in before or top in others) and finder.find_spec(top) is not None:
                del sys.modules[name]
                siblings.append(module)
        sys.modules.update({name: before[name] for name in hidden})
    for module in siblings:
        _rename(module)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_another(modules: dict[str, ModuleType], top: str, finder: _Beside) -> bool:
    """Whether a module that is loaded has the name of one beside the file, and is not that one."""
    spec, loaded = finder.find_spec(top), modules.get(top)
    return spec is not None and loaded is not None and getattr(loaded, "__file__", None) != spec.origin


def _rename(module: ModuleType) -> None:
    """Give a sibling a name of its own, by which its classes find it: their annotations are read later."""
    file, name = _file_of(module), module.__name__
    if file is None:
        return
    alias = _unique(file, file.read_bytes())
    sys.modules[alias] = module
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == name:
            value.__module__ = alias


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if file and Path(file).is_file() else None
