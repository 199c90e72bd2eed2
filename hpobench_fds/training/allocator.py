"""Let the C allocator keep freed blocks: page faults of large temporaries cost up to half a step.

glibc returns blocks above 128 KiB to the system at once and asks for them, page by page, at the next
step. Raising two thresholds keeps them. It holds for the whole process, so every method has it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_ONE_GIB = 1 << 30
_NEVER = -1


@cache
def keep_freed_memory() -> bool:
    """Raise glibc's thresholds, once; returns whether that was possible.

    Thresholds the user has set in the environment are left alone.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _ONE_GIB) and mallopt(_TRIM_THRESHOLD, _NEVER))
