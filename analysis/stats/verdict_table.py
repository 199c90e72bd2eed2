"""The verdict table's numbers: what each method reached on each problem, what it took, how sure that is.

There is one accuracy in the table: of the retrained schedules, or, where no run was retrained, of the
weights in hand. It is a median over complete runs, with its 95 % interval, or from fewer than six seeds with
each seed's value. A failed run has no accuracy; it is counted beside the others. Which method is the best is
judged with a failed run as the worst there is, so that no method wins by the seeds that it lost.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from .comparisons import holm, paired_p
from .conclusions import final_scores, measure_of, median_times, middle_of
from .curves import curves_of
from .frames import CELL, Floats, complete, numbers, settled, skipped, split
from .intervals import LEVEL, quantile, seeds_needed
from .speedup import speedup_table
from .targets import headline, targets_of

COLUMNS = [
    "problem", "method", "searched", "seeds", "complete", "failed", "unfinished", "skipped",
    "measure", "accuracy", "accuracy_low", "accuracy_high", "accuracy_seeds", "values", "diverged",
    "target", "targets_reached", "seconds_to_target", "seeds_at_target",
    "seconds", "gradient_equivalents", "fidelity",
    "reference", "speedup", "speedup_low", "speedup_high", "speedup_least", "speedup_most", "bound",
    "best", "tie", "p", "needed", "reasons",
]  # fmt: skip


def verdict_table(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    reference: str | None = "fds",
    target: float | None = None,
    retrained: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row a method and problem, the best first.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS.
    reference : whose speedup over the others is given (``speedup`` says how); None or one that did not
        run: the speedup's columns are empty.
    target : test accuracy of the speedup, by default the problem's headline target.
    retrained : a row a draw of the referee's retrainings (``retrained``), if there are any.

    Returns
    -------
    searched, what its space is of; seeds = complete + failed + unfinished + skipped; measure,
    final_test_metric (retrained) or incumbent_test_metric (in hand), the same in all rows; accuracy, its
    median over complete runs, with its interval (from six seeds on) or range, their number, and ``values``
    of each; diverged, the share of the retraining draws of the last incumbents that diverged (NaN: not
    recorded); target, the headline's accuracy; targets_reached, the share of the problem's targets and of
    finished runs, failed ones included, that were reached; seconds_to_target, the median to the headline
    target (infinite: never in the median run), and how many seeds got there; seconds, gradient_equivalents
    and fidelity (of the last incumbent, a share of the horizon), medians of complete runs; speedup with its
    simultaneous interval, the range of the seeds' and bound; best, whether no method has a higher median;
    tie, whether
    it cannot be told from the best (p of a signed-rank test, corrected over all pairs of the problem's
    methods, is not below 5 %) although the seeds could tell (there are ``needed`` of them); reasons, why
    runs failed or were skipped. Unfinished and skipped runs enter the counts alone.
    """
    measure = measure_of(runs) if len(runs) else "final_test_metric"
    rows = [_row(problem, method, cells, measure) for problem, method, cells in split(runs)]
    table = pd.DataFrame(rows, columns=[*_ROW, "score"])
    names = ["problem", "method"]
    for more in (
        _reached(reports, runs), _fidelity(reports, runs), _diverged(retrained, runs),
        _speedups(reports, runs, reference, target), _ties(runs),
    ):  # fmt: skip
        table = table.merge(more, how="left", on=names)
    top = table.groupby("problem")["score"].transform("max")
    table["best"] = (table["score"] == top) & np.isfinite(table["score"].astype(float))
    could = (table["tested"] >= table["needed"]).to_numpy(dtype=bool, na_value=False)
    table["tie"] = ~table["best"] & could & (table["p"] >= LEVEL)
    order = {problem: i for i, problem in enumerate(dict.fromkeys(table["problem"]))}
    table = table.assign(order=table["problem"].map(order))
    table = table.sort_values(["order", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    return table[COLUMNS]


_ROW = [
    "problem", "method", "searched", "seeds", "complete", "failed", "unfinished", "skipped", "measure",
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_seeds", "values",
    "seconds", "gradient_equivalents", "reasons",
]  # fmt: skip


def _row(problem: str, method: str, cells: pd.DataFrame, measure: str) -> dict[str, Any]:
    done, whole, never, status = settled(cells), complete(cells), skipped(cells), cells["status"]
    known = numbers(whole.sort_values("seed")[measure])
    known = known[np.isfinite(known)]
    middle = middle_of(method, known)
    # For the order alone: failed and empty-handed runs are worse than any other.
    ranked = np.append(known, np.full(len(done) - len(known), -np.inf))
    score = float(quantile(ranked, 0.5)) if len(ranked) else np.nan
    reasons = [*cells.loc[status == "failed", "reason"], *never["reason"]]
    return {
        "problem": problem, "method": method, "searched": _searched(cells), "seeds": len(cells),
        "complete": len(whole), "failed": len(done) - len(whole),
        "unfinished": len(cells) - len(done) - len(never), "skipped": len(never), "measure": measure,
        "accuracy": middle.value, "accuracy_low": middle.low, "accuracy_high": middle.high,
        "accuracy_seeds": middle.seeds, "values": tuple(known.tolist()),
        "seconds": _median(numbers(whole["seconds"])),
        "gradient_equivalents": _median(numbers(whole["gradient_equivalents"])),
        "reasons": "; ".join(dict.fromkeys(map(str, reasons))), "score": score,
    }  # fmt: skip


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _searched(cells: pd.DataFrame) -> str:
    """What the method searched, as its runs' records say; empty where they do not."""
    if "searched" not in cells:
        return ""
    return " / ".join(dict.fromkeys(cells["searched"].dropna().astype(str)))


def _reached(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """problem, method, target, targets_reached, seconds_to_target, seeds_at_target."""
    done, goals, rows = settled(runs), targets_of(reports, runs), []
    for problem, here in done.groupby("problem", sort=False):
        goal = headline(goals, str(problem))
        if goal is None:
            continue
        every = goals.loc[goals["problem"] == problem, "target"].to_numpy(np.float64)
        target = float(goal["target"])
        times = median_times(reports, here, target)
        hits: dict[str, list[Floats]] = {}
        for curve in curves_of(reports, complete(here)):
            hits.setdefault(curve.cell.method, []).append(
                np.isfinite(curve.times_to(np.append(every, target)))
            )
        for method, count in here.groupby("method", sort=False)["seed"].nunique().items():
            own = np.array(hits.get(str(method), np.zeros((0, len(every) + 1))))
            share = float(own[:, :-1].sum() / (count * len(every)))
            rows.append(
                (problem, method, target, share, times.get(str(method), np.nan), int(own[:, -1].sum()))
            )
    names = ["target", "targets_reached", "seconds_to_target", "seeds_at_target"]
    return pd.DataFrame(rows, columns=["problem", "method", *names])


def _fidelity(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """problem, method, fidelity: of the last incumbent, median over complete runs."""
    own = reports[reports["incumbent"].astype(bool)].sort_values("report", kind="stable")
    last = own.drop_duplicates(CELL, keep="last")[[*CELL, "fidelity"]]
    last = complete(runs)[CELL].merge(last, on=CELL)
    return last.groupby(["problem", "method"])["fidelity"].median().reset_index()


def _diverged(retrained: pd.DataFrame | None, runs: pd.DataFrame) -> pd.DataFrame:
    """problem, method, diverged: share of the draws of each run's last retrained report."""
    names = ["problem", "method"]
    if retrained is None or retrained.empty:
        return pd.DataFrame(columns=[*names, "diverged"])
    own = complete(runs)[CELL].merge(retrained, on=CELL)
    last = own[own["report"] == own.groupby(CELL)["report"].transform("max")]
    by = last.assign(diverged=last["diverged"].astype(float)).groupby(names)
    share: pd.DataFrame = by[["diverged"]].mean().reset_index()
    return share


def _ties(runs: pd.DataFrame) -> pd.DataFrame:
    """problem, method, p, tested, needed: of the difference from the problem's best method.

    Which is the best was the data's choice: p is corrected over all pairs. ``tested`` are common seeds,
    ``needed`` those from which the clearest difference could be told.
    """
    rows = []
    for problem, here in settled(runs).groupby("problem", sort=False):
        wide, _ = final_scores(here)
        methods = [str(m) for m in wide.columns if wide[m].notna().any()]
        if len(methods) < 2:
            continue
        best = str(wide[methods].fillna(-np.inf).median().idxmax())  # a failed run is the worst there is
        pairs = list(combinations(methods, 2))
        gaps = [(wide[one] - wide[other]).dropna().to_numpy(np.float64) for one, other in pairs]
        p = holm(np.array([paired_p(gap) for gap in gaps], np.float64))
        for pair, gap, value in zip(pairs, gaps, p, strict=True):
            if best in pair:
                other = pair[pair[0] == best]
                rows.append((problem, other, value, len(gap), seeds_needed(len(pairs))))
    table = pd.DataFrame(rows, columns=["problem", "method", "p", "tested", "needed"])
    return table.astype({"p": float, "tested": float, "needed": float})


def _speedups(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str | None, target: float | None
) -> pd.DataFrame:
    """The speedup's columns by problem and method; no rows where there is no reference."""
    columns = ["problem", "method", "reference", "speedup", "low", "high", "least", "most", "bound"]
    found = pd.DataFrame(columns=columns)
    if reference is not None and (settled(runs)["method"] == reference).any():
        found = speedup_table(reports, runs, reference, target)[columns]
    return found.rename(columns={name: f"speedup_{name}" for name in ("low", "high", "least", "most")})
