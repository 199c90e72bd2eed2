"""The verdict table's numbers: what each method reached on each problem, what it took, how sure that is.

Means over the seeds that have a value, with a 95 % Student interval, and beside them how many of all
finished seeds that is. Which method is the best is judged with a failed or missing seed counted as
accuracy 0, so that no method wins by the seeds that it lost.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .comparisons import LEVEL, holm, paired_p
from .frames import Floats, numbers, scores_by_seed, settled, skipped, split
from .intervals import mean_interval
from .speedup import speedup_table

COLUMNS = [
    "problem", "method", "seeds", "complete", "failed", "unfinished", "skipped",
    "final_test_accuracy", "final_half_width", "final_seeds",
    "incumbent_test_accuracy", "incumbent_half_width", "incumbent_seeds",
    "best_val_loss", "seconds", "inner_steps",
    "reference", "speedup", "speedup_low", "speedup_high", "bound", "best", "tie", "p", "reasons",
]  # fmt: skip


def verdict_table(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str | None = "fds", target: float | None = None
) -> pd.DataFrame:
    """One row a method and problem, the best first.

    Parameters
    ----------
    reports, runs : frames with REPORT_COLUMNS and RUN_COLUMNS.
    reference : whose speedup over the others is given (``speedup`` says how); None or one that did not
        run: the speedup's columns are empty.
    target : test accuracy of the speedup, by default the reference's own.

    Returns
    -------
    seeds = complete + failed + unfinished + skipped; final_test_accuracy (retrained) and
    incumbent_test_accuracy as means, with half widths of their 95 % t intervals and the number of seeds
    they are of; best_val_loss, the lowest incumbent's of all seeds (nats); seconds and inner_steps, medians
    of the finished runs; speedup with interval and bound; best, whether no method of the problem has a higher
    mean with missing seeds as 0 (of final test accuracy, or of the incumbent's on a problem where no run
    was retrained); tie, whether it cannot be told from the best (p, of a paired t-test over common seeds
    with Holm's correction over the problem's methods, is not below 5 %); reasons, why runs failed or were
    skipped. Unfinished and skipped runs enter the counts alone.
    """
    rows = [_row(problem, method, cells) for problem, method, cells in split(runs)]
    table = pd.DataFrame(rows)
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    table = table.merge(_speedups(reports, runs, reference, target), how="left", on=["problem", "method"])
    retrained = table.groupby("problem")["final_seeds"].transform("sum") > 0
    table["score"] = table["final_score"].where(retrained, table["incumbent_score"])
    top = table.groupby("problem")["score"].transform("max")
    table["best"] = (table["score"] == top) & (table["score"] > 0)
    table = table.merge(_ties(runs, table[retrained]["problem"]), how="left", on=["problem", "method"])
    table["tie"] = ~table["best"] & (table["p"] >= LEVEL)
    order = {problem: i for i, problem in enumerate(dict.fromkeys(table["problem"]))}
    table = table.assign(order=table["problem"].map(order))
    table = table.sort_values(["order", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    return table[COLUMNS]


def _row(problem: str, method: str, cells: pd.DataFrame) -> dict[str, object]:
    done, never, status = settled(cells), skipped(cells), cells["status"]
    loss = numbers(done["incumbent_val_loss"])
    reasons = [*cells.loc[status == "failed", "reason"], *never["reason"]]
    return {
        "problem": problem, "method": method, "seeds": len(cells),
        "complete": int((done["status"] == "complete").sum()), "failed": int((status == "failed").sum()),
        "unfinished": len(cells) - len(done) - len(never), "skipped": len(never),
        **_accuracy("final", done), **_accuracy("incumbent", done),
        "best_val_loss": float(np.fmin.reduce(loss)) if len(loss) else float("nan"),
        "seconds": _median(numbers(done["seconds"])), "inner_steps": _median(numbers(done["inner_steps"])),
        "reasons": "; ".join(dict.fromkeys(map(str, reasons))),
    }  # fmt: skip


def _accuracy(which: str, done: pd.DataFrame) -> dict[str, object]:
    """Mean, half width and count of the seeds with a value; and the mean with the others as 0."""
    values = numbers(done[f"{which}_test_accuracy"])
    known = values[np.isfinite(values)]
    mean, half = mean_interval(known)
    return {
        f"{which}_test_accuracy": mean, f"{which}_half_width": half, f"{which}_seeds": len(known),
        f"{which}_score": float(np.nan_to_num(values).mean()) if len(values) else np.nan,
    }  # fmt: skip


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _ties(runs: pd.DataFrame, retrained: pd.Series[str]) -> pd.DataFrame:
    """problem, method, p: of the difference from the problem's best method, seeds without a value as 0."""
    done, rows = settled(runs), []
    for problem, here in done.groupby("problem", sort=False):
        name = "final_test_accuracy" if problem in set(retrained) else "incumbent_test_accuracy"
        wide = scores_by_seed(here, name)
        best = str(wide.mean().idxmax())
        others = [str(m) for m in wide.columns if m != best]
        gaps = [(wide[best] - wide[m]).dropna().to_numpy(np.float64) for m in others]
        p = holm(np.array([paired_p(gap) for gap in gaps], np.float64))
        rows += [(problem, method, value) for method, value in zip(others, p, strict=True)]
    return pd.DataFrame(rows, columns=["problem", "method", "p"]).astype({"p": float})


def _speedups(
    reports: pd.DataFrame, runs: pd.DataFrame, reference: str | None, target: float | None
) -> pd.DataFrame:
    """The speedup's columns by problem and method; no rows where there is no reference."""
    columns = ["problem", "method", "reference", "speedup", "low", "high", "bound"]
    found = pd.DataFrame(columns=columns)
    if reference is not None and (settled(runs)["method"] == reference).any():
        found = speedup_table(reports, runs, reference, target)[columns]
    return found.rename(columns={"low": "speedup_low", "high": "speedup_high"})
