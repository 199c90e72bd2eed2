"""What a method is and is given: the door for adapters. Knows nothing of suites, records and runners.

Importing it imports nothing else until a name is used, so that names of methods can be listed at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpobench_fds.method.ask_tell import AskTell, Proposal
    from hpobench_fds.method.black_box import (
        BlackBoxOptions,
        Plan,
        Planned,
        PriorOptions,
        draw,
        first_schedules,
        score,
    )
    from hpobench_fds.method.contract import Family, Listener, Method, Options, Outcome, Report, Task
    from hpobench_fds.method.online_loop import OnlineLoop, OnlineOptions
    from hpobench_fds.method.outer_loop import Fractions, ModeLoop, OuterLoop, OuterOptionsMixin

_HOMES = {
    "ask_tell": ("AskTell", "Proposal"),
    "black_box": (
        "BlackBoxOptions",
        "Fidelity",
        "Plan",
        "Planned",
        "PriorOptions",
        "at_fidelity",
        "draw",
        "first_schedules",
        "score",
    ),
    "contract": ("Family", "Listener", "Method", "Options", "Outcome", "Report", "Task"),
    "online_loop": ("OnlineLoop", "OnlineOptions"),
    "outer_loop": ("Fractions", "ModeLoop", "OuterLoop", "OuterOptionsMixin"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AskTell", "BlackBoxOptions", "Family", "Fidelity", "Fractions", "Listener", "Method", "ModeLoop",
    "OnlineLoop", "OnlineOptions", "Options", "Outcome", "OuterLoop", "OuterOptionsMixin", "Plan", "Planned",
    "PriorOptions", "Proposal", "Report", "Task", "at_fidelity", "draw", "first_schedules", "score",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
