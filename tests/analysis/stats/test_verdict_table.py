"""The verdict table's accuracies are of the seeds that have one; their number stands beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hpobench_fds.analysis.stats import verdict_table


def accuracies(values: list[float]) -> dict[str, object]:
    return verdict_table._accuracy("final", pd.DataFrame({"final_test_accuracy": values}))


def test_seeds_without_a_value_are_not_in_the_mean_and_0_in_the_score() -> None:
    found = accuracies([1.0, 2.0, 3.0, np.nan])
    assert (found["final_test_accuracy"], found["final_seeds"], found["final_score"]) == (2.0, 3, 1.5)
    assert found["final_half_width"] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


def test_no_seed_has_no_mean() -> None:
    found = accuracies([np.nan])
    assert (found["final_seeds"], found["final_score"]) == (0, 0.0)
    assert np.isnan(found["final_test_accuracy"])
