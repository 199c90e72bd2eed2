"""Planted results for the tests of scaling."""

from __future__ import annotations

from fabricate import Results


def add(results: Results, method: str, size: int, accuracy: float, seed: int = 0, **more: object) -> None:
    name = str(more.pop("name", f"windows-{size}"))
    results.add(method, seed, [(1.0, accuracy)], problem=name, **more)  # type: ignore[arg-type]
    results._runs[-1]["schedule_names"] = [f"lr[{i}]" for i in range(size)]


def series(results: Results, seeds: int = 3) -> Results:
    """FDS stays, TPE falls as there is more to find: they cross between 3 and 9."""
    tpe = {1: 0.9, 3: 0.88, 9: 0.7, 27: 0.5}
    for size, its in tpe.items():
        for seed in range(seeds):
            add(results, "fds", size, 0.86 + 0.001 * seed, seed, final=0.87)
            add(results, "tpe", size, its + 0.001 * seed, seed, final=its - 0.1)
            add(results, "random_search", size, its - 0.05, seed)
    return results
