"""What a shell completes: suites and methods by name. Nothing heavy is imported: it runs at each tab."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from hpobench_fds.suite.built_in import builtin_suites


def suites(incomplete: str) -> list[str]:
    """Built-in suites and TOML files here that begin so."""
    folder = Path(incomplete.rpartition("/")[0] or ("/" if incomplete.startswith("/") else "."))
    here = [str(path) for path in sorted(folder.glob("*.toml"))] if folder.is_dir() else []
    return [name for name in [*builtin_suites(), *here] if name.startswith(incomplete)]


def methods(incomplete: str) -> list[str]:
    """Registered methods that begin so."""
    known = sorted({one.name for one in entry_points(group="hpobench_fds.methods")})
    return [name for name in known if name.startswith(incomplete)]
