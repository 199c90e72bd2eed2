"""How one schedule stands on its axes: as the piecewise constant function that the trainer runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .captions import NAMES


def stairs(ax: Axes, own: pd.DataFrame, **line: Any) -> None:
    """One schedule as the piecewise constant function that it is."""
    edges = np.append(own["start"].to_numpy(np.float64), own["end"].iloc[-1])
    ax.stairs(own["value"].to_numpy(np.float64), edges, baseline=None, **line)


def hyperparameters(table: pd.DataFrame) -> dict[str, list[str]]:
    """By problem those that it has, in order: AdamW's are others than SGD's."""
    return {
        str(problem): list(map(str, own["hyperparameter"].unique()))
        for problem, own in table.groupby("problem", sort=False)
    }


def value_axis(name: str) -> str:
    """How the axis of a hyperparameter's values is named."""
    return f"{NAMES.get(name, name)} (value)"


def schedule_axes(ax: Axes, name: str) -> None:
    """Axes of one hyperparameter over the horizon."""
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}"))
    ax.set_ylabel(value_axis(name))
