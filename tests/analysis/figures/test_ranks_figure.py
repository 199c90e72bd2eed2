"""The diagram of ranks is legible and names what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import ranks
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.ranks import mean_ranks, scores
from planted_boards import board

from hpobench_fds.errors import InputError


def test_a_method_that_did_not_run_everywhere_is_left_out_and_named(results: Results) -> None:
    board(results, {"fds": [[0.9], [0.9]], "tpe": [[0.8], [0.8]], "bohb": [[0.95]]})
    drawn = ranks.draw(*results.both)
    assert drawn.data["method"].tolist() == ["fds", "tpe"]
    assert "BOHB" in drawn.caption
    with pytest.raises(InputError, match="every problem"):
        mean_ranks(scores(*results.both))


def test_one_problem_has_no_ranks(results: Results) -> None:
    board(results, {"fds": [[0.9]], "tpe": [[0.8]]})
    with pytest.raises(NoAnswer, match="two problems"):
        ranks.draw(*results.both)


@pytest.mark.parametrize("count", [2, 3, 7, 14])
@pytest.mark.parametrize("style", ["paper", "slides"])
def test_the_diagram_is_legible(results: Results, count: int, style: str) -> None:
    rng = np.random.default_rng(0)
    board(results, {f"method_{i}": [[a] for a in rng.uniform(size=30) / (i + 1)] for i in range(count)})
    assert_legible(ranks.draw(*results.both, style=style).figure)
