"""The speedup at many targets, with planted factors."""

from __future__ import annotations

import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.speedup import speedup_curve


def test_the_curve_has_the_planted_factor_everywhere(results: Results) -> None:
    steps = [(1.0, 0.3), (2.0, 0.6), (4.0, 0.9)]
    for seed in range(3):
        results.add("fds", seed, steps).add("tpe", seed, [(7 * t, a) for t, a in steps])
    table = speedup_curve(*results.both, count=9)
    assert table["speedup"].tolist() == pytest.approx([7] * 9)
    # From a twentieth of the way from guessing (not known: 0) to the best median of all methods.
    assert (table["target"].min(), table["target"].max()) == pytest.approx((0.045, 0.9))
