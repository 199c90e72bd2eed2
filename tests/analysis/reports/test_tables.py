"""The verdict table: planted means, intervals and winners; failures in plain view."""

from __future__ import annotations

import io

import numpy as np
import pytest
from fabricate import Results, close
from hpobench_fds.analysis.looks import Looks
from hpobench_fds.analysis.reports import tables
from hpobench_fds.analysis.stats.verdict_table import COLUMNS, verdict_table
from rich.console import Console

from hpobench_fds.errors import InputError


def as_terminal(results: Results, width: int = 200) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(tables.to_rich(verdict_table(*results.both), Looks()))
    return out.getvalue()


def small(results: Results) -> Results:
    for seed, accuracy in enumerate([0.80, 0.82, 0.84]):
        results.add("fds", seed, [(1, 0.5), (2, accuracy)], final=accuracy + 0.05, budget=100)
        results.add("tpe", seed, [(20, accuracy)], final=accuracy + 0.04, budget=100, used=90 + seed)
    return results


def line_of(results: Results, name: str) -> str:
    text = tables.to_markdown(verdict_table(*results.both), Looks())
    return next(line for line in text.splitlines()[2:] if f" {name}" in line or f"**{name}" in line)


def test_below_six_seeds_each_seed_stands_in_the_table(results: Results) -> None:
    line = line_of(small(results), "FDS")
    assert "87.0 (85.0, 87.0, 89.0)" in line
    assert "±" not in line


def test_from_six_seeds_on_there_is_the_interval_of_the_median(results: Results) -> None:
    for seed in range(9):
        results.add("fds", seed, [(1, 0.8 + 0.01 * seed)])
    assert "84.0 (81.0 to 87.0)" in line_of(results, "FDS")
    assert "median (95 % interval)" in tables.to_markdown(verdict_table(*results.both), Looks())


def test_every_heading_says_its_aggregate(results: Results) -> None:
    names = tables.headings(verdict_table(*small(results).both), Looks())
    assert all("median" in name or "%" in name for name in names[2:])
    assert names[2] == "Retrained test accuracy (%): median (each seed)"
    assert names[4] == "Seconds to 77.9 %: median (seeds there)"
    assert names[-1] == "Times longer than FDS to it: median (min to max of the seeds)"


def test_failures_are_in_plain_view(results: Results) -> None:
    small(results).add("hd", 0, [], status="failed", used=1)
    for seed in range(3):
        results.add("bohb", seed, [(1, 0.95)] if seed else [], status="complete" if seed else "failed")
    text = as_terminal(results, 300)
    assert "2 + 1 failed" in text
    assert "2 of 3 runs" in text
    assert line_of(results, "HD").count("failed") == 4  # its runs, accuracy, time and speedup


def test_never_and_bounds(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [(2, 0.9)], budget=100).add("tpe", seed, [(3, 0.5)], budget=100)
    line = line_of(results, "TPE")
    assert "never (0 of 3)" in line
    assert "> 50x (50x to no end)" in line


def test_unfinished_runs_are_counted(results: Results) -> None:
    small(results).add("fds", 9, [(1, 0.01)], status="running")
    assert "3 + 1 unfinished" in as_terminal(results, 300)


def test_a_tie_has_two_best(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)]).add("tpe", 0, [(1, 0.5)])
    assert verdict_table(*results.both)["best"].tolist() == [True, True]


@pytest.mark.parametrize("reference", [None, "pbt"])
def test_without_the_reference_there_is_no_such_column(results: Results, reference: str | None) -> None:
    table = verdict_table(*small(results).both, reference=reference)
    assert "Times longer" not in tables.to_markdown(table, Looks())
    assert tables.to_markdown(table, Looks()).count("|") == 4 * 10


def test_markdown_and_latex_mark_the_best_and_state_the_direction(results: Results) -> None:
    table = verdict_table(*small(results).both)
    markdown, latex = tables.to_markdown(table, Looks()), tables.to_latex(table, Looks())
    assert "**FDS**" in markdown
    assert "**TPE**" not in markdown
    assert "Times longer than FDS" in markdown
    assert r"\textbf{FDS}" in latex
    assert "10x (10x to 10x)" in markdown
    widths = {line.count("&") for line in latex.splitlines() if "&" in line}
    assert widths == {9}


def test_an_exploratory_study_is_printed_as_such_in_every_form(results: Results) -> None:
    told = "Exploratory, no confirmation: 3 seeds"
    small(results)
    assert tables.in_form("markdown", *results.both).startswith(told)
    assert tables.in_form("latex", *results.both).startswith(f"% {told}")
    out = io.StringIO()
    Console(file=out, width=300).print(tables.on_terminal(*results.both))
    assert told in out.getvalue()


