"""The verdict table as text: for a terminal, in Markdown, in LaTeX."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from hpobench_fds.errors import InputError

from ..figures.captions import speedup_text
from ..looks import Looks
from ..stats.verdict_table import verdict_table

MARK = "†"


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
    text = speedup_text(value, bound)
    if bound or not np.isfinite(low):
        return text
    upper = speedup_text(high) if np.isfinite(high) else "no end"
    return f"{text} ({speedup_text(low)} to {upper})"


HEADINGS = (
    "Method", "Seeds", "Final test accuracy (%)", "Incumbent test accuracy (%)", "Best val. loss",
    "Seconds", "Inner steps",
)  # fmt: skip


def headings(table: pd.DataFrame, looks: Looks) -> list[str]:
    """Names of the columns; the last says of whose speedup it is and which way it counts."""
    missing = {"seeds", "best", "tie", "reference"} - set(table.columns)
    if missing:
        raise InputError(f"no verdict table: it lacks {', '.join(sorted(missing))}")
    reference = table["reference"].dropna()
    last = [f"Times longer than {looks.label(reference.iloc[0])}"] if len(reference) else []
    return [*HEADINGS, *last]


def cells(table: pd.DataFrame, looks: Looks) -> list[tuple[str, bool, list[str]]]:
    """(problem, whether it is the best, the row's cells as text) for every row of a verdict table."""
    rows, width = [], len(headings(table, looks))
    for row in table.to_dict("records"):
        text = [looks.label(row["method"]), _count(row), *_accuracies(row), *_amounts(row), _speedup(row)]
        rows.append((str(row["problem"]), bool(row["best"]), text[:width]))
    return rows


def _count(row: dict[Hashable, Any]) -> str:
    """``3``, ``2 + 1 failed``, ``2 skipped``."""
    parts = [f"{row['complete']}"] if row["complete"] or not row["skipped"] else []
    parts += [f"{row[what]} {what}" for what in ("failed", "unfinished", "skipped") if row[what]]
    return " + ".join(parts)


def _accuracies(row: dict[Hashable, Any]) -> list[str]:
    """Final and incumbent test accuracy; a tie with the best is marked."""
    done = int(row["complete"] + row["failed"])
    texts = [
        _percent(float(row[f"{which}_test_accuracy"]), float(row[f"{which}_half_width"]),
                 int(row[f"{which}_seeds"]), done)
        for which in ("final", "incumbent")
    ]  # fmt: skip
    if row["tie"]:
        texts[0 if np.isfinite(row["final_test_accuracy"]) else 1] += f" {MARK}"
    return texts


def _amounts(row: dict[Hashable, Any]) -> list[str]:
    forms = {"best_val_loss": ".4f", "seconds": ",.1f", "inner_steps": ",.0f"}
    return ["" if np.isnan(row[key]) else format(float(row[key]), form) for key, form in forms.items()]


def footnote(table: pd.DataFrame) -> str:
    """What the marks mean; empty if there are none."""
    if not table["tie"].any():
        return ""
    return (
        f"{MARK} cannot be told from the best method: paired t-test over seeds, 5 % level, Holm's correction "
        "over the problem's methods."
    )


def to_rich(table: pd.DataFrame, looks: Looks) -> Table:
    """For a terminal; the best method of each problem in bold, rows with failed runs in red."""
    names, note = headings(table, looks), footnote(table)
    view = Table(box=box.SIMPLE_HEAD, title_justify="left", caption=note or None, caption_justify="left")
    view.add_column("Problem")
    for i, heading in enumerate(names):
        view.add_column(heading, justify="left" if i == 0 else "right")
    before = None
    for problem, best, texts in cells(table, looks):
        if before not in (None, problem):
            view.add_section()
        style = "bold" if best else ""
        count = Text(texts[1], style="red" if "failed" in texts[1] else "")
        # Text, not str: a method's name may hold square brackets, which rich would read as markup.
        row = [Text("" if problem == before else problem), Text(texts[0]), count, *map(Text, texts[2:])]
        view.add_row(*row, style=style)
        before = problem
    return view


def to_markdown(table: pd.DataFrame, looks: Looks) -> str:
    """A GitHub table; the best method of each problem in bold."""
    names = headings(table, looks)
    lines = ["| Problem | " + " | ".join(names) + " |", "|---|---|" + "---:|" * (len(names) - 1)]
    for problem, best, texts in cells(table, looks):
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


def to_latex(table: pd.DataFrame, looks: Looks) -> str:
    """A ``tabular`` for the booktabs package; the best method of each problem in bold."""
    names = headings(table, looks)
    lines = [
        r"\begin{tabular}{ll" + "r" * (len(names) - 1) + "}",
        r"\toprule",
        " & ".join(_latex(name) for name in ("Problem", *names)) + r" \\",
        r"\midrule",
    ]
    before = None
    for problem, best, texts in cells(table, looks):
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


def on_terminal(reports: pd.DataFrame, runs: pd.DataFrame) -> Table:
    """The verdict table of these results for a terminal."""
    return to_rich(verdict_table(reports, runs), Looks.of(runs))


def in_form(form: Literal["markdown", "latex"], reports: pd.DataFrame, runs: pd.DataFrame) -> str:
    """The verdict table of these results in Markdown or LaTeX."""
    write = {"markdown": to_markdown, "latex": to_latex}[form]
    return write(verdict_table(reports, runs), Looks.of(runs))
