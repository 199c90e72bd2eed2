"""One problem with the learning rate as a constant, as cosines, and in windows; all else is as free."""

from __future__ import annotations

from hpobench_fds.suite.spaces import with_space
from hpobench_fds.training.problem import ProblemConfig

CURVE = {
    "warmup": {"low": 0.0, "high": 0.5, "initial": 0.1},
    "final": {"low": 0.0, "high": 1.0, "initial": 0.1},
}

TABLES: dict[str, dict[str, object]] = {
    "constant": {"family": "constant"},
    "cosine to 0": {"family": "cosine"},
    "cosine with warm-up and end": {"family": "cosine", **CURVE},
    "windows": {},
}
"""What is laid over the problem's own space of the learning rate."""


def families(config: ProblemConfig) -> dict[str, ProblemConfig]:
    """The problem once for each family, by name; ``windows`` is as the suite states it."""
    return {
        name: with_space(config, {"lr": table}, where="benchmarks.search", key="space")
        for name, table in TABLES.items()
    }
