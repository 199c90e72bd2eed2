"""How methods and problems are spread over panels, and the legends that go with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..looks import Look, Looks
from .style import Page, grid_shape

CROWD = 8
"""Of more methods than these every kind has a panel of its own."""


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


def plan(problems: Sequence[str], methods: Sequence[str], looks: Looks) -> Plan:
    """Panels for these problems and methods, in their order."""
    if len(methods) <= CROWD:
        rows, columns = grid_shape(len(problems))
        return Plan([Panel(p, list(methods), p) for p in problems], rows, columns, None)
    spread = looks.kinds(methods)
    rows, columns = grid_shape(len(spread)) if len(problems) == 1 else (len(problems), len(spread))
    panels = []
    for i, problem in enumerate(problems):
        for j, (kind, members) in enumerate(spread.items()):
            # Kinds stand over the columns once; a problem's name over its row, where it has room.
            words = [problem] if j == 0 and problem else []
            words += [kind] if i == 0 else []
            panels.append(Panel(problem, members, "\n".join(words)))
    return Plan(panels, rows, columns, spread)


def handle(kind: Look, sizes: Page, marker: bool = True) -> Artist:
    """A legend's entry for whatever is drawn in this look; without a dash, for markers alone."""
    line = kind.line() if kind.dash else {"color": kind.color, "linestyle": "none"}
    # matplotlib leaves a label out that begins with _: a space of no width goes before it.
    label = f"\u200b{kind.label}" if kind.label.startswith("_") else kind.label
    return Line2D([], [], label=label, linewidth=sizes.line, marker=kind.marker if marker else "",
                  markersize=sizes.marker, **line)  # fmt: skip


def method_handles(methods: Iterable[str], looks: Looks, sizes: Page, markers: bool = True) -> list[Artist]:
    """One legend entry a method, whatever was drawn for it."""
    return [handle(looks[method], sizes, markers) for method in methods]


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


def legend_of(
    canvas: Canvas, made: Plan, methods: Sequence[str], looks: Looks, sizes: Page, markers: bool = True
) -> None:
    """The legend of a figure laid out by ``plan``: a column a kind, where they fit beside each other."""
    if made.kinds is None:
        legend_below(canvas, method_handles(methods, looks, sizes, markers))
        return
    columns = [method_handles(members, looks, sizes, markers) for members in made.kinds.values()]
    font = float(mpl.rcParams["legend.fontsize"])
    longest = [max(len(str(h.get_label())) for h in column) for column in columns]
    if sum(0.62 * n + 5 for n in longest) * font > 72 * canvas.get_figwidth():
        legend_below(canvas, [handle for column in columns for handle in column])
        return
    rows = max(map(len, columns))
    filled = [column + [Line2D([], [], linestyle="", label="")] * (rows - len(column)) for column in columns]
    canvas.set_figheight(canvas.get_figheight() + max(rows - 2, 0) * 1.5 * font / 72)
    blank = [handle for column in filled for handle in column]
    canvas.legend(blank, [str(h.get_label()) for h in blank], loc="outside lower center", ncols=len(columns))
