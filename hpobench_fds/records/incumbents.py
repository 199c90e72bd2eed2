"""Which report is the incumbent: the one rule of the runner, which flags them, and of ``verify``.

The incumbent at a time is what a user who stopped then would be handed: the best by validation among the
reports of the highest fidelity reached so far. A short training never tried the later windows of its
schedule: however good it looked, it says nothing of a training over the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hpobench_fds.records.schema import IncumbentRule, ReportRecord

RULE: IncumbentRule = "best of the longest trained"


class Scores(NamedTuple):
    """A validation loss, an accuracy in [0, 1], and the share of the horizon that was trained."""

    loss: float
    metric: float
    fidelity: float = 1.0

    @classmethod
    def of(cls, report: ReportRecord) -> Scores:
        return cls(report.val_loss, report.val_metric, report.fidelity)


def is_in_time(spent: Mapping[str, float], limits: Mapping[str, float | None]) -> bool:
    """Whether a report came within the budget (None: no limit). One that did not is nobody's incumbent."""
    return all(limit is None or spent[name] <= limit for name, limit in limits.items())


def is_better(new: Scores, best: Scores | None, objective: str, rule: IncumbentRule = RULE) -> bool:
    """Whether ``new`` replaces the incumbent, by ``objective``: val_loss or val_accuracy.

    Of two fidelities the higher wins, unless the rule is ``best``, which looks at no fidelity. Ties keep
    the earlier; what is not finite is never better, not even than nothing.
    """
    if not (math.isfinite(new.loss) and math.isfinite(new.metric)):
        return False
    if best is None:
        return True
    if rule != "best" and new.fidelity != best.fidelity:
        return new.fidelity > best.fidelity
    return new.metric > best.metric if objective == "val_accuracy" else new.loss < best.loss


def incumbents(
    reports: Iterable[ReportRecord],
    limits: Mapping[str, float | None],
    objective: str,
    rule: IncumbentRule = RULE,
) -> list[ReportRecord]:
    """The reports that became the incumbent, in their order, by their numbers, whatever their flags say."""
    found: list[ReportRecord] = []
    for report in reports:
        best = Scores.of(found[-1]) if found else None
        if is_in_time(report.spent, limits) and is_better(Scores.of(report), best, objective, rule):
            found.append(report)
    return found
