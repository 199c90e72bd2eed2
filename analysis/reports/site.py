"""A static site of many suites: the scores, a page a method, a page a problem, and every suite's report.

Everything on it comes from records, but for what the caller adds of methods (papers, defaults). No page asks
for anything of the network, and each works from a disk.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hpobench_fds.errors import InputError
from hpobench_fds.records.safe_files import read_plain, writing

from ..figures.catalogue import REFERENCE
from . import page, site_pages
from .shelf import FileNames, shelf
from .site_facts import methods_of, suite_facts
from .site_pages import About

__all__ = ["MARK", "About", "write"]
MARK = ".hpobench-site.json"
"""The list of a site's files, by which a folder is known to hold a site and nothing else."""


def write(
    root: str | Path,
    out: str | Path,
    *,
    about: Mapping[str, About] | None = None,
    reference: str = REFERENCE,
    now: datetime | None = None,
) -> Path:
    """Write the site of all results folders below a folder; its ``index.html``.

    The folder ``out`` is replaced in one piece, so that a reader never meets half a site.

    Parameters
    ----------
    about : by adapter, what records do not hold.
    reference : the method that the others are compared with, where it ran.

    Raises
    ------
    InputError : no suite there, ``out`` holds something else than a site, or cannot be written.
    """
    root, out = Path(root), Path(out)
    _check(out)
    volumes = shelf(root)
    date = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    names = FileNames()
    suites = [suite_facts(volume, names, reference) for volume in volumes if volume.loaded]
    methods = methods_of(suites)
    made = site_pages.Site(volumes, suites, methods, about or {}, date)
    with _replacing(out) as folder:
        _put(folder, "index.html", made.index())
        for method in methods:
            _put(folder, f"methods/{method.file}.html", made.method(method))
        for suite in suites:
            for problem, file in suite.problems.items():
                _put(folder, f"problems/{file}.html", made.problem(suite, problem))
            own = suite.volume
            text = page.render(
                own.folder, reference=reference, now=now, home="../index.html",
                loaded=own.loaded, worked=suite.worked,
            )  # fmt: skip
            _put(folder, f"reports/{own.key}.html", text)
    return out / "index.html"


def _put(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def _check(out: Path) -> None:
    """Raises InputError where writing a site would cost somebody's files."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError("no folder", where=out, key="--out", allowed="a new, an empty or a site's folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        known = set(json.loads(read_plain(out / MARK))["files"])
    except (OSError, InputError, ValueError, KeyError, TypeError):
        known = set()
    others = [name for name in _files(out) if name not in {*known, MARK}]
    if others or not known:
        problem = f"holds something else than a site: {(others or _files(out) or ['folders'])[0]}"
        raise InputError(problem, where=out, key="--out", allowed="a new, an empty or a site's folder")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder that takes the place of ``out`` at the end, and leaves nothing behind after an error."""
    out = out.absolute()
    temporary, before = (out.with_name(f".{out.name}.{uuid.uuid4().hex}.{what}") for what in ("tmp", "old"))
    with writing(out, "choose another folder with --out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            (temporary / MARK).write_text(json.dumps({"files": _files(temporary)}, indent=1) + "\n")
            if out.exists():
                os.replace(out, before)
            os.replace(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(before, ignore_errors=True)
