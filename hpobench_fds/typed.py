"""Plain data (a TOML table, a method's options) as typed models, with errors that fit in one line."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from hpobench_fds.errors import InputError

T = TypeVar("T")


def validated(model: type[T], raw: Mapping[str, Any], *, where: object = None, key: str | None = None) -> T:
    """``raw`` as a pydantic model or a dataclass, types taken strictly: "3" is no number, true no 1."""
    if dataclasses.is_dataclass(model):  # pydantic lets a plain dataclass drop what it does not know
        names = [field.name for field in dataclasses.fields(model)]
        for name in raw:
            if name not in names:
                raise InputError(unknown("key", name, names), where=where, key=key, allowed=names or "none")
    refuse_numbers(raw, _too_large, where=where, key=key)
    try:
        # Strict mode of JSON, unlike that of Python, takes a list for a tuple.
        text = to_json(dict(raw), inf_nan_mode="constants")
        return TypeAdapter(model).validate_json(text, strict=True)
    except ValidationError as error:
        raise _explain(error, model, where, key) from error
    except PydanticSerializationError as error:
        place, value = _not_plain(raw)
        kind = "the class" if isinstance(value, type) else "a"
        name = value.__name__ if isinstance(value, type) else type(value).__name__
        full = dotted(*([key] if key else []), location=place)
        problem, allowed = f"got {kind} {name}", "plain data: text, numbers, true, false, lists, tables"
        raise InputError(problem, where=where, key=full, allowed=allowed) from error


def refuse_numbers(
    raw: object, bad: Callable[[object], bool], *, where: object = None, key: str | None = None
) -> None:
    """Raise InputError for the first number of plain data that is bad, wherever it stands."""
    found = _first_bad(raw, bad)
    if found is not None:
        place, value = found
        full = dotted(*([key] if key else []), location=place)
        raise InputError(f"got {shown(value)}", where=where, key=full, allowed="a finite number")


def not_finite(value: object) -> bool:
    """Whether something is a number that is infinite or none, or too large for a float."""
    return (isinstance(value, float) and not math.isfinite(value)) or _too_large(value)


def _too_large(value: object) -> bool:
    try:
        return isinstance(value, int) and not math.isfinite(float(value))
    except OverflowError:
        return True


def _first_bad(
    value: object, bad: Callable[[object], bool], place: tuple[int | str, ...] = ()
) -> tuple[tuple[int | str, ...], object] | None:
    if bad(value):
        return place, value
    found = (_first_bad(inner, bad, (*place, part)) for part, inner in _parts(value))
    return next((one for one in found if one is not None), None)


def _parts(value: object) -> Iterable[tuple[Any, object]]:
    """What a table or a list holds, by key or place."""
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _not_plain(value: object, place: tuple[int | str, ...] = ()) -> tuple[tuple[int | str, ...], object]:
    """The first thing in a value that is no plain data, and where it is."""
    for part, inner in _parts(value):
        try:
            to_json(inner, inf_nan_mode="constants")
        except PydanticSerializationError:
            return _not_plain(inner, (*place, part))
    return place, value


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


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """'unknown KIND NAME', with the nearest known name if one is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown {kind} {name!r}" + (f", did you mean {near[0]!r}?" if near else "")