def test_names_with_special_characters_survive(results: Results) -> None:
    results.add("a_b|c[red]&", 0, [(1, 0.5)], problem="p_1 [bold]")
    table = verdict_table(*results.both)
    assert r"a\_b|c[red]\&" in tables.to_latex(table, Looks())
    assert r"a_b\|c[red]&" in tables.to_markdown(table, Looks())
    assert "a_b|c[red]&" in as_terminal(results)
    assert "p_1 [bold]" in as_terminal(results)


def test_some_other_frame_is_refused(results: Results) -> None:
    with pytest.raises(InputError, match="no verdict table"):
        tables.to_rich(small(results).runs, Looks())


def test_empty_results_give_an_empty_table(results: Results) -> None:
    assert list(verdict_table(*results.both).columns) == COLUMNS


# ---- marks --------------------------------------------------------------------------------------------


def test_a_method_that_cannot_be_told_from_the_best_is_marked(results: Results) -> None:
    table = verdict_table(*close(results, 8).both)
    assert table["tie"].sum() == 1
    text = tables.to_markdown(table, Looks())
    marked = [line for line in text.splitlines() if f" {tables.MARK} |" in line]
    assert len(marked) == 1
    assert "HD" not in marked[0]
    assert "signed-rank test over seeds" in text
    assert r"$\dagger$" in tables.to_latex(table, Looks())


@pytest.mark.parametrize("seeds", [1, 4, 6])
def test_too_few_seeds_have_no_mark_and_it_is_said_why(results: Results, seeds: int) -> None:
    text = tables.to_markdown(verdict_table(*close(results, seeds).both), Looks())
    assert tables.MARK not in text
    assert "it would take 7 seeds or more to tell any two apart" in text


def test_a_skipped_method_is_listed_and_has_no_score(results: Results) -> None:
    runs = small(results).add("cmaes", 0, []).add("cmaes", 1, []).runs
    never = runs["method"] == "cmaes"
    runs.loc[never, ["stopped", "reason"]] = ["skipped", "needs two hyperparameters"]
    table = verdict_table(results.reports, runs)
    assert table["method"].tolist() == ["fds", "tpe", "cmaes"]
    line = next(line for line in tables.to_markdown(table, Looks()).splitlines() if "CMA-ES" in line)
    assert "| 2 skipped |" in line
    assert "0.0" not in line


def test_shares_of_diverged_retrainings_have_a_column_where_they_are_known(results: Results) -> None:
    table = verdict_table(*small(results).both).assign(diverged=[0.25, np.nan])
    assert "Retrainings diverged (%)" in tables.headings(table, Looks())
    assert [texts[3] for _, _, texts in tables.cells(table, Looks())] == ["25", ""]


def test_what_all_search_is_said_once_below_the_table(results: Results) -> None:
    table = verdict_table(*small(results).both)
    assert "Searches" not in tables.headings(table, Looks())
    assert tables.footnote(table).startswith("Methods that search do so over lr[2], momentum, weight_decay.")


def test_different_spaces_stand_in_a_column(results: Results) -> None:
    small(results).add("cosine", 0, [(1, 0.8)])
    runs = results.runs
    runs.loc[runs["method"] == "tpe", "searched"] = "lr as a cosine (peak)"
    text = tables.to_markdown(verdict_table(results.reports, runs), Looks())
    lines = {line.split("|")[2].strip(" *"): line for line in text.splitlines() if line.count("|") > 8}
    assert "| Searches |" in lines["Method"]
    assert "| lr as a cosine (peak) |" in lines[Looks().label("tpe")]
    assert "| nothing |" in lines[Looks().label("cosine")]
    assert "| lr[2], momentum, weight_decay |" in lines[Looks().label("fds")]
    assert "do so over" not in text


def test_a_terminal_shows_how_long_it_takes_to_beat_the_floor(results: Results) -> None:
    for seed in range(6):
        results.add("cosine", seed, [(2.0, 0.8)], used=2.0).add("fds", seed, [(30.0, 0.9)])
    console = Console(width=200, file=io.StringIO())
    console.print(tables.on_terminal(*results.both))
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "Time to beat the floor" in text
    assert "Cosine: 80.0 % in 2.0 s FDS 30.0" in text


def test_without_a_floor_a_terminal_shows_the_verdict_alone(results: Results) -> None:
    results.add("fds", 0, [(30.0, 0.9)]).add("tpe", 0, [(4.0, 0.5)])
    console = Console(width=200, file=io.StringIO())
    console.print(tables.on_terminal(*results.both))
    assert "floor" not in console.file.getvalue()  # type: ignore[attr-defined]
