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
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
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
    "reverse_sharing": Look("Reverse (shared)", PURPLE, "D", "-"),
    "reverse": Look("Reverse", PURPLE, "s", "--"),
    "truncated_reverse": Look("Truncated reverse", PURPLE, "v", "-."),
    "implicit": Look("Implicit", PURPLE, "*", ":"),
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


_TAKEN = {(kind.marker, kind.dash) for kind in _KNOWN.values()}
_FREE = [
    (color, marker, dash)
    for dash in _DASHES
    for marker in _MARKERS
    for color in PALETTE
    if (marker, dash) not in _TAKEN
]

GROUPS = {
    "hypergradients": ("fds", "reverse_sharing", "reverse", "truncated_reverse", "implicit"),
    "greedy": ("hd", "rtho", "marthe", "one_pass"),
    "model-based": ("tpe", "optuna_tpe", "gp", "cmaes"),
    "early stopping": ("hyperband", "asha", "bohb", "pbt"),
    "baselines": ("random_search", "grid", "default", "cosine", "one_cycle"),
}
"""Kinds of method: what a figure with more than ``CROWD`` methods gives a panel each."""
CROWD = 8


def kinds(methods: Iterable[str], most: int = 6) -> dict[str, list[str]]:
    """Methods by kind, at most ``most`` together, those that no group names last; order is kept."""
    methods = list(methods)
    found = {name: [m for m in methods if m in members] for name, members in GROUPS.items()}
    others = [m for m in methods if not any(m in members for members in GROUPS.values())]
    for i in range(0, len(others), most):
        found["others" if len(others) <= most else f"others {i // most + 1}"] = others[i : i + most]
    return {name: members for name, members in found.items() if members}


def look(method: str) -> Look:
    """The look of a method; one this module does not know gets a stable one from its name."""
    if method in _KNOWN:
        return _KNOWN[method]
    # crc32 and not hash(): Python salts hash(), and a colour must not change between two processes.
    color, marker, dash = _FREE[zlib.crc32(method.encode()) % len(_FREE)]
    return Look(method, color, marker, dash)


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


def share_scale(axes: list[list[Axes]]) -> None:
    """Ticks of panels whose limits are the same along each row: numbers at the left alone, none minor."""
    for row in axes:
        for ax in row:
            ax.minorticks_off()
        for ax in row[1:]:
            ax.tick_params(axis="y", labelleft=False)


def label_outer(axes: list[list[Axes]], used: int, x: str, y: str) -> None:
    """Axis labels, shared by the first ``used`` small multiples if there are several; hides the rest."""
    flat = [ax for row in axes for ax in row]
    for ax in flat[used:]:
        ax.set_axis_off()
    if used == 1:
        flat[0].set_xlabel(x)
        flat[0].set_ylabel(y)
        return
    columns = len(axes[0])
    middle = (min(columns, used) - 1) // 2
    lowest = max(i for i in range(used) if i % columns == middle)
    # Not the figure's own label: a legend outside the panels would be laid over it.
    flat[lowest].set_xlabel(x)
    if min(columns, used) % 2 == 0:
        flat[lowest].xaxis.label.set_x(1.1)  # between the two in the middle
    canvas = flat[0].get_figure(root=True)
    assert canvas is not None
    canvas.supylabel(y, fontsize=float(mpl.rcParams["axes.labelsize"]))


@dataclass(frozen=True)
class Panel:
    """What one of several like panels shows: these methods in colour, the others of the problem in grey."""

    problem: str
    methods: list[str]
    title: str


@dataclass(frozen=True)
class Plan:
    """How methods and problems are spread over panels.

    One panel a problem; with more than ``CROWD`` methods one a problem and kind of method, so that lines can
    be followed. ``kinds`` is None unless they are spread.
    """

    panels: list[Panel]
    rows: int
    columns: int
    kinds: dict[str, list[str]] | None

    @property
    def wide(self) -> float:
        """The page's width, over the usual one."""
        return 1.35 if self.kinds and self.columns > 3 else 1.0

    @property
    def tall(self) -> float:
        """A panel's height, over the usual one."""
        return 0.72 if self.kinds else 1.15 if self.columns < 3 else 0.9


