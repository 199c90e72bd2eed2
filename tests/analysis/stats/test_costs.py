"""What methods spent is what was recorded."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import costs
from planted_costs import spending


def row(table: pd.DataFrame, method: str, quantity: str) -> pd.Series[Any]:
    return table[(table["method"] == method) & (table["quantity"] == quantity)].iloc[0]


def test_medians_and_ranges_of_what_was_spent(results: Results) -> None:
    table = costs.spent(*spending(results))
    steps = row(table, "tpe", "inner_steps")
    assert steps[["median", "low", "high", "seeds"]].tolist() == [10_001, 10_000, 10_002, 3]
    assert row(table, "tpe", "equivalents_per_second")["median"] == 60
    assert row(table, "fds", "products")["median"] == 9000
    assert row(table, "fds", "memory_bytes")["high"] == 5_000_002
    assert not ((table["method"] == "tpe") & (table["quantity"] == "memory_bytes")).any()


def test_the_devices_peak_goes_before_what_the_hypergradient_held(results: Results) -> None:
    reports, runs = spending(results)
    reports["peak_memory"] = 7_000_000.0
    assert row(costs.spent(reports, runs), "fds", "memory_bytes")["median"] == 7_000_000


def test_the_share_of_training_is_against_the_leanest_search_and_not_for_gradient_methods(
    results: Results,
) -> None:
    table = costs.spent(*spending(results))
    assert row(table, "random_search", "training_share")["median"] == pytest.approx(1, abs=1e-3)
    assert row(table, "tpe", "training_share")["median"] == pytest.approx(0.5, abs=1e-3)
    assert not ((table["method"] == "fds") & (table["quantity"] == "training_share")).any()
