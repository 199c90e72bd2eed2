"""Small files in the formats that data sets come in."""

from __future__ import annotations

import pickle
from pathlib import Path


def dump(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
