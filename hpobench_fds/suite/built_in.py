"""The suites that come with the package, by name; light, for a shell that completes them at each tab."""

from __future__ import annotations

from importlib import resources


def builtin_suites() -> list[str]:
    """Their names, sorted."""
    folder = resources.files("hpobench_fds.benchmarks")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
