"""Planted results for the tests of truncation."""

from __future__ import annotations

from fabricate import Results

EXACT = [3.0, 4.0, 1.0, -2.0]  # two learning rates, momentum, weight decay


def add(
    results: Results, method: str, found: list[float], last: int, *, problem: str = "digits",
    horizon: int = 100, seed: int = 0, lr: float = 0.1, adapter: str | None = None,
) -> Results:  # fmt: skip
    results.add(
        method, seed, [(horizon / 10, 0.5)], problem=problem, adapter=adapter,
        schedules=[[lr, 0.05, 0.9, 1e-4]], hypergradients=[found],
    )  # fmt: skip
    results._reports[-1]["products"] = last
    return results


def series(results: Results, horizon: int = 100, seeds: int = 3, problem: str = "digits") -> Results:
    for seed in range(seeds):
        keywords = {"problem": problem, "horizon": horizon, "seed": seed}
        add(results, "reverse", EXACT, horizon, **keywords)  # type: ignore[arg-type]
        for last in (1, horizon // 10, horizon // 2):
            found = [0.0, 4.0 * last / horizon + 0.01 * seed, 0.5, 0.0]
            add(results, f"k{last}", found, last, adapter="truncated_reverse", **keywords)  # type: ignore[arg-type]
        add(results, "hd", [-300.0, 400.0, 1.0, 1.0], 0, **keywords)  # type: ignore[arg-type]
    return results
