"""Signal-to-noise ratio of the hypergradient of each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy import stats

from ..looks import GREY
from ..stats.noise_samples import Sample, Windows, step_table
from .noise_rows import LOOKS, draw_rows
from .saving import Figure
from .style import Page


def draw(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> Figure:
    """Signal-to-noise ratio of the hypergradient of each step."""
    about = (
        "Signal-to-noise ratio of the hypergradient of each inner step, |mean| over standard deviation, over "
        "seeds; shared over the windows of least mean squared error. Below the thin line the seeds do not "
        "tell the mean from zero (t-test at the 5 % level)."
    )
    return draw_rows("noise_snr", about, reports, runs, style, 1, _snr_panel, list(LOOKS.values()))


def _snr_panel(row: Sequence[Axes], sample: Sample, windows: Windows, page: Page) -> tuple[pd.DataFrame, str]:
    ax, table = row[0], step_table(sample, windows.best)
    for name, own in table.groupby("series", sort=False):
        kind = LOOKS[str(name)]
        at = own["step"].to_numpy(np.float64) + 0.5
        ax.plot(at, own["signal_to_noise"].to_numpy(np.float64), linewidth=page.line, gid=kind.label,
                **kind.line())  # fmt: skip
    seeds = len(sample.exact)
    known = float(stats.t.ppf(0.975, seeds - 1)) / seeds**0.5
    ax.axhline(known, color=GREY, linewidth=page.line * 0.6)
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], known / 20))  # how near to zero says nothing any more
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"{sample.step_name} (number)")
    ax.set_ylabel("|mean| / standard deviation (ratio)")
    ax.set_xlim(0, sample.steps)
    medians = table.groupby("series", sort=False)["signal_to_noise"].median()
    said = ", ".join(f"{LOOKS[str(name)].label} {value:.2g}" for name, value in medians.items())
    return table, f"median over steps: {said}."
