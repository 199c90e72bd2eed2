"""What the engine's benchmarks recorded of hypergradients: their time and memory, by mode.

``python -m hpobench_fds.benchmarks.engine`` writes them into ``tables.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from hpobench_fds.errors import InputError

TABLES = {"horizon": "Memory against horizon", "hyperparameters": "Cost against hyperparameters"}
_NEEDED = ("model", "horizon", "hyperparameters", "mode", "trainings", "bytes", "ending")


def engine_file(folder: str | Path) -> Path | None:
    """The engine's tables in a folder that holds them and no results of a suite."""
    folder = Path(folder)
    found = folder / "tables.json"
    return found if found.is_file() and not (folder / "suite.json").exists() else None


def load_engine(path: str | Path) -> tuple[dict[str, pd.DataFrame], str]:
    """The two tables of hypergradients' cost, by what they are drawn against, and where they were measured.

    Raises InputError for a file that is none.
    """
    path = Path(path)
    path = path / "tables.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_bytes())
        tables = {
            against: pd.DataFrame(content["tables"].get(title, [])) for against, title in TABLES.items()
        }
        where = str(content["where"])
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"no tables of the engine's benchmarks: {type(error).__name__}: {error}"
        raise InputError(problem, where=path) from error
    for against, table in tables.items():
        missing = set(_NEEDED) - set(table.columns)
        if len(table) and missing:
            problem = f"the table lacks {', '.join(sorted(missing))}"
            raise InputError(problem, where=path, key=TABLES[against])
    return {a: t[t["ending"] == "ok"] for a, t in tables.items() if len(t)}, where
