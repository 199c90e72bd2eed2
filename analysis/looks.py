"""How methods are called, how they are drawn, and of which kind they are; needs no drawing library.

A method wears the same colour, marker and line style in all figures, and no two known methods share
their colour, or both marker and line style, so that a greyscale print can still be read. The hue tells the
kind of a method (FDS has one of its own), the shade which it is; the hues are those of Okabe and Ito (2008)
and of Tol (2021), which stay distinct under the common colour-vision deficiencies. Figures colour a few
methods and leave the others grey, with a name each, so that shades need not be told apart alone.

A method that is not known here looks as its class says (the columns ``label``, ``color`` and ``marker`` of
the runs), and as far as that says nothing, as a stable rule says from its name, but in a colour that no other
method of the results has, while there is one; a built-in one under a label of the suite's keeps its colour,
if
no other label has it.
"""

from __future__ import annotations

import colorsys
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hpobench_fds.metrics import ACCURACY, METRICS, R_SQUARED, Metric

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
"""Okabe and Ito's colours, with a grey for their yellow, which a white page swallows."""

REST = "#8A8A8A"
"""Of the methods that a figure does not colour: their lines and their names."""

_DASHES: dict[str, Any] = {
    "-": "-", "--": (0, (5, 2)), ":": (0, (1, 1.4)), "-.": (0, (5, 1.5, 1, 1.5)), "__": (0, (9, 2.5)),
    "-..": (0, (5, 1.5, 1, 1.5, 1, 1.5)),
}  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
LONGEST_LABEL = 40


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    label: str
    color: str
    marker: str
    dash: str  # "-", "--", ":", "-.", "__" or "-.."

    def line(self) -> dict[str, Any]:
        """Keyword arguments of matplotlib's ``Axes.plot`` for this method's line."""
        return {"color": self.color, "linestyle": _DASHES[self.dash]}

    @property
    def dark(self) -> str:
        """The same hue, light enough for a dark page (WCAG contrast 4.5 or more)."""
        if self.color == BLACK:
            return "#F2F2F2"  # unlike the grey of the rest
        hue, light, full = colorsys.rgb_to_hls(*_rgb(self.color))
        shade = self.color
        while contrast(shade, DARK_PAGE) < 4.5:
            light += 0.02
            shade = "#" + "".join(
                f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, light, full)
            )
        return shade


DARK_PAGE = "#16181c"


def _rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours ``#rrggbb`` by WCAG 2, from 1 to 21."""
    parts = [
        [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(color)]
        for color in (one, other)
    ]
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in parts)
    return (high + 0.05) / (low + 0.05)


KNOWN: dict[str, Look] = {
    "fds": Look("FDS", VERMILION, "o", "-"),
    # Hypergradients and estimates of them: purples.
    "reverse_sharing": Look("Reverse (shared)", PURPLE, "D", "-"),
    "ladder": Look("Ladder", "#C2185B", "^", "__"),
    "reverse": Look("Reverse", "#AA4499", "s", "--"),
    "truncated_reverse": Look("Truncated reverse", "#882255", "v", "-."),
    "sliding_reverse": Look("Sliding reverse", "#7A3EB1", "<", "-"),
    "implicit": Look("Implicit", "#5B3B8C", "*", ":"),
    "forward_gradient": Look("Forward gradient", "#B086D9", "P", "-"),
    # Greedy ones: blues.
    "hd": Look("HD (greedy)", BLUE, "^", "--"),
    "rtho": Look("RTHO", SKY, "P", ":"),
    "marthe": Look("MARTHE", "#1B3A6B", "X", "-."),
    "one_pass": Look("One-pass", "#6F8FD6", "h", "-"),
    "hdm": Look("HDM-HB", "#3D7DD8", "<", "--"),
    # Black box: greens, and black for drawing at random.
    "random_search": Look("Random search", BLACK, "s", ":"),
    "tpe": Look("TPE", GREEN, "D", "--"),
    "optuna_tpe": Look("TPE (Optuna)", "#57A55A", "v", ":"),
    "optuna": Look("Optuna", "#6B8E23", "^", ":"),
    "smac": Look("SMAC3", "#00695C", "h", "--"),
    "gp": Look("Gaussian process", "#44AA99", "<", "-."),
    "cmaes": Look("CMA-ES", "#117733", "*", "-"),
    "es": Look("(1+1)-ES", "#8BA63A", "p", ":"),
    "random_signs": Look("Random signs", "#999933", ">", "-"),
    "spsa": Look("SPSA", "#4B5D2A", "h", ":"),
    "finite_differences": Look("Finite differences", "#0B7A75", "X", "-"),
    "pes": Look("PES", "#74A65E", "p", "-"),
    "es_single": Look("ES-Single", "#3F6C51", "p", "-."),
    # Several fidelities: oranges and browns.
    "hyperband": Look("Hyperband", "#B27700", "^", "-."),
    "asha": Look("ASHA", "#CFA43A", "X", "--"),
    "bohb": Look("BOHB", ORANGE, "s", "-"),
    "dehb": Look("DEHB", "#8C6D46", "D", "-."),
    "priorband": Look("PriorBand", "#A6611A", "v", "--"),
    "pbt": Look("PBT", "#6B4A00", "o", "--"),
    "pb2": Look("PB2", "#5C4326", "o", "-."),
    "autolrs": Look("AutoLRS", "#D08A3C", "*", "__"),
    # Methods that search nothing, or a grid: greys.
    "default": Look("Default", "#9A9A9A", "o", ":"),
    "cosine": Look("Cosine", "#5A5A5A", "P", "--"),
    "one_cycle": Look("One-cycle", GREY, "*", "-."),
    "grid": Look("Grid", "#3A3A3A", "p", "--"),
    "schedule_free_sgd": Look("Schedule-free SGD", "#6C7A89", "^", "-"),
    "schedule_free_adamw": Look("Schedule-free AdamW", "#94A3B2", "v", "-"),
    "prodigy": Look("Prodigy", "#8A7878", "D", ":"),
    "dadapt_sgd": Look("D-Adapt SGD", "#6E5F5F", "s", "-."),
    "dadapt_adam": Look("D-Adapt Adam", "#A99B8F", "h", "-."),
}
"""The one palette: looks of the built-in methods by name."""

