"""The figure of truncation draws medians against the share of the horizon."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import truncation
from hpobench_fds.analysis.stats.frames import NoAnswer
from planted_truncation import EXACT, add, series


def test_medians_over_seeds_are_drawn_against_the_share_of_the_horizon(results: Results) -> None:
    drawn = truncation.draw(*series(results).both)
    relative, cosine, signs = drawn.figure.axes
    assert [ax.get_title(loc="left") for ax in (relative, cosine, signs)] == list(truncation.METRICS.values())
    line = next(a for a in relative.lines if a.get_gid() == "digits, T = 100")
    assert list(line.get_xdata()) == [0.01, 0.1, 0.5, 1]
    median = [float(np.hypot(3, 4 - 4 * share - 0.01)) / 5 for share in (0.01, 0.1, 0.5)]
    assert list(line.get_ydata()) == pytest.approx([*median, 0])
    greedy = next(a for a in relative.lines if a.get_gid() == "greedy:digits, T = 100")
    assert list(greedy.get_xdata()) == [0.01]
    assert list(greedy.get_ydata()) == pytest.approx([float(np.hypot(303, 396)) / 5])
    assert "n = 3 seeds" in drawn.caption
    assert "99.7 at T = 100" in drawn.caption


def test_a_line_a_horizon(results: Results) -> None:
    series(series(results), 1000, problem="long")
    drawn = truncation.draw(*results.both)
    words = [t.get_text() for t in drawn.figure.legends[0].get_texts()]
    assert words == ["digits, T = 100", "long, T = 1,000", "greedy, with the horizon's marker"]


def test_an_ordinary_suite_with_one_truncation_is_no_figure(results: Results) -> None:
    add(results, "reverse", EXACT, 100)
    add(results, "t", EXACT, 20, adapter="truncated_reverse")
    with pytest.raises(NoAnswer, match="last K steps for 2 K"):
        truncation.draw(*results.both)


def test_without_the_exact_one_there_is_no_figure(results: Results) -> None:
    series(results)
    reports = results.reports
    with pytest.raises(NoAnswer):
        truncation.draw(reports[reports["adapter"] != "reverse"], results.runs)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_it_is_legible(results: Results, style: str) -> None:
    series(series(series(results), 400, problem="digits-400"), 1000, problem="digits-1000")
    assert_legible(truncation.draw(*results.both, style=style).figure)