def plan(problems: Sequence[str], methods: Sequence[str]) -> Plan:
    """Panels for these problems and methods, in their order."""
    if len(methods) <= CROWD:
        rows, columns = grid_shape(len(problems))
        return Plan([Panel(p, list(methods), p) for p in problems], rows, columns, None)
    spread = kinds(methods)
    rows, columns = grid_shape(len(spread)) if len(problems) == 1 else (len(problems), len(spread))
    panels = []
    for i, problem in enumerate(problems):
        for j, (kind, members) in enumerate(spread.items()):
            # Kinds stand over the columns once; a problem's name over its row, where it has room.
            words = [problem] if j == 0 and problem else []
            words += [kind] if i == 0 else []
            panels.append(Panel(problem, members, "\n".join(words)))
    return Plan(panels, rows, columns, spread)


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


def in_grey(ax: Axes, curves: Iterable[tuple[Any, Any]], sizes: Page, steps: bool = True) -> None:
    """The curves (x, y) of methods that have their colour in another panel."""
    lines = []
    for x, y in curves:
        points = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
        if steps:
            points = np.column_stack([np.repeat(points[:, 0], 2)[1:], np.repeat(points[:, 1], 2)[:-1]])
        lines.append(points)
    if not lines:
        return
    # One collection, not a line each: twenty methods on five problems are hundreds.
    ax.add_collection(LineCollection(lines, colors="#D0D0D0", linewidths=sizes.line * 0.5, zorder=1.2))


def shade_steps(ax: Axes, x: Any, low: Any, high: Any, color: str) -> None:
    """The band between two step functions; ``fill_between`` takes ten times as long."""
    x, low, high = (np.asarray(side, np.float64) for side in (x, low, high))
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    if len(x) < 2:
        return
    edge = np.repeat(x, 2)[1:]
    there, back = np.repeat(low, 2)[:-1], np.repeat(high, 2)[:-1]
    outline = np.column_stack([np.append(edge, edge[::-1]), np.append(there, back[::-1])])
    ax.add_collection(PolyCollection([outline], color=color, alpha=0.18, linewidth=0))


def legend_of(canvas: Canvas, made: Plan, methods: Sequence[str], sizes: Page, markers: bool = True) -> None:
    """The legend of a figure laid out by ``plan``: a column a kind, where they fit beside each other."""
    if made.kinds is None:
        legend_below(canvas, method_handles(methods, sizes, markers))
        return
    columns = [method_handles(members, sizes, markers) for members in made.kinds.values()]
    font = float(mpl.rcParams["legend.fontsize"])
    longest = [max(len(str(h.get_label())) for h in column) for column in columns]
    if sum(0.62 * n + 5 for n in longest) * font > 72 * canvas.get_figwidth():
        legend_below(canvas, [handle for column in columns for handle in column])
        return
    rows = max(map(len, columns))
    filled = [column + [Line2D([], [], linestyle="")] * (rows - len(column)) for column in columns]
    canvas.set_figheight(canvas.get_figheight() + max(rows - 2, 0) * 1.5 * font / 72)
    blank = [handle for column in filled for handle in column]
    labels = ["" if str(h.get_label()).startswith("_") else str(h.get_label()) for h in blank]
    canvas.legend(blank, labels, loc="outside lower center", ncols=len(columns))


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


_DPI = 200
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
    _lay_out(fig.figure)
    paths = [folder / f"{stem}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        _write(fig.figure, path, suffix, dpi=_DPI)
    numbers, words = folder / f"{stem}.csv", folder / f"{stem}.txt"
    fig.data.to_csv(numbers, index=False, float_format="%.10g", lineterminator="\n")
    words.write_text(fig.caption + "\n", encoding="utf-8")
    return [*paths, numbers, words]
