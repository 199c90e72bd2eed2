"""The best schedule of each family, and the test accuracies that it was retrained to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hpobench_fds.benchmarks.search.comparing import Result, interval
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito's palette, with a dash and a marker each for readers without colour.
LOOKS = [("#000000", ":", "s"), ("#56B4E9", "--", "^"), ("#0072B2", "-.", "D"), ("#D55E00", "-", "o")]


def draw(results: Sequence[Result], horizon: int, path: Path) -> None:
    """Left: learning rates by inner step. Right: each draw's test accuracy, its mean and 95 % interval."""
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = np.arange(horizon + 1)
    for row, (one, (colour, dash, marker)) in enumerate(zip(results, LOOKS, strict=True)):
        rates = [one.found.schedule.at("lr", min(int(t), horizon - 1), horizon) for t in steps]
        left.step(steps, rates, where="post", color=colour, linestyle=dash, linewidth=1.6, label=one.family)
        accuracies = 100 * one.accuracies
        jitter = row + np.linspace(-0.18, 0.18, len(accuracies))
        right.plot(accuracies, jitter, marker=".", linestyle="", color=colour, alpha=0.45, markersize=4)
        mean, low, high = interval(accuracies)
        right.errorbar(
            mean, row, xerr=[[mean - low], [high - mean]], color=colour, marker=marker, capsize=4, zorder=4
        )
    left.set(xlabel="inner step", ylabel="learning rate", xlim=(0, horizon), ylim=(0, None))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    left.set_title("The best schedule of each family", loc="left")
    right.set_yticks(range(len(results)), [one.family.replace(" with ", "\nwith ") for one in results])
    right.set(xlabel="test accuracy (%), retrained", ylim=(len(results) - 0.5, -0.5))
    right.set_title("Draws, mean, 95 % interval", loc="left")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=200)
