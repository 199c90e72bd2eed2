"""Hypergradient of each step: shared over not shared, and greedy beside not greedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..looks import BLACK, Look
from ..stats.noise_samples import Sample, Windows, step_table
from . import captions
from .noise_rows import LOOKS, draw_rows
from .saving import Figure
from .style import Page


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Hypergradient of each step: shared over not shared, and greedy beside not greedy."""
    about = (
        "Hypergradient of each inner step: mean over seeds, and interquartile band. Above: each step's own, "
        "and shared over the windows of least mean squared error. Below: of the validation loss at the end "
        "of training beside that after the very next step (greedy), each divided by the 95th percentile of "
        "its absolute values."
    )
    return draw_rows(
        "noise_steps", about, reports, runs, style, 2, _step_panels, list(LOOKS.values()), down=True
    )


def _step_panels(
    row: Sequence[Axes], sample: Sample, windows: Windows, page: Page
) -> tuple[pd.DataFrame, str]:
    table = step_table(sample, windows.best)
    for name in ("not shared", "shared"):
        _band(row[0], table[table["series"] == name], LOOKS[name], page)
    for name in ("not shared", "greedy"):
        own = table[table["series"] == name]
        if len(own):
            _band(row[1], own, LOOKS[name], page, unit=float(own["unit"].iloc[0]))
    quantity = captions.NAMES.get(sample.hyperparameter, sample.hyperparameter)
    for ax in row:
        ax.axhline(0, color=BLACK, linewidth=page.line * 0.5)
        ax.set_xlim(0, sample.steps)
        ax.set_ylim(*_limits(table))
    row[0].set_ylabel(f"d(loss) / d({quantity})\n(nats)")
    row[1].set_ylabel("each over its own size\n(ratio)")
    row[1].set_xlabel(f"{sample.step_name} (number)")
    row[1].autoscale(axis="y")
    units = table.groupby("series", sort=False)["unit"].first().drop("shared")
    said = ", ".join(f"{LOOKS[str(name)].label} {unit:.3g}" for name, unit in units.items())
    width = sample.steps / windows.best
    return table, f"least error at W = {width:.3g} steps a window; 95th percentiles: {said} nats."


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis of the hypergradients that are not greedy: their bands."""
    own = table[table["series"] != "greedy"]
    low, high = float(own["low"].min()), float(own["high"].max())
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _band(ax: Axes, table: pd.DataFrame, kind: Look, page: Page, unit: float = 1.0) -> None:
    at = table["step"].to_numpy(np.float64) + 0.5
    low, mean, high = (table[column].to_numpy(np.float64) / unit for column in ("low", "mean", "high"))
    ax.fill_between(at, low, high, facecolor=kind.color, alpha=0.25, linewidth=0)
    ax.plot(at, mean, linewidth=page.line, gid=kind.label, **kind.line())
