"""What a shell completes: suites and methods by name. Nothing heavy is imported: it runs at each tab."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path


def suites(incomplete: str) -> list[str]:
    """Built-in suites and TOML files here that begin so."""
    folder = Path(incomplete.rpartition("/")[0] or ("/" if incomplete.startswith("/") else "."))
    here = [str(path) for path in sorted(folder.glob("*.toml"))] if folder.is_dir() else []
    built_in = files("hpobench_fds.benchmarks").iterdir()
    names = sorted(Path(one.name).stem for one in built_in if one.name.endswith(".toml"))
    return [name for name in [*names, *here] if name.startswith(incomplete)]


def methods(incomplete: str) -> list[str]:
    """Registered methods that begin so."""
    known = sorted({one.name for one in entry_points(group="hpobench_fds.methods")})
    return [name for name in known if name.startswith(incomplete)]
