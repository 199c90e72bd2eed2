"""The verdict table as text: for a terminal, in Markdown, in LaTeX.

Every heading says what its column is an aggregate of. Where the results are exploratory, the sentence that
says why stands with the table, whatever its form.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hpobench_fds.errors import InputError
from hpobench_fds.records.searched import NOTHING

from ..figures.captions import speedup_text
from ..looks import Looks, Shown
from ..stats.floor import floor_table as floors_of
from ..stats.intervals import LEAST, LEVEL
from ..stats.verdict_table import verdict_table
from . import floor_table
from .sentences import exploratory, worth

MARK = "†"


def _accuracy(row: dict[Hashable, Any], shown: Shown) -> str:
    """``86.5 (85.8, 86.5, 86.6)``: the median and each seed; from six seeds on the median's interval."""
    by = shown.factor
    n, done = int(row["accuracy_seeds"]), int(row["complete"] + row["failed"])
    if n == 0:
        return "failed" if row["failed"] else "none" if done else ""
    text = f"{by * row['accuracy']:.{shown.digits}f}"
    if 1 < n < LEAST:
        text += f" ({', '.join(f'{by * value:.{shown.digits}f}' for value in row['values'])})"
    elif n >= LEAST:
        low, high = sorted((by * row["accuracy_low"], by * row["accuracy_high"]))
        text += f" ({low:.{shown.digits}f} to {high:.{shown.digits}f})"
    return text if n == done else f"{text}, {n} of {done} runs"


def _to_target(row: dict[Hashable, Any]) -> str:
    """``3.3 (3 of 3)``: median seconds to the headline target, and how many seeds got there."""
    if not row["complete"] or np.isnan(row["target"]):
        return "failed" if row["failed"] and not row["complete"] else ""
    seconds = float(row["seconds_to_target"])
    text = f"{seconds:,.1f}" if np.isfinite(seconds) else "never"
    return f"{text} ({int(row['seeds_at_target'])} of {row['complete']})"


def _speedup(row: dict[Hashable, Any]) -> str:
    value, low, high = (float(row[f"speedup{end}"]) for end in ("", "_low", "_high"))
    bound = row["bound"] if isinstance(row["bound"], str) else ""
    if bound == "?":
        return "no verdict" if row["complete"] else "failed"
    if np.isnan(value):
        return ""
    text = speedup_text(value, bound)
    if not np.isfinite(low):
        low, high = float(row["speedup_least"]), float(row["speedup_most"])
    if not np.isfinite(low) or row["accuracy_seeds"] < 2:
        return text
    upper = speedup_text(high) if np.isfinite(high) else "no end"
    return f"{text} ({speedup_text(low)} to {upper})"


MEASURES = {
    "final_test_metric": "Retrained test {of}",
    "incumbent_test_metric": "Test {of} in hand, not retrained",
}


def headings(table: pd.DataFrame, looks: Looks) -> list[str]:
    """Names of the columns with what each is an aggregate of; the last says which way a speedup counts."""
    missing = {"seeds", "best", "tie", "reference"} - set(table.columns)
    if missing:
        raise InputError(f"no verdict table: it lacks {', '.join(sorted(missing))}")
    measure = str(table["measure"].iloc[0]) if len(table) else "final_test_metric"
    reference = table["reference"].dropna()
    least, most = _fewest(table)
    ratios = "95 % interval" if table["speedup_low"].notna().any() else "min to max of the seeds"
    spread = "each seed" if most < LEAST else "95 % interval" if least >= LEAST else "interval, or each seed"
    return [
        "Method", "Runs", f"{MEASURES[measure].format(of=_of(table, looks))}: median ({spread})",
        *(["Searches"] if _differ(table) else []),
        *(["Retrainings diverged (%)"] if table["diverged"].notna().any() else []),
        "Targets reached (% of targets and runs)",
        f"Seconds to {_goal(table, looks)}: median (seeds there)",
        "Seconds: median", "Gradient equivalents: median", "Fidelity of the incumbent: median",
        *([f"Times longer than {looks.label(reference.iloc[0])} to it: median ({ratios})"]
          if len(reference) else []),
    ]  # fmt: skip


def _spaces(table: pd.DataFrame) -> list[str]:
    """What methods that search at all search, each once."""
    return [text for text in dict.fromkeys(table["searched"]) if text not in ("", NOTHING)]


def _differ(table: pd.DataFrame) -> bool:
    """Whether methods of one problem search different spaces."""
    return any(len(_spaces(rows)) > 1 for _, rows in table.groupby("problem"))


def _searched(table: pd.DataFrame) -> str:
    """What all search, where no column says it."""
    if _differ(table):
        return ""
    several = len(set(table["problem"])) > 1
    told = [
        f"{problem}: {', '.join(spaces)}" if several else ", ".join(spaces)
        for problem, rows in table.groupby("problem", sort=False)
        if (spaces := _spaces(rows))
    ]
    return f"Methods that search do so over {'; '.join(told)}." if told else ""


