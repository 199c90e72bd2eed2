"""What a drawing returns, and how it is written: picture, numbers and words, always the same bytes."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure as Canvas

from hpobench_fds.errors import InputError
from hpobench_fds.records.safe_files import write_atomic

from .style import literal_dollars


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawn figure with the numbers it shows and the sentence that explains it."""

    name: str
    figure: Canvas
    data: pd.DataFrame
    caption: str

    def __post_init__(self) -> None:
        literal_dollars(self.figure)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        _write(self.figure, buffer, "png", dpi=100)
        return buffer.getvalue()


_DPI = 200
# Without these a PNG names the library's version and a PDF the second it was written.
_NO_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None, "Format": None, "Type": None},
}


def _write(canvas: Canvas, target: io.BytesIO, suffix: str, dpi: int) -> None:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "hpobench"})
        # A fast compression: the default one takes half of the time of a PNG, for files a tenth smaller.
        more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if suffix == "png" else {}
        canvas.savefig(
            target, format=suffix, dpi=dpi, metadata=_NO_METADATA[suffix], facecolor="white", **more
        )


def _lay_out(canvas: Canvas) -> None:
    """Place everything once and for all: laying out takes as long as drawing, and each format would do it."""
    engine = canvas.get_layout_engine()
    if engine is None:
        return
    dpi, canvas.dpi = canvas.dpi, _DPI
    engine.execute(canvas)
    canvas.dpi = dpi
    with mpl.rc_context():
        mpl.rcdefaults()
        canvas.set_layout_engine(None)  # none at all, by default: a placeholder would cost a drawing a format


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a format that ``save`` cannot write."""
    for suffix in formats:
        if suffix not in _NO_METADATA:
            raise InputError(f"unknown format {suffix!r}", key="formats", allowed=_NO_METADATA)


def file_name(text: str) -> str:
    """A name as a file's, which leads nowhere else; names that differ stay different."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:100]
    return text if safe == text else f"{safe}-{zlib.crc32(text.encode(errors='replace')):08x}"


def save(
    fig: Figure, folder: Path, name: str | None = None, formats: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Write a figure, its numbers (``.csv``) and its caption (``.txt``); the same input, the same bytes.

    Each file appears whole or not at all, whoever else draws into the folder. Raises OSError.

    Parameters
    ----------
    fig : what a figure function returned.
    folder : made if it is missing.
    name : file name without suffix; the figure's own if not given.
    formats : of png (200 dpi), pdf (embedded TrueType fonts), svg.
    """
    check_formats(formats)
    folder.mkdir(parents=True, exist_ok=True)
    stem = file_name(name or fig.name)
    _lay_out(fig.figure)
    paths = [folder / f"{stem}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        picture = io.BytesIO()
        _write(fig.figure, picture, suffix, dpi=_DPI)
        write_atomic(path, picture.getvalue(), durable=False)
    numbers, words = folder / f"{stem}.csv", folder / f"{stem}.txt"
    table = fig.data.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_atomic(numbers, table.encode(), durable=False)
    write_atomic(words, f"{fig.caption}\n".encode(), durable=False)
    return [*paths, numbers, words]