_TAKEN = {(kind.marker, kind.dash) for kind in KNOWN.values()}
_FREE = [
    (color, marker, dash)
    for dash in _DASHES
    for marker in _MARKERS
    for color in PALETTE
    if (marker, dash) not in _TAKEN
]


@dataclass(frozen=True)
class Shown:
    """How a problem's metric is printed and drawn, from the analysis' values, of which higher is better.

    name : "accuracy". unit : behind a value, " %". factor : what a value is multiplied by; below 0 where
    lower is better. step : what differences are counted in.
    """

    name: str
    unit: str
    factor: float
    step: str

    @classmethod
    def of(cls, metric: Metric) -> Shown:
        factor = metric.shown if metric.higher_is_better else -metric.shown
        step = "points" if metric.unit == " %" else metric.name.partition(" ")[0]
        return cls(metric.name, metric.unit, factor, step)

    @property
    def axis(self) -> str:
        """``accuracy (%)``."""
        if not self.step:  # of problems unlike each other
            return f"{self.name} (in its unit)"
        return f"{self.name} ({self.unit.strip()})" if self.unit == " %" else self.name

    @property
    def digits(self) -> int:
        """After the point, as tables and sentences have them."""
        return 1 if abs(self.factor) == 100 else 3

    def text(self, value: float, digits: int | None = None) -> str:
        """``97.5 %``."""
        return f"{self.factor * value:.{self.digits if digits is None else digits}f}{self.unit}"

    @property
    def loss_unit(self) -> str:
        """`` (nats)`` of a cross-entropy, whose metric is an accuracy or bits; of others their square's."""
        return " (squared error)" if self.name == R_SQUARED.name else " (nats)"

    def words(self, text: str) -> str:
        """A sentence that speaks of accuracy, of this metric."""
        if self.name == ACCURACY.name:
            return text
        return text.replace("an accuracy", f"a value of {self.name}").replace("accuracy", self.name)


PLAIN = Shown.of(ACCURACY)
MIXED = Shown("metric", "", 1.0, "")  # of problems with metrics unlike each other

KINDS = ("hypergradients", "greedy", "black box", "multi-fidelity", "baselines", "others")
"""Kinds of method, as figures name them; others are of no known family."""


def look_by_rule(method: str) -> Look:
    """The look of a method of which nothing but its name is known."""
    if method in KNOWN:
        return KNOWN[method]
    # crc32 and not hash(): Python salts hash(), and a colour must not change between two processes.
    color, marker, dash = _FREE[zlib.crc32(method.encode()) % len(_FREE)]
    return Look(method, color, marker, dash)


