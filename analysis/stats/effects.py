"""Effect sizes: by how much every method ended above or below one, with intervals that hold together.

The numbers are those of the verdict (``conclusions``), so that figure and sentence cannot differ: paired over
seeds, Hodges and Lehmann's median, simultaneous 95 % intervals, tests by signed ranks with Holm's correction.
"""

from __future__ import annotations

import pandas as pd

from .conclusions import Accuracy, findings
from .frames import NoAnswer

COLUMNS = [
    "problem", "method", "reference", "measure", "difference", "low", "high", "least", "most", "p", "outcome",
    "seeds", "needed", "compared",
]  # fmt: skip
OUTCOMES = {"ahead": "below", "behind": "above"}
"""What is told of the method, of what ``conclusions`` says of the reference."""


def effects(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> pd.DataFrame:
    """A row a problem and method other than the reference, ``COLUMNS``.

    Without the reference among the runs it is the method with the highest median of each problem.

    Returns
    -------
    difference, of the method less the reference (fractions; NaN without a common seed), low and high, its
    interval (NaN with too few seeds), least and most, the range over seeds; outcome: "above", "below",
    "undecided", "few" (of fewer than six common seeds, from which nothing is claimed) or "nothing" (no
    common complete run); needed, seeds from which the clearest difference could be told.

    Raises NoAnswer where nothing can be compared.
    """
    found = [one for one in findings(reports, runs, reference) if isinstance(one, Accuracy)]
    rows = [
        (
            one.problem, rival.method, one.first, one.measure, -rival.value, -rival.high, -rival.low,
            -rival.most,
            -rival.least, rival.p, OUTCOMES.get(rival.outcome, rival.outcome), rival.seeds, one.needed,
            one.compared,
        )
        for one in found
        for rival in one.rivals
    ]  # fmt: skip
    if not any(row[-3] for row in rows):
        raise NoAnswer("no two methods have complete runs of the same seeds of one problem")
    return pd.DataFrame(rows, columns=COLUMNS)
