"""The figure of costs shows what was spent, with units."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import cost
from hpobench_fds.analysis.stats.frames import NoAnswer
from matplotlib.axes import Axes
from planted_costs import spending


def test_the_figure_shows_the_numbers_with_their_units(results: Results) -> None:
    drawn = cost.draw(*spending(results))
    by_unit = {ax.get_xlabel(): ax for ax in drawn.figure.axes}
    assert set(by_unit) == {
        "(s)",
        "(steps)",
        "(equivalents)",
        "(number)",
        "(equivalents / s)",
        "(% of clock)",
        "(MB)",
        "",  # a panel that is not there
    }
    assert marks(by_unit["(steps)"], "spent:tpe") == [10_001]
    assert marks(by_unit["(MB)"], "spent:fds") == pytest.approx([5.000001])
    assert marks(by_unit["(% of clock)"], "spent:tpe") == pytest.approx([50], abs=0.1)
    assert "n = 3 seeds" in drawn.caption
    assert "Training" in drawn.caption
    assert_legible(drawn.figure)


def marks(ax: Axes, gid: str) -> list[float]:
    return [float(x) for line in ax.lines if line.get_gid() == gid for x in np.ravel(line.get_xdata())]


def test_nothing_finished_is_a_reason(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)], status="running")
    with pytest.raises(NoAnswer, match="no run has come to an end"):
        cost.draw(*results.both)
