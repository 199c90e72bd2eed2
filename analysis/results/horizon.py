"""Ten thousand inner steps: exact hypergradients, greedy ones whose scale was searched, black boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..stats.agreement import differences
from ..stats.conditioning import conditioned
from ..stats.frames import complete
from ..stats.frames import numbers as as_numbers
from ..stats.intervals import median_interval
from ..stats.schedules import groups
from .studies import Study, between, markdown, paired

GREEDY = ("hd", "rtho", "marthe")
EXACT = "reverse_sharing"
SCALES = ("coarsest", "coarse", "middle", "fine", "finest")


def numbers(folder: Path, forward: Path) -> dict[str, Any]:
    """Ends, costs and divergences of all; forward mode's agreement with reverse mode."""
    study = Study.of(folder)
    ends = answers(study)
    best_first = sorted(ends, key=lambda method: float(ends[method]["end"].median()), reverse=True)
    gap = paired({method: own["end"] for method, own in ends.items()}, EXACT)
    lost = {method: 100 * diverged(study, method) for method in [*ends, *study.methods]}
    rows = [_row(study, method, ends[method], gap.get(method), lost[method]) for method in best_first]
    headings = ["", "retrained test accuracy (%): median (95 % interval)", "less exact hypergradients'",
                "trainings' worth", "trainings that diverged (%)"]  # fmt: skip
    return {
        "seeds": study.seeds, "commit": study.commit, "table": markdown(headings, rows),
        "gap": gap, "lost": lost,
        "rates": learned_rates(study), "sound": soundness(study), "chosen": chosen_scales(study),
        "forward": _forward(forward),
    }  # fmt: skip


def answers(study: Study) -> dict[str, pd.DataFrame]:
    """By method a row a seed: ``end`` (points), ``cost`` (trainings' worth); greedy ones by their best scale.

    The scale is the one of each seed whose incumbent has the least validation loss; its cost is that of all.
    """
    (problem,) = study.problems
    done = complete(study.runs)
    runs = done.assign(
        end=100 * as_numbers(done["final_test_metric"]),
        cost=as_numbers(done["gradient_equivalents"]) / study.horizon(problem),
    )
    found = {}
    for method in study.methods:
        name = method.rpartition("-")[0]
        if name not in GREEDY:
            found[method] = runs[runs["method"] == method].set_index("seed")[["end", "cost"]]
        elif name not in found:
            own, best = _scaled(runs, name)
            found[name] = (
                best.set_index("seed")[["end"]].assign(cost=own.groupby("seed")["cost"].sum()).sort_index()
            )
    return found


def _scaled(runs: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A greedy method's runs of all scales, and of each seed the one that validation chooses."""
    own = runs[runs["method"].isin([f"{name}-{scale}" for scale in SCALES])]
    return own, own.sort_values("incumbent_val_loss").drop_duplicates("seed")


def _row(
    study: Study, method: str, own: pd.DataFrame, gap: Mapping[str, Any] | None, lost: float
) -> list[str]:
    values = own["end"].to_numpy(float)
    low, high = median_interval(values)
    end = between({"median": float(np.median(values)), "low": float(low), "high": float(high)})
    less = between({**gap, "median": gap["difference"]}) + "*" * gap["told"] if gap else ""
    return [_name(study, method), end, less, f"{own['cost'].median():.1f}", f"{lost:.0f}"]


def _name(study: Study, method: str) -> str:
    if method not in GREEDY:
        return study.looks.label(method)
    return f"{study.looks.label(method)}, best of {len(_scales(study, method))} scales"


def diverged(study: Study, method: str) -> float:
    """Share of a method's trainings, those of all its scales, that ended without a finite loss."""
    own = study.reports[study.reports["method"].str.fullmatch(rf"{method}(-({'|'.join(SCALES)}))?")]
    return float(np.mean(~np.isfinite(as_numbers(own["val_loss"]))))


def chosen_scales(study: Study) -> dict[str, dict[str, int]]:
    """Greedy method, scale: how many seeds chose it."""
    runs = complete(study.runs)
    found = {}
    for name in GREEDY:
        _, best = _scaled(runs, name)
        counts = Counter(label.rpartition("-")[2] for label in best["method"])
        found[name] = {scale: counts[scale] for scale in _scales(study, name)}
    return found


def _scales(study: Study, name: str) -> list[str]:
    """Those that a greedy method was run with, the largest first."""
    return [scale for scale in SCALES if f"{name}-{scale}" in study.methods]


def learned_rates(study: Study, method: str = EXACT) -> list[float]:
    """Of each window, the median over seeds of the incumbent's learning rate at the end."""
    reports = study.reports[(study.reports["method"] == method) & study.reports["incumbent"].astype(bool)]
    last = reports.sort_values("report").drop_duplicates("seed", keep="last")
    at = groups(list(last["schedule_names"].iloc[0]))["lr"]
    return [float(x) for x in np.median(np.array(last["schedule"].tolist(), float)[:, at], axis=0)]


def soundness(study: Study, method: str = EXACT) -> dict[str, float]:
    """Percent of hypergradients ill conditioned, and overflowed; of outer steps whose training diverged."""
    own = study.reports[study.reports["method"] == method]
    kinds = conditioned(own)["soundness"]
    lost = ~np.isfinite(as_numbers(own["val_loss"]))
    return {
        "ill": 100 * float((kinds == "ill conditioned").mean()), "outer_steps": len(own),
        "overflow": 100 * float((kinds == "overflow").mean()), "diverged": 100 * float(lost.mean()),
        "most": int(pd.Series(lost).groupby(own["seed"].to_numpy()).sum().max()),
    }  # fmt: skip


def _forward(folder: Path) -> dict[str, Any]:
    """Forward beside reverse mode: differences of the hypergradients of equal trainings; memory; ends."""
    study = Study.of(folder)
    table = differences(study.reports)
    memory = {
        method: float(np.median([extra["hypergradient_bytes"] for extra in own["extra"]]))
        for method, own in study.reports.groupby("method", sort=False)
    }
    return {
        "seeds": study.seeds, "commit": study.commit, "steps": int(table["report"].nunique()),
        "pairs": len(table), "signs": 100 * float(np.average(table["signs"], weights=table["windows"])),
        "relative": float(table["relative"].median()), "most": float(table["relative"].max()),
        "megabytes": {method: value / 1e6 for method, value in memory.items()},
        "end": {m: float(study.ends.loc[(study.problems[0], m), "median"]) for m in study.methods},
        "cost": {
            m: float(own["gradient_equivalents"].median()) / study.horizon(study.problems[0])
            for m, own in complete(study.runs).groupby("method", sort=False)
        },
    }  # fmt: skip