@dataclass(frozen=True)
class Looks:
    """The looks and kinds of the methods of some results; any other method looks by rule."""

    looks: Mapping[str, Look] = field(default_factory=dict)
    kind_of: Mapping[str, str] = field(default_factory=dict)
    metric_of: Mapping[str, Shown] = field(default_factory=dict)  # by problem

    @classmethod
    def of(cls, runs: pd.DataFrame) -> Looks:
        """Of the methods of a frame with RUN_COLUMNS."""
        rows = runs.drop_duplicates("method").to_dict("records")
        adapters = [row["adapter"] for row in rows]
        looks = {str(row["method"]): _look(row, adapters.count(row["adapter"]) == 1) for row in rows}
        looks = _apart(looks)
        return cls(looks, {str(row["method"]): _kind(row) for row in rows}, _metrics(runs))

    def shown(self, problem: object = None) -> Shown:
        """How a problem's metric is shown; of all problems, if they have one in common."""
        if problem is not None:
            return self.metric_of.get(str(problem), PLAIN)
        found = list(dict.fromkeys(self.metric_of.values())) or [PLAIN]
        return found[0] if len(found) == 1 else MIXED

    def __getitem__(self, method: str) -> Look:
        return self.looks[method] if method in self.looks else look_by_rule(method)

    def label(self, method: object) -> str:
        """A method's name as it is printed."""
        return self[str(method)].label

    def kinds(self, methods: Iterable[str], most: int = 6) -> dict[str, list[str]]:
        """Methods by kind, in the order of ``KINDS``; a kind with more than ``most`` in several handfuls."""
        found: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for method in methods:
            found[self.kind_of.get(method, "others")].append(method)
        spread: dict[str, list[str]] = {}
        for kind, members in found.items():
            for i in range(0, len(members), most):
                name = kind if len(members) <= most else f"{kind} {i // most + 1}"
                spread[name] = members[i : i + most]
        return spread


def _look(row: Mapping[Any, Any], alone: bool) -> Look:
    """The look of a row's method; its class's own only where no other label of the suite has that class."""
    method = str(row["method"])
    rule = look_by_rule(method)
    if method in KNOWN:
        return rule
    label = _label(row["label"])
    if not alone:  # they would all look the same
        return Look(method if label is None else f"{label} ({method})", rule.color, rule.marker, rule.dash)
    known = KNOWN.get(str(row["adapter"]), rule).color  # under another label, but of that colour still
    color = row["color"] if _matches(r"#[0-9A-Fa-f]{6}", row["color"]) else known
    marker = row["marker"] if row["marker"] in _MARKERS else rule.marker
    # Whatever its marker, it has to be told from the known methods without colour.
    dash = next((dash for dash in (rule.dash, *_DASHES) if (marker, dash) not in _TAKEN), rule.dash)
    return Look(label or method, color, marker, dash)


_MORE = (
    "#AA4499",
    "#117733",
    "#882255",
    "#44AA99",
    "#B27700",
    "#1B3A6B",
    "#999933",
    "#7A3EB1",
    "#7A4F01",
    "#00695C",
)


def _apart(looks: dict[str, Look]) -> dict[str, Look]:
    """The same looks, but no unknown method in the colour of another one, while there are colours."""
    taken = {look.color for method, look in looks.items() if method in KNOWN}
    for method in sorted(set(looks) - set(KNOWN)):
        own = looks[method]
        if own.color in taken:
            color = next((c for c in (*PALETTE, *_MORE) if c not in taken), own.color)
            looks[method] = Look(own.label, color, own.marker, own.dash)
        taken.add(looks[method].color)
    return looks


def _label(text: object) -> str | None:
    """A label that every figure and table can print: short, in one line, nothing that matplotlib reads."""
    if not isinstance(text, str) or not text.isprintable() or not 0 < len(text.strip()) <= LONGEST_LABEL:
        return None
    # matplotlib reads $ as mathematics, and leaves what begins with _ out of legends.
    return None if "$" in text or text.strip().startswith("_") else text.strip()


def _matches(pattern: str, text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(pattern, text) is not None


def _kind(row: Mapping[Any, Any]) -> str:
    """Of which kind a method is, by its class's family and traits."""
    if row["greedy"]:
        return "greedy"
    if row["family"] == "black box":
        return "multi-fidelity" if row["multi_fidelity"] else "black box"
    return {"gradient": "hypergradients", "baseline": "baselines"}.get(row["family"], "others")


def _metrics(runs: pd.DataFrame) -> dict[str, Shown]:
    """How each problem's metric is shown; of older results, which do not say, accuracy."""
    if "metric" not in runs:
        return {}
    named = runs.drop_duplicates("problem")[["problem", "metric"]].itertuples(index=False)
    return {str(problem): Shown.of(METRICS.get(str(metric), ACCURACY)) for problem, metric in named}
