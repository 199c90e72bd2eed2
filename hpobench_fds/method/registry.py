"""Finds methods: by the name that a package registered, or by path, ``my_method.py:MyMethod``."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hpobench_fds.errors import InputError
from hpobench_fds.python_file import find_file, import_file
from hpobench_fds.typed import not_finite, refuse_numbers, unknown, validated

if TYPE_CHECKING:  # importing it imports torch, and listing names must be quick
    from hpobench_fds.method.contract import Method

GROUP = "hpobench_fds.methods"


# ------------------------------------------------------------------------------------- finding methods


class Registered(Mapping[str, "type[Method]"]):
    """The registered methods by name; a method is imported when it is looked up, not before."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._points: dict[str, list[EntryPoint]] = {}
        for point in sorted(points, key=lambda point: point.name):
            known = self._points.setdefault(point.name, [])
            # One package may be found twice, e.g. installed and in the working directory.
            if all(point.value != other.value for other in known):
                known.append(point)

    def __getitem__(self, name: str) -> type[Method]:
        points = self._points[name]
        if len(points) > 1:
            raise InputError(
                f"the method {name!r} is registered more than once: {', '.join(p.value for p in points)}"
            )
        point = points[0]
        try:
            found = point.load()
        except Exception as error:  # a third party's module may raise anything
            problem = f"the method {name!r} ({point.value}) cannot be loaded: {_cause(error)}"
            raise InputError(problem) from error
        return _checked(found, point.value, None, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)


def methods() -> Mapping[str, type[Method]]:
    """Every registered method by name. Listing names imports nothing; looking one up imports it."""
    return Registered(entry_points(group=GROUP))


def resolve(
    name_or_path: str, *, base: Path | None = None, where: object = None, key: str | None = None
) -> type[Method]:
    """The method of a registered name, or of a path such as ``my_method.py:MyMethod``.

    A relative path is looked up in ``base`` (the suite's folder), then in the working directory.

    Raises
    ------
    InputError : no such name, file or class; not a complete Method; the file cannot be imported.
    """
    if ":" in name_or_path or name_or_path.endswith(".py"):
        return _from_file(name_or_path, base, where, key)
    known = methods()
    if name_or_path not in known:
        allowed = [*known, "FILE.py:CLASS"]
        raise InputError(unknown("method", name_or_path, known), where=where, key=key, allowed=allowed)
    try:
        return known[name_or_path]
    except InputError as error:
        raise InputError(str(error), where=where, key=key) from error


def _from_file(text: str, base: Path | None, where: object, key: str | None) -> type[Method]:
    file, _, name = text.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise InputError(f"{text!r} is no path to a method", where=where, key=key, allowed="FILE.py:CLASS")
    path, tried = find_file(file, base)
    if path is None:
        raise InputError(f"there is no file {' or '.join(map(str, tried))}", where=where, key=key)
    module = import_file(path, where=where, key=key)
    found = getattr(module, name, None)
    if found is None:
        here = [label for label, value in vars(module).items() if _is_method(value, module)]
        raise InputError(unknown(f"class in {path}:", name, here), where=where, key=key, allowed=here or None)
    return _checked(found, f"{name} in {path}", where, key)


def _is_method(value: object, module: types.ModuleType) -> bool:
    from hpobench_fds.method.contract import Method

    return isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__


def _checked(found: Any, what: str, where: object, key: str | None) -> type[Method]:
    from hpobench_fds.method.contract import Method

    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"{what} is not a subclass of hpobench_fds.method.Method", where=where, key=key)
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise InputError(f"{what} is incomplete: it does not define {lacking}", where=where, key=key)
    if not isinstance(getattr(found, "name", None), str):
        raise InputError(f'{what} has no name: give the class one, name = "my_method"', where=where, key=key)
    return found


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# --------------------------------------------------------------------------------------------- options


def parse_options(
    method: type[Method], raw: Mapping[str, Any], *, where: object = None, key: str | None = None
) -> Any:
    """A method's options from a raw table.

    Numbers that are not finite are refused, whatever its types are, unless its class says that it takes them
    (``allow_inf_nan``).

    Raises
    ------
    InputError : names the key, the bad value and what is allowed.
    """
    config: Mapping[str, Any] = getattr(method.Options, "model_config", {})
    if not config.get("allow_inf_nan", False):
        refuse_numbers(raw, not_finite, where=where, key=key)
    return validated(method.Options, raw, where=where, key=key)


def options_as_data(options: Any) -> dict[str, Any]:
    """Options with their defaults filled in, as plain JSON data."""
    data: dict[str, Any] = TypeAdapter(type(options)).dump_python(options, mode="json")
    return data
