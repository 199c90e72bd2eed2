"""The verdict table: what each method reached on each problem, what it took, and how sure that is.

Means over the seeds that have a value, with a 95 % Student interval, and beside them how many of all
finished seeds that is. Which method is the best is judged with a failed or missing seed counted as
accuracy 0, so that no method wins by the seeds that it lost.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text
from scipy import stats

from hpobench_fds.errors import InputError

from . import style as look
from .curves import Floats, numbers, settled, skipped, split
from .duels import LEVEL, holm, paired_p
from .speedup import as_text, speedup_table

MARK = "†"
COLUMNS = [
    "problem", "method", "seeds", "complete", "failed", "unfinished", "skipped",
    "final_test_accuracy", "final_half_width", "final_seeds",
    "incumbent_test_accuracy", "incumbent_half_width", "incumbent_seeds",
    "best_val_loss", "seconds", "inner_steps",
    "reference", "speedup", "speedup_low", "speedup_high", "bound", "best", "tie", "p", "reasons",
]  # fmt: skip


def mean_interval(values: Floats) -> tuple[float, float, int]:
    """Mean, half width of its 95 % t interval, and count of the finite values.

    The half width is NaN for a single value: it says nothing of its spread.
    """
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return float("nan"), float("nan"), 0
    half = float("nan")
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return float(values.mean()), half, n


def verdict(
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
    done, never = settled(cells), skipped(cells)
    final, incumbent = numbers(done["final_test_accuracy"]), numbers(done["incumbent_test_accuracy"])
    final_mean, final_half, final_n = mean_interval(final)
    incumbent_mean, incumbent_half, incumbent_n = mean_interval(incumbent)
    loss = numbers(done["incumbent_val_loss"])
    status = cells["status"]
    reasons = [*cells.loc[status == "failed", "reason"], *never["reason"]]
    return {
        "problem": problem, "method": method, "seeds": len(cells),
        "complete": int((done["status"] == "complete").sum()), "failed": int((status == "failed").sum()),
        "unfinished": len(cells) - len(done) - len(never), "skipped": len(never),
        "final_test_accuracy": final_mean, "final_half_width": final_half, "final_seeds": final_n,
        "incumbent_test_accuracy": incumbent_mean, "incumbent_half_width": incumbent_half,
        "incumbent_seeds": incumbent_n,
        "best_val_loss": float(np.fmin.reduce(loss)) if len(loss) else float("nan"),
        "seconds": float(np.median(numbers(done["seconds"]))) if len(done) else float("nan"),
        "inner_steps": float(np.median(numbers(done["inner_steps"]))) if len(done) else float("nan"),
        "final_score": float(np.nan_to_num(final).mean()) if len(final) else np.nan,
        "incumbent_score": float(np.nan_to_num(incumbent).mean()) if len(incumbent) else np.nan,
        "reasons": "; ".join(dict.fromkeys(map(str, reasons))),
    }  # fmt: skip


def _ties(runs: pd.DataFrame, retrained: pd.Series[str]) -> pd.DataFrame:
    """problem, method, p: of the difference from the problem's best method, seeds without a value as 0."""
    done, rows = settled(runs), []
    for problem, here in done.groupby("problem", sort=False):
        name = "final_test_accuracy" if problem in set(retrained) else "incumbent_test_accuracy"
        scores = here.assign(value=np.nan_to_num(numbers(here[name])))
        wide = scores.pivot_table("value", "seed", "method", sort=False)
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


# ---- as text ------------------------------------------------------------------------------------------


def _percent(mean: float, half: float, n: int, seeds: int) -> str:
    """``88.8 ± 0.3``, in percent, and of how many seeds where that is not all of them."""
    if n == 0:
        return "none" if seeds else ""
    text = f"{100 * mean:.1f}" + (f" ± {100 * half:.1f}" if np.isfinite(half) else "")
    return text if n == seeds else f"{text} ({n} of {seeds} seeds)"


def _speedup(row: dict[Hashable, Any]) -> str:
    value, low, high = (float(row[k]) for k in ("speedup", "speedup_low", "speedup_high"))
    bound = row["bound"] if isinstance(row["bound"], str) else ""
    if bound == "?":
        return "no verdict"
    if np.isnan(value):
        return ""
    text = as_text(value, bound)
    if bound or not np.isfinite(low):
        return text
    upper = as_text(high) if np.isfinite(high) else "no end"
    return f"{text} ({as_text(low)} to {upper})"


HEADINGS = (
    "Method", "Seeds", "Final test accuracy (%)", "Incumbent test accuracy (%)", "Best val. loss",
    "Seconds", "Inner steps",
)  # fmt: skip


