"""The noise of an answer, and what becomes of it over longer horizons and on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..looks import look_by_rule
from ..stats.transfer import by_method
from .studies import markdown

HOME = "home"


def numbers(folder: Path) -> dict[str, Any]:
    """Of ``retrainings.csv``, which benchmarks/transfer writes: a table and the numbers of each method.

    ``order``: the methods, the best at home first; ``alike``: by target, Spearman's correlation over methods
    of what their answers are worth there and at home; ``lost``: of each target the methods of whose
    retrainings some diverged.
    """
    rows = pd.read_csv(folder / "retrainings.csv")
    table = by_method(rows).set_index(["target", "method"])
    targets = [str(name) for name in dict.fromkeys(rows["target"])]
    order = table.loc[HOME].sort_values("median", ascending=False, kind="stable").index
    lines = []
    for method in order:
        home = table.loc[(HOME, method)]
        lines.append([
            look_by_rule(str(method)).label,
            *(f"{table.loc[(target, method), 'median']:.1f}" for target in targets),
            f"{home['spread']:.2f}", f"{100 * home['diverged']:.0f}",
        ])  # fmt: skip
    medians = table.reset_index().pivot_table("median", "method", "target")[targets]
    headings = ["", *targets, "spread of draws, points", "diverged (%)"]
    return {
        "draws": int(rows["draw"].nunique()), "seeds": int(rows["seed"].nunique()), "targets": targets,
        "table": markdown(headings, lines), "order": [str(m) for m in order],
        "of": {target: table.loc[target].to_dict("index") for target in targets},
        "alike": {t: float(medians[HOME].corr(medians[t], method="spearman")) for t in targets},
        "lost": {t: [str(m) for m in order if table.loc[(t, m), "diverged"] > 0] for t in targets},
    }  # fmt: skip
