"""Two pictures of the engine: memory against horizon, cost against the number of hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpobench_fds.benchmarks.engine.hypergradients import Row
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

# Okabe & Ito's palette, with a marker and a dash each for readers without colour.
LOOKS = {
    "forward": ("#D55E00", "o", "-"),
    "reverse, checkpointed": ("#0072B2", "s", "--"),
    "reverse, full": ("#000000", "^", ":"),
}


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return float(value)


def _lines(rows: Sequence[Row], x: str, y: str, panels: Sequence[str], labels: tuple[str, str]) -> Figure:
    figure = Figure(figsize=(4.8 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, model in zip(axes, panels, strict=True):
        for mode, (colour, marker, dash) in LOOKS.items():
            points = sorted(
                (_number(r[x]), _number(r[y])) for r in rows if r["mode"] == mode and r["model"] == model
            )
            if points:
                axis.plot(*zip(*points, strict=True), dash, color=colour, marker=marker, label=mode)
        axis.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
        if x == "hyperparameters":  # less than two decades: plain numbers where the points are
            axis.set_xticks(sorted({_number(r[x]) for r in rows if r["model"] == model}))
            axis.set_yticks([2, 3, 5, 10, 20])
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_formatter(ScalarFormatter())
                side.set_minor_locator(NullLocator())
        axis.set_title(model, loc="left")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    return figure


def memory_figure(rows: Sequence[Row], path: Path) -> None:
    """Parameter vectors that each mode holds, against the horizon."""
    labels = ("horizon (inner steps)", "memory held (parameter vectors)")
    _lines(rows, "horizon", "parameter_vectors", ["mlp"], labels).savefig(path, dpi=200)


def cost_figure(rows: Sequence[Row], path: Path) -> None:
    """Cost of one hypergradient in plain trainings, against the number of hyperparameters."""
    labels = ("hyperparameters", "cost (plain trainings)")
    models = list(dict.fromkeys(str(r["model"]) for r in rows))
    _lines(rows, "hyperparameters", "trainings", models, labels).savefig(path, dpi=200)
