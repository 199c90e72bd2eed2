"""``hpobench show --watch``: the table of results, drawn anew while runs go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hpobench_fds.cli.printing import analysis, console
from hpobench_fds.errors import InputError


def watch_folder(folder: Path, every: float, wait: Callable[[float], None] = time.sleep) -> None:
    """Show a results folder, and again after so many seconds, until every cell on record has ended.

    Raises InputError for a folder that is none. On a terminal each table takes the place of the last one;
    into a file or a pipe they follow each other.
    """
    screen = console()
    while True:
        table, line, going = _look(folder)
        if screen.is_terminal:
            screen.clear()
        if table is not None:
            screen.print(table)
        screen.print(line, markup=False, highlight=False)
        if not going:
            return
        wait(every)


def _look(folder: Path) -> tuple[object | None, str, bool]:
    """The table, a line below it, and whether anything goes on."""
    from hpobench_fds.records.folder import read_suite  # also says what is no results folder

    read_suite(folder)
    now = datetime.now().strftime("%H:%M:%S")
    try:
        loaded = analysis("loading").load(folder)
    except InputError as error:  # records are being written: the next look sees them whole
        return None, f"{now}  {error}", True
    counts = loaded.runs["status"].value_counts() if not loaded.runs.empty else {}
    told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no runs yet"
    table = None
    if not loaded.runs.empty:
        table = analysis("reports.tables").on_terminal(loaded.reports, loaded.runs, loaded.retrained)
    going = loaded.runs.empty or "running" in counts
    return table, f"{now}  {told}", going
