"""How much of the way to the best each method has come: one scale for all problems.

The way of a problem goes from where searching starts to the best median that any method came to
(``targets``);
a value's share of it is 0 at the start, 1 at the best, below 0 for what is worse than the start. It keeps the
order of values, so that medians and order-statistic intervals of shares are the shares of medians and
intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .bands import bands
from .curves import by_problem, curves_of
from .frames import NoAnswer, flag, settled
from .targets import headline, targets_of, ways

COLUMNS = [
    "problem", "method", "against", "at", "share", "share_low", "share_high", "median", "low", "high",
    "seeds", "reported", "held", "start", "top", "searches",
]  # fmt: skip


def way_bands(
    reports: pd.DataFrame, runs: pd.DataFrame, axes: Sequence[str] = ("gradient_equivalents", "seconds")
) -> pd.DataFrame:
    """``bands`` of the test metric with its shares of the way, against each of the axes.

    Returns
    -------
    ``COLUMNS``: share, share_low, share_high are those of median, low, high; start and top the problem's;
    searches whether the method searches at all. Problems without a way (no method reported, or none came
    further than the start) have no rows.

    Raises NoAnswer where no problem has a way.
    """
    found = {p: way for p, way in ways(reports, runs).items() if way[1] > way[0]}
    if not found:
        raise NoAnswer("no method came further than where searching starts")
    done = settled(runs).drop_duplicates("method")
    searches = dict(zip(done["method"], flag(done, "searches"), strict=True))
    pieces = []
    for against in axes:
        own = bands(reports, runs, "test_metric", against)
        own = own[own["problem"].isin(list(found))].assign(against=against)
        start, top = (
            own["problem"].map({p: way[i] for p, way in found.items()}).astype(float) for i in (0, 1)
        )
        shares = {
            f"share{end}": (own[name] - start) / (top - start)
            for end, name in (("", "median"), ("_low", "low"), ("_high", "high"))
        }
        pieces.append(own.assign(start=start, top=top, searches=own["method"].map(searches), **shares))
    return pd.concat(pieces, ignore_index=True)[COLUMNS]


def chosen(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    kind_of: Mapping[str, str],
    reference: str = "fds",
    most: int = 5,
) -> list[str]:
    """Methods that a figure of many colours: the reference, then the best of each kind, ``most`` in all.

    Best is who came furthest in the median, in the mean over problems; of those that came as far (to a
    hundredth of the way), who was soonest at the headline target. Methods that search nothing come last, as
    figures have them as lines of their own. A choice of what is seen, that claims nothing.
    """
    order = ranking(reports, runs)
    search = set(settled(runs).loc[flag(settled(runs), "searches"), "method"])
    first = [m for m in order if m == reference]
    by_kind: dict[str, str] = {}
    for method in order:
        if method != reference and method in search:
            by_kind.setdefault(kind_of.get(method, "others"), method)
    best = [m for m in order if m in by_kind.values()]
    rest = [m for m in order if m in search and m not in best and m != reference]
    return [*first, *best, *rest, *(m for m in order if m not in search)][:most]


def ranking(reports: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Methods by how far they came (mean over problems of the last median's share), then by how soon."""
    found, goals = ways(reports, runs), targets_of(reports, runs)
    far: dict[str, list[float]] = {str(m): [] for m in dict.fromkeys(settled(runs)["method"])}
    soon: dict[str, list[float]] = {m: [] for m in far}
    for problem, methods in by_problem(
        curves_of(reports, settled(runs), against="gradient_equivalents")
    ).items():
        start, top = found.get(problem, (0.0, 0.0))
        goal = headline(goals, problem)
        if goal is None or top <= start:
            continue
        for method, curves in methods.items():
            last = np.median([-np.inf if np.isnan(c.last) else c.last for c in curves])
            far[method].append(float(np.clip((last - start) / (top - start), 0, 1)))
            times = [c.times_to(np.array([goal["target"]]))[0] for c in curves]
            budget = max(c.end for c in curves) or 1.0
            soon[method].append(float(np.minimum(np.median(times) / budget, 2.0)))
    mean = {m: (round(float(np.mean(far[m])), 2), -float(np.mean(soon[m]))) for m in far if far[m]}
    return sorted(far, key=lambda m: mean.get(m, (-1.0, 0.0)), reverse=True)
