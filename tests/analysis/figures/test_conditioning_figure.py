"""The figure of conditioning draws each run's growth, the bound, and what overflowed."""

from __future__ import annotations

import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import conditioning
from hpobench_fds.analysis.stats.frames import NoAnswer
from planted_conditioning import ILL, LOST, OK, told

from hpobench_fds.hypergradient.conditioning import ILL as MEASURED


def test_the_bound_is_the_engine_s() -> None:
    assert conditioning.BOUND == MEASURED


def test_a_line_a_run_and_a_cross_where_there_is_none(results: Results) -> None:
    told(told(results, "fds", 0, [OK, ILL, LOST, OK]), "fds", 1, [OK, OK])
    told(results, "reverse", 0, [ILL, ILL])
    drawn = conditioning.draw(*results.both)
    (ax,) = drawn.figure.axes
    lines = [line for line in ax.lines if line.get_gid() == "FDS"]
    assert [list(line.get_xdata()) for line in lines] == [[0, 1, 2, 3], [0, 1]]
    assert list(lines[0].get_ydata())[:2] == [2.0, 500.0]
    crosses = next(line for line in ax.lines if line.get_gid() == "lost:FDS")
    assert list(crosses.get_xdata()) == [2]
    assert "FDS 1 of 6, and 1 lost" in drawn.caption
    assert "Reverse 2 of 2" in drawn.caption
    assert ax.get_yscale() == "log"


def test_where_nothing_is_said_of_growth_there_is_no_figure(results: Results) -> None:
    told(results, "fds", 0, [None, LOST])
    with pytest.raises(NoAnswer, match="differences grew"):
        conditioning.draw(*results.both)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_it_is_legible(results: Results, style: str) -> None:
    for problem in ("digits", "fashion", "letter", "mnist1d"):
        for method in ("fds", "reverse"):
            told(results, method, 0, [OK, ILL, LOST, OK], problem=problem)
    assert_legible(conditioning.draw(*results.both, style=style).figure)
