"""Plain data: what JSON and checkpoints hold, which is read back without running any code."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def require_plain(value: object, place: str = "state") -> None:
    """Raise TypeError, naming the place, unless a value can be loaded again without running code."""
    import torch

    # The exact type, since a numpy float is a float too but is pickled as numpy's.
    if value is None or type(value) in (bool, int, float, str, bytes) or isinstance(value, torch.Tensor):
        return
    if type(value) is dict:
        for key, item in value.items():
            require_plain(key, f"a key of {place}")
            require_plain(item, f"{place}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            require_plain(item, f"{place}[{index}]")
    else:
        raise TypeError(f"{place} is a {type(value).__module__}.{type(value).__qualname__}, not plain data")


def content_hash(data: object) -> str:
    """A short hash of plain data that does not depend on the order of keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def first_difference(old: Any, new: Any, key: str) -> str | None:
    """'KEY was A, is B' of the first place where two pieces of plain data differ, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            found = first_difference(old.get(name), new.get(name), f"{key}.{name}")
            if found is not None:
                return found
        return None
    return None if old == new else f"{key} was {json.dumps(old)}, is {json.dumps(new)}"
