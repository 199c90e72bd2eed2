"""A suite as recorded, written out as the suite file that runs it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def as_toml(suite: Mapping[str, Any]) -> str:
    """A suite as recorded in ``suite.json`` as a suite file, everything written out."""
    lines = [f"name = {_value(suite['name'])}", f"seeds = {_value(suite['seeds'])}"]
    for name, problem in suite["problems"].items():
        lines += ["", f"[problems.{_key(name)}]", *_pairs(problem["config"])]
        lines.append(f"budget = {_value(problem['budget'])}")
        lines += _pairs({"targets": problem.get("targets")})
    for label, method in suite["methods"].items():
        lines += ["", f"[methods.{_key(label)}]", f"adapter = {_value(method['adapter'])}"]
        lines += _pairs(method["options"])
        lines += [f"space.{_key(n)} = {_value(one)}" for n, one in _space(method).items()]
    return "\n".join(lines) + "\n"


def _space(method: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A method's own space as a suite file states it, once for all problems.

    What differs from problem to problem the method has taken from theirs, and will again.
    """
    spaces: list[Mapping[str, Any]] = list((method.get("space") or {}).values())
    found: dict[str, dict[str, Any]] = {}
    for space in spaces:
        for name, table in space.items():
            known = found.setdefault(name, dict(table))
            found[name] = {key: value for key, value in known.items() if table.get(key) == value}
    return found


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    return key if key.replace("_", "a").replace("-", "a").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pairs(value)) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)  # a string, a number or a truth value is the same in both
