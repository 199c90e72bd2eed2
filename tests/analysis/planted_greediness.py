"""Planted results for the tests of greediness."""

from __future__ import annotations

from fabricate import Results

SEEDS = range(6)


FINAL = {"fds": 0.90, "reverse": 0.85, "hd": 0.70, "truncated_reverse": 0.80, "tpe": 0.95}


def schedule(first: float) -> list[float]:
    return [first, first / 2, 0.9, 1e-4]


def finals(results: Results) -> Results:
    """Method m of seed s ends at FINAL[m] + s / 100 with a first learning rate of FINAL[m] + s."""
    for method, final in FINAL.items():
        for seed in SEEDS:
            results.add(
                method, seed, [(1, 0.5), (2, 0.6)], final=final + seed / 100,
                schedules=[schedule(0.0), schedule(final + seed)],
            )  # fmt: skip
    return results
