"""What a method is and is given: the door for adapters. Knows nothing of suites, records and runners.

Importing it imports nothing else until a name is used, so that names of methods can be listed at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpobench_fds.method.black_box import BlackBoxOptions, Plan, Planned, score
    from hpobench_fds.method.contract import (
        AskTell,
        Family,
        Listener,
        Method,
        OnlineLoop,
        OnlineOptions,
        Options,
        Outcome,
        OuterLoop,
        OuterOptionsMixin,
        Proposal,
        Report,
        Task,
    )

_HOMES = {
    "black_box": ("BlackBoxOptions", "Plan", "Planned", "score"),
    "contract": (
        "AskTell", "Family", "Listener", "Method", "OnlineLoop", "OnlineOptions", "Options", "OuterLoop",
        "OuterOptionsMixin", "Outcome", "Proposal", "Report", "Task",
    ),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AskTell", "BlackBoxOptions", "Family", "Listener", "Method", "OnlineLoop", "OnlineOptions", "Options",
    "Outcome", "OuterLoop", "OuterOptionsMixin", "Plan", "Planned", "Proposal", "Report", "Task", "score",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
