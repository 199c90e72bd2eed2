"""One place for the look of every figure: colours, markers, line styles, labels, page sizes, saving.

A method wears the same colour, marker and line style in all figures, and no two known methods share
both marker and line style, so that a greyscale print can still be read. The palette is that of Okabe
and Ito (2008), which stays distinct under the common colour-vision deficiencies.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from hpobench_fds.errors import HpobenchError, InputError

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
"""Okabe and Ito's colours, with a grey for their yellow, which a white page swallows."""

_DASHES: dict[str, Any] = {"-": "-", "--": (0, (5, 2)), ":": (0, (1, 1.4)), "-.": (0, (5, 1.5, 1, 1.5))}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")


class CannotDraw(HpobenchError):  # noqa: N818 -- a verdict on the data, not a fault
    """The data do not hold what a figure shows; the message is the reason, in plain words."""


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    label: str
    color: str
    marker: str
    dash: str  # "-", "--", ":" or "-."

    def line(self) -> dict[str, Any]:
        """Keyword arguments of ``Axes.plot`` for this method's line."""
        return {"color": self.color, "linestyle": _DASHES[self.dash]}


_KNOWN: dict[str, Look] = {
    "fds": Look("FDS", VERMILION, "o", "-"),
    "reverse_sharing": Look("Reverse, shared", PURPLE, "D", "-"),
    "reverse": Look("Reverse", PURPLE, "s", "--"),
    "truncated_reverse": Look("Truncated reverse", PURPLE, "v", "-."),
    "hd": Look("HD (greedy)", BLUE, "^", "--"),
    "rtho": Look("RTHO", BLUE, "P", ":"),
    "marthe": Look("MARTHE", BLUE, "X", "-."),
    "one_pass": Look("One-pass", BLUE, "h", "-"),
    "random_search": Look("Random search", BLACK, "s", ":"),
    "grid": Look("Grid", BLACK, "p", "--"),
    "tpe": Look("TPE", GREEN, "D", "--"),
    "optuna_tpe": Look("TPE (Optuna)", GREEN, "v", ":"),
    "gp": Look("Gaussian process", GREEN, "<", "-."),
    "cmaes": Look("CMA-ES", GREEN, "*", "-"),
    "hyperband": Look("Hyperband", ORANGE, "^", "-."),
    "asha": Look("ASHA", ORANGE, "X", "--"),
    "bohb": Look("BOHB", ORANGE, "s", "-"),
    "pbt": Look("PBT", SKY, "o", "--"),
    "default": Look("Default", GREY, "o", ":"),
    "cosine": Look("Cosine", GREY, "P", "--"),
    "one_cycle": Look("One-cycle", GREY, "*", "-."),
}


