"""Drawings, one a module: each from typed numbers to a figure with the sentence that explains it.

Knows nothing of reports. The catalogue is loaded on first use, since it loads matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import FIGURES, Drawn, available, draw_all, draw_frames

__all__ = ["FIGURES", "Drawn", "available", "draw_all", "draw_frames"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.catalogue"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
