"""The curve of speedups by its structure."""

from __future__ import annotations

import pytest
from fabricate import Results
from hpobench_fds.analysis.figures import speedup_curve
from hpobench_fds.analysis.stats import speedup
from hpobench_fds.analysis.stats.frames import NoAnswer


def test_the_curve_turns_into_a_bound_where_a_method_stops_improving(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(1, 0.3), (2, 0.9)], budget=100).add("tpe", seed, [(5, 0.6)], budget=100)
    table = speedup.speedup_curve(*results.both, count=7)
    assert (table.loc[table["target"] <= 0.6, "bound"] == "").all()
    assert (table.loc[table["target"] > 0.61, "bound"] == ">").all()
    assert table["speedup"].iloc[-1] == 50
    ax = speedup_curve.draw(*results.both).figure.axes[0]
    assert ax.get_yscale() == "log"
    assert {line.get_gid() for line in ax.lines} >= {"exact:tpe", "bound:tpe"}


def test_a_reference_alone_has_no_curve(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)])
    with pytest.raises(NoAnswer, match="FDS"):
        speedup_curve.draw(*results.both)