def headings(table: pd.DataFrame) -> list[str]:
    """Names of the columns; the last says of whose speedup it is and which way it counts."""
    missing = {"seeds", "best", "tie", "reference"} - set(table.columns)
    if missing:
        raise InputError(f"no verdict table: it lacks {', '.join(sorted(missing))}")
    reference = table["reference"].dropna()
    last = [f"Times longer than {look.label(str(reference.iloc[0]))}"] if len(reference) else []
    return [*HEADINGS, *last]


def cells(table: pd.DataFrame) -> list[tuple[str, bool, list[str]]]:
    """(problem, whether it is the best, the row's cells as text) for every row of a verdict table."""
    rows = []
    count_of = len(headings(table))
    for row in table.to_dict("records"):
        count = f"{row['complete']}" if row["complete"] or not row["skipped"] else ""
        count += f" + {row['failed']} failed" if row["failed"] else ""
        count += f" + {row['unfinished']} unfinished" if row["unfinished"] else ""
        count += f" + {row['skipped']} skipped" if row["skipped"] else ""
        count = count.removeprefix(" + ")
        done = int(row["complete"] + row["failed"])
        accuracy = [
            _percent(float(row[mean]), float(row[half]), int(row[n]), done)
            for mean, half, n in (
                ("final_test_accuracy", "final_half_width", "final_seeds"),
                ("incumbent_test_accuracy", "incumbent_half_width", "incumbent_seeds"),
            )
        ]
        if row["tie"]:
            which = 0 if np.isfinite(row["final_test_accuracy"]) else 1
            accuracy[which] += f" {MARK}"
        amounts = [("best_val_loss", ".4f"), ("seconds", ",.1f"), ("inner_steps", ",.0f")]
        plain = ["" if np.isnan(row[k]) else format(float(row[k]), form) for k, form in amounts]
        text = [look.label(str(row["method"])), count, *accuracy, *plain, _speedup(row)]
        rows.append((str(row["problem"]), bool(row["best"]), text[:count_of]))
    return rows


def footnote(table: pd.DataFrame) -> str:
    """What the marks mean; empty if there are none."""
    if not table["tie"].any():
        return ""
    return (
        f"{MARK} cannot be told from the best method: paired t-test over seeds, 5 % level, Holm's correction "
        "over the problem's methods."
    )


def to_rich(table: pd.DataFrame) -> Table:
    """For a terminal; the best method of each problem in bold, rows with failed runs in red."""
    names, note = headings(table), footnote(table)
    view = Table(box=box.SIMPLE_HEAD, title_justify="left", caption=note or None, caption_justify="left")
    view.add_column("Problem")
    for i, heading in enumerate(names):
        view.add_column(heading, justify="left" if i == 0 else "right")
    before = None
    for problem, best, texts in cells(table):
        if before not in (None, problem):
            view.add_section()
        style = "bold" if best else ""
        count = Text(texts[1], style="red" if "failed" in texts[1] else "")
        # Text, not str: a method's name may hold square brackets, which rich would read as markup.
        row = [Text("" if problem == before else problem), Text(texts[0]), count, *map(Text, texts[2:])]
        view.add_row(*row, style=style)
        before = problem
    return view


def to_markdown(table: pd.DataFrame) -> str:
    """A GitHub table; the best method of each problem in bold."""
    names = headings(table)
    lines = ["| Problem | " + " | ".join(names) + " |", "|---|---|" + "---:|" * (len(names) - 1)]
    for problem, best, texts in cells(table):
        safe = [text.replace("|", "\\|") for text in (problem, *texts)]
        if best:
            safe[1:4] = [f"**{text}**" for text in safe[1:4]]
        lines.append("| " + " | ".join(safe) + " |")
    note = footnote(table)
    return "\n".join([*lines, *(["", note] if note else [])]) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", ">": "$>$", "<": "$<$",
    "†": r"$\dagger$",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def to_latex(table: pd.DataFrame) -> str:
    """A ``tabular`` for the booktabs package; the best method of each problem in bold."""
    names = headings(table)
    lines = [
        r"\begin{tabular}{ll" + "r" * (len(names) - 1) + "}",
        r"\toprule",
        " & ".join(_latex(name) for name in ("Problem", *names)) + r" \\",
        r"\midrule",
    ]
    before = None
    for problem, best, texts in cells(table):
        if before not in (None, problem):
            lines.append(r"\midrule")
        safe = [_latex(text) for text in texts]
        if best:
            safe[:3] = [rf"\textbf{{{text}}}" for text in safe[:3]]
        lines.append(" & ".join(["" if problem == before else _latex(problem), *safe]) + r" \\")
        before = problem
    note = footnote(table)
    last = [rf"\multicolumn{{{len(names) + 1}}}{{l}}{{{_latex(note)}}} \\"] if note else []
    return "\n".join([*lines, r"\bottomrule", *last, r"\end{tabular}"]) + "\n"
