"""What hypergradients are worth, counted from what reports say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats.conditioning import conditioned, noisy
from planted_conditioning import ILL, LOST, OK, told


def test_a_row_is_a_report_that_says_what_its_hypergradient_is_worth(results: Results) -> None:
    told(results, "fds", 0, [OK, None, ILL, {"soundness": "no such"}, LOST])
    table = conditioned(results.reports)
    assert list(table["report"]) == [0, 2, 4]
    assert list(table["soundness"]) == ["ok", "ill conditioned", "overflow"]
    assert list(table["growth"])[:2] == [2.0, 500.0]
    assert np.isnan(table["growth"].iloc[2])
    assert table["signs"].isna().all()
    assert conditioned(Results().reports).empty


def test_shares_are_of_a_method_s_hypergradients_over_all_its_seeds(results: Results) -> None:
    told(told(results, "fds", 0, [OK, ILL, LOST, OK]), "fds", 1, [ILL, ILL, OK, OK])
    told(results, "reverse", 0, [OK, OK])
    table = noisy(results.reports).set_index("method")
    row: Any = table.loc["fds"]
    assert (row["hypergradients"], row["ill"], row["lost"]) == (8, 3 / 8, 1 / 8)
    assert row["growth"] == pytest.approx(2.0)
    assert table.loc["reverse", "ill"] == 0.0
