"""Planted results for the tests of conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabricate import Results

OK = {"soundness": "ok", "growth": 2.0, "rate": 0.01, "norm": 1.0}
ILL = {"soundness": "ill conditioned", "growth": 500.0, "rate": 0.06, "norm": 9.0}
LOST = {"soundness": "overflow"}


def told(
    results: Results, method: str, seed: int, worth: Sequence[dict[str, Any] | None], problem: str = "digits"
) -> Results:
    """A run whose reports say that of their hypergradients."""
    results.add(method, seed, [(10.0 * (i + 1), 0.5 + 0.02 * i) for i in range(len(worth))], problem=problem)
    for row, one in zip(results._reports[-len(worth) :], worth, strict=True):
        row["extra"] = {} if one is None else {"conditioning": one}
    return results