def look(method: str) -> Look:
    """The look of a method; one this module does not know gets a stable one from its name."""
    if method in _KNOWN:
        return _KNOWN[method]
    # crc32 and not hash(): Python salts hash(), and a colour must not change between two processes.
    code = zlib.crc32(method.encode())
    dashes = list(_DASHES)
    return Look(
        label=method,
        color=PALETTE[code % len(PALETTE)],
        marker=_MARKERS[code // 8 % len(_MARKERS)],
        dash=dashes[code // 128 % len(dashes)],
    )


def label(method: str) -> str:
    """A method's name as the figures print it."""
    return look(method).label


@dataclass(frozen=True)
class Page:
    """Sizes that a figure needs, in inches and points."""

    width: float
    panel: float  # height of one panel
    line: float
    marker: float
    font: float
    small: float  # font size of ticks, legends and notes inside a panel


_PAGES = {
    "paper": Page(width=5.5, panel=2.3, line=1.3, marker=4.0, font=8.0, small=7.0),
    "slides": Page(width=12.0, panel=4.6, line=2.6, marker=8.0, font=17.0, small=14.0),
}
STYLES = tuple(_PAGES)


@contextmanager
def page(style: str = "paper") -> Iterator[Page]:
    """Set matplotlib's defaults for a style while a figure is made; restores them after."""
    if style not in _PAGES:
        raise InputError(f"unknown style {style!r}", allowed=STYLES)
    sizes = _PAGES[style]
    font = sizes.font
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": font,
        "axes.titlesize": font,
        "axes.labelsize": font,
        "xtick.labelsize": sizes.small,
        "ytick.labelsize": sizes.small,
        "legend.fontsize": sizes.small,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": font / 16,
        "axes.linewidth": font / 12,
        "lines.linewidth": sizes.line,
        "lines.markersize": sizes.marker,
        "hatch.linewidth": font / 12,
        "figure.constrained_layout.use": True,
        "mathtext.default": "regular",
    }
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change a published figure
        mpl.rcParams.update(settings)
        yield sizes


def panels(
    rows: int, columns: int, width: float, height: float, **keywords: Any
) -> tuple[Canvas, list[list[Axes]]]:
    """A figure without pyplot's global state, and its axes as rows of columns."""
    canvas = Canvas(figsize=(width, height))
    FigureCanvasAgg(canvas)
    return canvas, canvas.subplots(rows, columns, squeeze=False, **keywords).tolist()


def grid_shape(count: int, widest: int = 3) -> tuple[int, int]:
    """Rows and columns for ``count`` small multiples, at most ``widest`` beside each other."""
    columns = min(count, 2 if count == 4 else widest)
    return -(-count // columns), columns


def label_outer(axes: list[list[Axes]], used: int, x: str, y: str) -> None:
    """Axis labels at the left and at the bottom of the first ``used`` small multiples; hides the rest."""
    columns = len(axes[0])
    for i, ax in enumerate(ax for row in axes for ax in row):
        if i >= used:
            ax.set_axis_off()
            continue
        if i % columns == 0:
            ax.set_ylabel(y)
        if i + columns >= used:
            ax.set_xlabel(x)


def method_handles(methods: Iterable[str], sizes: Page, markers: bool = True) -> list[Artist]:
    """One legend entry a method, whatever was drawn for it."""
    return [
        Line2D([], [], label=label(m), linewidth=sizes.line, marker=look(m).marker if markers else "",
               markersize=sizes.marker, **look(m).line())
        for m in methods
    ]  # fmt: skip


def legend_below(canvas: Canvas, handles: Sequence[Artist], columns: int = 4) -> None:
    """One legend for the whole figure, below its panels, where it hides no data.

    As many columns as the longest label allows; the page grows by the rows after the first two.
    """
    font = float(mpl.rcParams["legend.fontsize"])
    longest = max(len(str(handle.get_label())) for handle in handles)
    # A character is about 0.62 of the font size wide; handle and spacing take another five.
    fitting = int(72 * canvas.get_figwidth() / (font * (0.62 * longest + 5)))
    columns = max(1, min(columns, fitting, len(handles)))
    rows = -(-len(handles) // columns)
    canvas.set_figheight(canvas.get_figheight() + max(rows - 2, 0) * 1.5 * font / 72)
    canvas.legend(handles=list(handles), loc="outside lower center", ncols=columns)


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawn figure with the numbers it shows and the sentence that explains it."""

    name: str
    figure: Canvas
    data: pd.DataFrame
    caption: str

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        _write(self.figure, buffer, "png", dpi=100)
        return buffer.getvalue()


# Without these a PNG names the library's version and a PDF the second it was written.
_NO_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None, "Format": None, "Type": None},
}


def _write(canvas: Canvas, target: Path | io.BytesIO, suffix: str, dpi: int) -> None:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "hpobench"})
        canvas.savefig(target, format=suffix, dpi=dpi, metadata=_NO_METADATA[suffix], facecolor="white")


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a format that ``save`` cannot write."""
    for suffix in formats:
        if suffix not in _NO_METADATA:
            raise InputError(f"unknown format {suffix!r}", key="formats", allowed=_NO_METADATA)


def save(
    fig: Figure, folder: Path, name: str | None = None, formats: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Write a figure, its numbers (``.csv``) and its caption (``.txt``); the same input, the same bytes.

    Parameters
    ----------
    fig : what a figure function returned.
    folder : made if it is missing.
    name : file name without suffix; the figure's own if not given.
    formats : of png (200 dpi), pdf (embedded TrueType fonts), svg.
    """
    check_formats(formats)
    folder.mkdir(parents=True, exist_ok=True)
    stem = name or fig.name
    paths = [folder / f"{stem}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        _write(fig.figure, path, suffix, dpi=200)
    numbers, words = folder / f"{stem}.csv", folder / f"{stem}.txt"
    fig.data.to_csv(numbers, index=False, float_format="%.10g", lineterminator="\n")
    words.write_text(fig.caption + "\n", encoding="utf-8")
    return [*paths, numbers, words]
