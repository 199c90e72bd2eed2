"""hpobench-fds: compares hyperparameter-optimisation methods fairly, on one shared PyTorch trainer.

>>> from hpobench_fds import run_suite, load_results
>>> summary = run_suite("digits")  # doctest: +SKIP
>>> reports = load_results(summary.folder)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpobench_fds.records.frames import load_results, load_retrained, load_runs
    from hpobench_fds.run.suite_run import run_suite

__all__ = ["__version__", "load_results", "load_retrained", "load_runs", "run_suite"]

_HOMES = {
    "run_suite": "run.suite_run",
    **dict.fromkeys(("load_results", "load_retrained", "load_runs"), "records.frames"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: torch and pandas take seconds, and most imports need neither."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("hpobench-fds")
    if name in _HOMES:
        return getattr(importlib.import_module(f"hpobench_fds.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
