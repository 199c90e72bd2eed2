"""Speedups as dots: how many times longer every other method needs than the reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..looks import BLACK, Looks
from ..stats.frames import NoAnswer
from ..stats.speedup import speedup_table
from . import captions, matrix
from .dots import Dot, dot, log_range, name_rows, stripes
from .saving import Figure
from .style import Page, page_of, panels


def draw(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str = "fds",
    target: float | None = None,
    style: str = "paper",
) -> Figure:
    """A row a method, a panel a problem; a hollow arrow where only a bound is known."""
    table, looks = speedup_table(reports, runs, reference, target), Looks.of(runs)
    if table.empty:
        raise NoAnswer(f"{looks.label(reference)} has no other method to be compared with")
    problems = list(table["problem"].unique())
    if matrix.is_crowded(len(problems), len(table)):
        canvas = matrix.draw(_matrix(table, looks.label(reference)), looks, style)
        caption = _caption(table, reports, runs, looks.label(reference))
        return Figure("speedup", canvas, table, f"{_TABLE} {caption}")
    rows = [int((table["problem"] == problem).sum()) for problem in problems]
    columns = 2 if len(problems) > 2 else 1
    lines = -(-len(problems) // columns)
    heights = [1.2 + max(rows[i * columns : (i + 1) * columns]) for i in range(lines)]
    with page_of(style) as page:
        height = page.panel * (0.075 * sum(heights) + 0.16 * lines + 0.15)
        canvas, axes = panels(lines, columns, page.width, height, sharex=True, height_ratios=heights)
        limits, flat = _limits(table), [ax for row in axes for ax in row]
        for ax, problem in zip(flat, problems, strict=False):
            _panel(ax, table[table["problem"] == problem], looks, limits, page, columns == 1)
        for ax in flat[len(problems) :]:
            ax.set_axis_off()
        for ax in flat[max(0, len(problems) - columns) : len(problems)]:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(_axis_label(table, looks.label(reference), looks, columns == 1))
    return Figure("speedup", canvas, table, _caption(table, reports, runs, looks.label(reference)))


_TABLE = (
    "To two digits; a bound where one never got there. Intervals are in the table beside the figure; what is "
    "said of lines and hollow dots is of figures of fewer problems."
)


def _matrix(table: pd.DataFrame, name: str) -> matrix.Matrix:
    """Orange is sooner than the reference, violet later; a bound as it is."""
    cells = table.assign(
        shade=np.clip(np.log10(table["speedup"].astype(float)) / 2, -1, 1),
        text=[_cell(float(v), b) for v, b in zip(table["speedup"], table["bound"], strict=True)],
    )
    ticks = {-1.0: "1/100", -0.5: "1/10", 0.0: "1", 0.5: "10", 1.0: "100"}
    order, label = matrix.by_mean_shade(cells, ascending=True), f"time over that of {name} (times)"
    return matrix.of_cells(cells, order, matrix.APART, -1.0, label, ticks)


def _cell(value: float, bound: str) -> str:
    if not np.isfinite(value):
        return matrix.NONE
    if bound == ">" and value > 99:
        return ">99"
    text = f"{max(value, 0.01):.2f}".lstrip("0") if value < 0.095 else matrix.narrow(value)
    return f"{bound or ('<' if value < 0.01 else '')}{text}"


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: every finite number and 1."""
    bars = np.array([captions.ends(row)[:2] for row in table.to_dict("records")], np.float64).ravel()
    return log_range([*bars.tolist(), *table["speedup"].astype(float).tolist(), 1.0])


def _axis_label(table: pd.DataFrame, name: str, looks: Looks, long: bool) -> str:
    if not long:
        return f"time over that of {name} (times)"
    targets, shown = table["target"].unique(), looks.shown()
    one = shown.text(float(targets[0])) if len(targets) == 1 else ""
    goal = f"{one} test {shown.name}" if one else f"the test {shown.name} above"
    return f"time to {goal}, over that of {name} (times)"


def _panel(
    ax: Axes, table: pd.DataFrame, looks: Looks, limits: tuple[float, float], page: Page, values: bool
) -> None:
    """Rows of one problem, the fastest on top; at the right edge what each row says, where there is room."""
    rows = table.sort_values("speedup", na_position="last", kind="stable").to_dict("records")
    stripes(ax, len(rows))
    for y, row in enumerate(rows):
        low, high, interval = captions.ends(row)
        color, bound = looks[str(row["method"])].color, str(row["bound"])
        one = Dot(float(row["speedup"]), low, high, color, interval, bound)
        dot(ax, y, one, limits, page, f"speedup:{row['method']}")
        if values:
            ax.annotate(captions.speedup_text(float(row["speedup"]), bound), (1.0, y), xytext=(page.small, 0),
                        xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center",
                        fontsize=page.small, gid=f"value:{row['method']}", annotation_clip=False)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(*limits)
    name_rows(ax, [looks.label(row["method"]) for row in rows])
    ax.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if limits[1] / limits[0] < 100 else (1,), numticks=9)
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.axvline(1.0, color=BLACK, linewidth=page.line * 0.7, zorder=1.5)
    target, shown = table["target"].iloc[0], looks.shown(table["problem"].iloc[0])
    goal = "no target: no run came to an end" if np.isnan(target) else f"to {shown.text(target)}"
    ax.set_title(f"{table['problem'].iloc[0]} ({goal})", loc="left")


def _caption(table: pd.DataFrame, reports: pd.DataFrame, runs: pd.DataFrame, name: str) -> str:
    words = [
        f"Time of each method over that of {name} to the test accuracy over the panel, median of the seeds' "
        f"ratios; right of 1, {name} is faster. Over {captions.seeds(table['n_seeds'])} in common. "
        f"Lines: {captions.ratios(table)}"
    ]
    shares = sorted(set(table["share"].dropna()))
    if shares:
        words.append(
            f"Target: {100 * shares[0]:g} % of the way from the initial schedule's accuracy (or guessing) to "
            "the best median that any method came to."
        )
    if (table["bound"] == ">").any():
        words.append(
            "Hollow, pointing right: not reached in the median run within its budget, where it "
            "stands (a lower "
            "bound that says more of the budget than of the method)."
        )
    if (table["bound"] == "<").any():
        words.append(
            f"Hollow, pointing left: {name} itself did not get there in its median run (upper bound)."
        )
    if (table["bound"] == "?").any():
        words.append("No verdict: neither got there, or no seed came through in both.")
    if table[["n_failed", "n_failed_reference"]].to_numpy().any():
        words.append("A failed run has no time and bounds nothing.")
    return " ".join([*words, captions.curve(reports), *captions.protocol_and_rest(runs)])
