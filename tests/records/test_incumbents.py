"""The one rule of the incumbent: the best by validation of those trained longest, within the budget."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpobench_fds.records.incumbents import Scores, incumbents, is_better
from hpobench_fds.records.schema import CostRecord, ReportRecord


def report(index: int, loss: float, fidelity: float = 1.0, **changes: Any) -> ReportRecord:
    told = {"schedule": [], "val_metric": 1.0 - loss / 10, "incumbent": False, "seconds": float(index)}
    cost = CostRecord(inner_steps=10 * (index + 1))
    return ReportRecord(report=index, cost=cost, val_loss=loss, fidelity=fidelity, **{**told, **changes})


@pytest.mark.parametrize(
    ("new", "best", "better"),
    [
        (Scores(1.0, 0.5, 0.1), None, True),
        (Scores(math.inf, 0.1, 1.0), None, False),
        (Scores(1.0, math.nan, 1.0), None, False),
        (Scores(2.0, 0.2, 1.0), Scores(1.0, 0.5, 0.3), True),  # worse, and trained longer
        (Scores(0.1, 0.9, 0.3), Scores(1.0, 0.5, 1.0), False),  # better, and trained shorter
        (Scores(math.inf, 0.1, 1.0), Scores(1.0, 0.5, 0.3), False),
        (Scores(0.9, 0.5, 1.0), Scores(1.0, 0.5, 1.0), True),
        (Scores(1.0, 0.5, 1.0), Scores(1.0, 0.5, 1.0), False),  # ties keep the earlier
    ],
)
def test_fidelity_goes_before_validation(new: Scores, best: Scores | None, better: bool) -> None:
    assert is_better(new, best, "val_loss") is better


def test_the_rule_of_earlier_records_looks_at_no_fidelity() -> None:
    assert is_better(Scores(0.1, 0.9, 0.3), Scores(1.0, 0.5, 1.0), "val_loss", "best")
    assert not is_better(Scores(2.0, 0.2, 1.0), Scores(1.0, 0.5, 0.3), "val_loss", "best")


def test_incumbents_are_those_within_the_budget_in_their_order() -> None:
    scores = [(3.0, 0.1), (1.0, 0.1), (4.0, 1.0), (0.5, 0.1), (3.0, 1.0), (2.0, 1.0)]
    reports = [report(index, *score) for index, score in enumerate(scores)]
    limits = {"seconds": None, "steps": 55.0, "gradient_equivalents": None}
    assert [one.report for one in incumbents(reports, limits, "val_loss")] == [0, 1, 2, 4]
    assert [one.report for one in incumbents(reports, limits, "val_loss", "best")] == [0, 1, 3]
    worst = [report(0, 1.0, val_metric=0.2), report(1, 9.0, val_metric=0.3)]
    assert [one.report for one in incumbents(worst, {}, "val_accuracy")] == [0, 1]
