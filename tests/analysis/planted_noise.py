"""Planted results for the tests of noise."""

from __future__ import annotations

import numpy as np
from fabricate import Results
from hpobench_fds.analysis.stats.window_sharing import Floats

STEPS = 60


EPSILON = 0.1  # with standard deviation 1 the best W is 8.4


def planted(seeds: int, steps: int = STEPS, epsilon: float = EPSILON, rng_seed: int = 0) -> Floats:
    rng = np.random.default_rng(rng_seed)
    noisy: Floats = epsilon * np.arange(steps) + rng.normal(size=(seeds, steps))
    return noisy


def add(
    results: Results, method: str, g: Floats, *, problem: str = "digits", lr: float = 0.1, seeds: int = 0
) -> Results:
    """A first report for each row of hypergradients, the seeds counted from ``seeds``."""
    steps = g.shape[1]
    results.names = (*(f"lr[{t}]" for t in range(steps)), "momentum[0]")  # type: ignore[assignment]
    for seed, row in enumerate(g, seeds):
        results.add(
            method, seed, [(steps / 10, 0.5)], problem=problem,
            schedules=[[lr] * steps + [0.9]], hypergradients=[[*row.tolist(), 99.0]],
        )  # fmt: skip
    return results
