"""Planted results for the tests of agreement."""

from __future__ import annotations

from fabricate import Results

TRUTH = [[3.0, 4.0, 1.0, -2.0], [1.0, -1.0, 0.0, 2.0]]  # two learning rates, momentum, weight decay


def add(results: Results, method: str, found: list[list[float]], seed: int = 0, shift: float = 0.0) -> None:
    """Reverse mode takes a product a step, forward mode one for each of the four hyperparameters."""
    results.add(
        method, seed, [(10.0 * (i + 1), 0.5) for i in range(len(found))],
        schedules=[[0.1 * i + shift * i, 0.05, 0.9, 1e-4] for i in range(len(found))], hypergradients=found,
    )  # fmt: skip
    for i, report in enumerate(results._reports[-len(found) :]):
        report["products"] = 100 * (i + 1) * (4 if method == "fds" else 1)
