"""Finds methods: by the name that a package registered, or by path, ``my_method.py:MyMethod``.

Also turns raw tables into typed options, with errors that the user can act on in one line.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.util
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from hpobench_fds.errors import InputError

if TYPE_CHECKING:  # importing it imports torch, and listing names must be quick
    from hpobench_fds.method.contract import Method

GROUP = "hpobench_fds.methods"
T = TypeVar("T")


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
    tried = [folder / Path(file).expanduser() for folder in dict.fromkeys((base or Path(), Path()))]
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        raise InputError(f"there is no file {' or '.join(map(str, tried))}", where=where, key=key)
    module = _import_file(path.resolve(), where, key)
    found = getattr(module, name, None)
    if found is None:
        here = [label for label, value in vars(module).items() if _is_method(value, module)]
        raise InputError(unknown(f"class in {path}:", name, here), where=where, key=key, allowed=here or None)
    return _checked(found, f"{name} in {path}", where, key)


def _import_file(path: Path, where: object, key: str | None) -> types.ModuleType:
    """Import a file once for each content it has had, so that an edited one is read again."""
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
        raise InputError(f"{path} cannot be imported", where=where, key=key)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look a class's module up while it is defined
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{path} cannot be imported: {_cause(error)}", where=where, key=key) from error
    return module


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


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """'unknown KIND NAME', with the nearest known name if one is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown {kind} {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


# ---------------------------------------------------------------------------------------- raw to typed


def parse_options(
    method: type[Method], raw: Mapping[str, Any], *, where: object = None, key: str | None = None
) -> Any:
    """A method's options from a raw table.

    Raises
    ------
    InputError : names the key, the bad value and what is allowed.
    """
    return validated(method.Options, raw, where=where, key=key)


def options_as_data(options: Any) -> dict[str, Any]:
    """Options with their defaults filled in, as plain JSON data."""
    data: dict[str, Any] = TypeAdapter(type(options)).dump_python(options, mode="json")
    return data


def validated(model: type[T], raw: Mapping[str, Any], *, where: object = None, key: str | None = None) -> T:
    """``raw`` as a pydantic model or a dataclass, types taken strictly: "3" is no number, true no 1."""
    if dataclasses.is_dataclass(model):  # pydantic lets a plain dataclass drop what it does not know
        names = [field.name for field in dataclasses.fields(model)]
        for name in raw:
            if name not in names:
                raise InputError(unknown("key", name, names), where=where, key=key, allowed=names or "none")
    try:
        # Strict mode of JSON, unlike that of Python, takes a list for a tuple.
        text = to_json(dict(raw), inf_nan_mode="constants")
        return TypeAdapter(model).validate_json(text, strict=True)
    except ValidationError as error:
        raise _explain(error, model, where, key) from error
    except PydanticSerializationError as error:
        raise InputError(f"not plain data: {error}", where=where, key=key) from error


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "dataclass_type": "a table",
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "below {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "too_short": "at least {min_length}",
}


def _explain(error: ValidationError, model: Any, where: object, key: str | None) -> InputError:
    """The first of a ValidationError's complaints as one line."""
    first = error.errors(include_url=False)[0]
    kind, location, context = first["type"], first["loc"], first.get("ctx", {})
    place = dotted(*([key] if key else []), location=location)
    if kind == "extra_forbidden":
        names = _keys_at(model, location[:-1])
        parent = dotted(*([key] if key else []), location=location[:-1])
        problem = unknown("key", str(location[-1]), names)
        return InputError(problem, where=where, key=parent, allowed=names or "none")
    if kind == "missing":
        return InputError("missing", where=where, key=place)
    if kind == "value_error":
        return InputError(str(context["error"]), where=where, key=place)
    if kind in _EXPECTED:
        bounds = {k: f"{v:g}" if isinstance(v, (int, float)) else v for k, v in context.items()}
        allowed = _EXPECTED[kind].format(**bounds)
        return InputError(f"got {shown(first['input'])}", where=where, key=place, allowed=allowed)
    return InputError(f"got {shown(first['input'])}: {first['msg']}", where=where, key=place)


def dotted(*parts: str, location: Iterable[int | str] = ()) -> str:
    """A key as TOML writes it: problems."wrn-16.1".space.lr, seeds[2]."""
    text = ".".join(parts)
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part.replace("-", "").replace("_", "").isalnum()
            text += ("." if text else "") + (part if bare else f'"{part}"')
    return text


def shown(value: object, most: int = 60) -> str:
    """A bad value as the user wrote it, cut short."""
    bare = isinstance(value, float)  # TOML writes inf and nan where JSON has Infinity and NaN
    text = str(value) if bare else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}..."


def _keys_at(annotation: Any, location: Iterable[int | str]) -> list[str]:
    """The keys of the model that ``location`` leads to, so that an unknown one can be compared with them."""
    for part in location:
        annotation = _inside(_model_of(annotation), part)
    model = _model_of(annotation)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _model_of(annotation: Any) -> Any:
    """``Model`` of ``Model | None`` and of ``Annotated[Model, ...]``."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _model_of(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return next((_model_of(a) for a in typing.get_args(annotation) if a is not type(None)), None)
    return annotation


def _inside(annotation: Any, part: int | str) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = typing.get_args(annotation)
    return arguments[-1] if typing.get_origin(annotation) is dict else (arguments or (None,))[0]
