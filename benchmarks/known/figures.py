"""A picture of greediness: learning rates and what they come to, the best beside the greedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hpobench_fds.benchmarks.known.greedy import Course
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito's palette, with a dash each for readers without colour.
LOOKS = [("#0072B2", "-"), ("#56B4E9", "--"), ("#000000", ":"), ("#D55E00", "-.")]


def greediness(courses: Sequence[Course], least: float, path: Path) -> None:
    """Left: learning rates against inner steps. Right: expected loss above the noise, logarithmic.

    ``least`` is the noise, which no weights go below.
    """
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    rates, losses = figure.subplots(1, 2)
    for one, (colour, dash) in zip(courses, LOOKS, strict=True):
        look = {"color": colour, "linestyle": dash, "linewidth": 1.6}
        steps = np.arange(len(one.rates) + 1)
        rates.step(steps, [*one.rates, one.rates[-1]], where="post", **look)
        label = f"{one.name}: {one.losses[-1] - least:.4f}"
        losses.plot(steps, np.array(one.losses) - least, label=label, **look)
    rates.set(xlabel="inner step", ylabel="learning rate", ylim=(0, None))
    losses.set(xlabel="inner step", ylabel="expected loss above the noise", yscale="log")
    for axis, title in ((rates, "Schedules"), (losses, "What they come to")):
        axis.set_title(title, loc="left")
        axis.grid(alpha=0.3)
        axis.set_xlim(0, len(courses[0].rates))
    figure.legend(frameon=False, title="expected loss above the noise at the end", ncols=2,
                  loc="outside lower center")  # fmt: skip
    figure.savefig(path, dpi=200)