def _of(table: pd.DataFrame, looks: Looks) -> str:
    """``accuracy (%)``; of problems unlike each other each with its name."""
    names = dict.fromkeys(looks.shown(problem).axis for problem in dict.fromkeys(table["problem"]))
    return next(iter(names)) if len(names) == 1 else f"metric: {' or '.join(names)}"


def _goal(table: pd.DataFrame, looks: Looks) -> str:
    rows = table.dropna(subset="target").drop_duplicates("target")
    return (
        looks.shown(rows["problem"].iloc[0]).text(rows["target"].iloc[0]) if len(rows) == 1 else "the target"
    )


def _fewest(table: pd.DataFrame) -> tuple[int, int]:
    """The fewest and the most seeds that a method's accuracy is of."""
    counts = table.loc[table["accuracy_seeds"] > 0, "accuracy_seeds"]
    return (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)


def cells(table: pd.DataFrame, looks: Looks) -> list[tuple[str, bool, list[str]]]:
    """(problem, whether it is the best, the row's cells as text) for every row of a verdict table."""
    rows, width = [], len(headings(table, looks))
    drawn, spaces = table["diverged"].notna().any(), _differ(table)
    for row in table.to_dict("records"):
        accuracy = _accuracy(row, looks.shown(row["problem"])) + (f" {MARK}" if row["tie"] else "")
        text = [
            looks.label(row["method"]), run_count(row), accuracy, *([row["searched"]] if spaces else []),
            *([_number(100 * row["diverged"], ".0f")] if drawn else []),
            _number(100 * row["targets_reached"], ".0f"), _to_target(row), _number(row["seconds"], ",.1f"),
            _number(row["gradient_equivalents"], ",.0f"), _number(row["fidelity"], ".2g"), _speedup(row),
        ]  # fmt: skip
        rows.append((str(row["problem"]), bool(row["best"]), text[:width]))
    return rows


def run_count(row: Mapping[Any, Any]) -> str:
    """``3``, ``2 + 1 failed``, ``2 skipped``."""
    parts = [f"{row['complete']}"] if row["complete"] or not row["skipped"] else []
    parts += [f"{row[what]} {what}" for what in ("failed", "unfinished", "skipped") if row[what]]
    return " + ".join(parts)


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(float(value), form)


def footnote(table: pd.DataFrame) -> str:
    """What is searched, what the mark means, or why there is none."""
    return " ".join(text for text in (_searched(table), _alike(table)) if text)


def _alike(table: pd.DataFrame) -> str:
    """What the mark means, or why there is none; empty where there is nothing to be told apart."""
    others = table[table["p"].notna()]
    if others.empty:
        return ""
    needed = sorted({int(n) for n in others["needed"].dropna()})
    if table["tie"].any():
        return (
            f"{MARK} cannot be told from the best method: signed-rank test over seeds, 5 % level, Holm's "
            "correction over all pairs of the problem's methods."
        )
    told = others[others["p"] < LEVEL]
    if len(told):
        return ""
    span = str(needed[0]) if len(needed) == 1 else f"{needed[0]} to {needed[-1]}"
    return f"No method is marked as alike: it would take {span} seeds or more to tell any two apart."


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


_TAG = re.compile(r"<(?=[A-Za-z/!?])")  # what Markdown would take for HTML


def to_markdown(table: pd.DataFrame, looks: Looks) -> str:
    """A GitHub table; the best method of each problem in bold."""
    names = headings(table, looks)
    lines = ["| Problem | " + " | ".join(names) + " |", "|---|---|" + "---:|" * (len(names) - 1)]
    for problem, best, texts in cells(table, looks):
        safe = [_TAG.sub("&lt;", text.replace("|", "\\|")) for text in (problem, *texts)]
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


def on_terminal(reports: pd.DataFrame, runs: pd.DataFrame, retrained: pd.DataFrame | None = None) -> Group:
    """The verdict table of these results for a terminal."""
    looks = Looks.of(runs)
    view = to_rich(verdict_table(reports, runs, retrained=retrained), looks)
    floors = floors_of(reports, runs)
    below = [] if floors.empty else [floor_table.to_rich(floors, looks)]
    return Group(*map(Text, exploratory(runs)), view, *below, *map(Text, worth(reports, looks)))


def in_form(
    form: Literal["markdown", "latex"],
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    retrained: pd.DataFrame | None = None,
) -> str:
    """The verdict table of these results in Markdown or LaTeX."""
    write = {"markdown": to_markdown, "latex": to_latex}[form]
    table = write(verdict_table(reports, runs, retrained=retrained), Looks.of(runs))
    told = exploratory(runs)
    if not told:
        return table
    return f"{told[0]}\n\n{table}" if form == "markdown" else f"% {told[0]}\n{table}"
