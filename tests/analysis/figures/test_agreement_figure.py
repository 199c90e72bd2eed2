"""The figure of agreement shows the medians of its numbers."""

from __future__ import annotations

import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import agreement
from hpobench_fds.analysis.stats.frames import NoAnswer
from planted_agreement import TRUTH, add


def test_greedy_ones_and_other_seeds_are_left_out(results: Results) -> None:
    add(results, "reverse", TRUTH)
    add(results, "hd", TRUTH)
    add(results, "fds", TRUTH, seed=1)
    with pytest.raises(NoAnswer, match="no two exact methods have hypergradients"):
        agreement.draw(*results.both)


@pytest.mark.parametrize("style", ["paper", "slides"])
def test_the_figure_draws_medians_and_the_caption_counts_signs(results: Results, style: str) -> None:
    for seed in range(3):
        off = 1e-5 * (seed + 1)
        add(results, "reverse", TRUTH, seed)
        add(results, "fds", [[3.0, 4.0, 1 + off, -2.0], [1.0, -1.0, 0.0, 2.0]], seed)
    drawn = agreement.draw(*results.both, style=style)
    relative, signs = drawn.figure.axes
    (line,) = [a for a in relative.lines if a.get_gid() == "agreement:momentum"]
    assert list(line.get_ydata()) == pytest.approx([2e-5, agreement.FLOOR])
    assert all(list(a.get_ydata()) == [100, 100] for a in signs.lines)
    assert "24 of 24 signs are equal" in drawn.caption
    assert "n = 3 seeds, 100 inner steps an outer step" in drawn.caption
    assert_legible(drawn.figure)
