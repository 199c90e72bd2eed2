"""Mean ranks of planted boards, and the published critical difference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import ranks
from planted_boards import board
from scipy import stats


def test_mean_ranks_of_a_planted_board(results: Results) -> None:
    board(results, {"a": [[0.9], [0.8], [0.7]], "b": [[0.8], [0.9], [0.6]], "c": [[0.1], [0.1], [0.6]]})
    found = ranks.mean_ranks(ranks.scores(*results.both))
    assert found.to_dict() == pytest.approx({"a": 4 / 3, "b": (2 + 1 + 2.5) / 3, "c": (3 + 3 + 2.5) / 3})
    assert list(found.index) == ["a", "b", "c"]


def test_a_score_is_the_median_and_a_method_that_failed_has_none(results: Results) -> None:
    board(results, {"a": [[0.5, 0.6, 0.9]], "b": [[0.95]]})
    results.add("b", 1, [], problem="p0", status="failed").add("b", 2, [], problem="p0", status="failed")
    found = ranks.scores(*results.both).loc["p0"]
    assert found["a"] == 0.6
    assert np.isnan(found["b"])


def test_the_critical_difference_is_the_published_one() -> None:
    # Demsar (2006), section 3.2.2: four classifiers, 14 data sets, q = 2.569 at 5 %, CD = 1.25.
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert ranks.critical_difference(2, 6) == pytest.approx(1.960 * np.sqrt(6 / 36), abs=1e-3)


def test_friedman_is_scipys_and_needs_three_methods() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), columns=list("abc"))
    assert ranks.friedman(table) == stats.friedmanchisquare(*table.to_numpy().T).pvalue
    assert np.isnan(ranks.friedman(table[["a", "b"]]))
    assert ranks.friedman(table.assign(**dict.fromkeys(table.columns, 0.5))) == 1.0


def test_groups_of_like_methods_are_the_largest_ones() -> None:
    values = pd.Series([1.0, 1.5, 2.4, 4.0, 4.5])
    assert ranks.alike(values, 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert ranks.alike(values, 9.0) == [(0, 4)]
    assert ranks.alike(values, 0.1) == []
