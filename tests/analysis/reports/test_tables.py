"""The verdict table: planted means, intervals and winners; failures in plain view."""

from __future__ import annotations

import io

import pytest
from fabricate import Results
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


def test_planted_numbers(results: Results) -> None:
    table = verdict_table(*small(results).both).set_index("method")
    assert table.loc["fds", "final_test_accuracy"] == pytest.approx(0.87)
    assert table.loc["fds", "incumbent_test_accuracy"] == pytest.approx(0.82)
    assert table.loc["fds", "best_val_loss"] == pytest.approx(0.16)
    assert table.loc["tpe", "seconds"] == 91
    assert table.loc["tpe", "inner_steps"] == 910
    assert table.loc["tpe", "speedup"] == pytest.approx(10)
    assert table.loc["tpe", "reference"] == "fds"
    assert table["best"].to_dict() == {"fds": True, "tpe": False}
    assert list(table.index) == ["fds", "tpe"]


def test_a_method_does_not_win_by_the_seeds_that_it_lost(results: Results) -> None:
    small(results)
    for seed in range(3):
        results.add("bohb", seed, [(1, 0.95)] if seed else [], status="complete" if seed else "failed")
    table = verdict_table(*results.both).set_index("method")
    assert table.loc["bohb", "final_test_accuracy"] == pytest.approx(0.95)
    assert not table.loc["bohb", "best"]
    assert table.loc["fds", "best"]
    assert table.loc["bohb", ["seeds", "complete", "failed", "final_seeds"]].tolist() == [3, 2, 1, 2]
    assert table.loc["bohb", "reasons"] == "it broke"
    text = as_terminal(results)
    assert "2 + 1 failed" in text
    assert "(2 of 3 seeds)" in text


def test_a_method_that_only_failed_is_still_a_row(results: Results) -> None:
    small(results).add("hd", 0, [], status="failed", used=1)
    row = verdict_table(*results.both).set_index("method").loc["hd"]
    assert (row["failed"], row["complete"], row["bound"]) == (1, 0, ">")
    assert "none" in as_terminal(results)


def test_unfinished_runs_are_counted_and_enter_no_mean(results: Results) -> None:
    small(results).add("fds", 9, [(1, 0.01)], status="running")
    row = verdict_table(*results.both).set_index("method").loc["fds"]
    assert (row["seeds"], row["unfinished"]) == (4, 1)
    assert row["incumbent_test_accuracy"] == pytest.approx(0.82)
    assert "3 + 1 unfinished" in as_terminal(results)


def test_without_retraining_the_incumbent_decides(results: Results) -> None:
    small(results)
    runs = results.runs.assign(final_test_accuracy=None)
    runs.loc[runs["method"] == "tpe", "incumbent_test_accuracy"] = 0.99
    table = verdict_table(results.reports, runs).set_index("method")
    assert table["best"].to_dict() == {"tpe": True, "fds": False}


def test_a_tie_has_two_best(results: Results) -> None:
    results.add("fds", 0, [(1, 0.5)]).add("tpe", 0, [(1, 0.5)])
    assert verdict_table(*results.both)["best"].tolist() == [True, True]


@pytest.mark.parametrize("reference", [None, "pbt"])
def test_without_the_reference_there_is_no_such_column(results: Results, reference: str | None) -> None:
    table = verdict_table(*small(results).both, reference=reference)
    assert "Times longer" not in tables.to_markdown(table, Looks())
    assert tables.to_markdown(table, Looks()).count("|") == 4 * 9


def test_markdown_and_latex_mark_the_best_and_state_the_direction(results: Results) -> None:
    table = verdict_table(*small(results).both)
    markdown, latex = tables.to_markdown(table, Looks()), tables.to_latex(table, Looks())
    assert "**FDS**" in markdown
    assert "**TPE**" not in markdown
    assert "Times longer than FDS" in markdown
    assert r"\textbf{FDS}" in latex
    assert r"87.0 $\pm$ 5.0" in latex
    assert "10x (10x to 10x)" in markdown
    widths = {line.count("&") for line in latex.splitlines() if "&" in line}
    assert widths == {8}


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


# ---- ties and skipped methods ---------------------------------------------------------------------------


def close(results: Results) -> Results:
    """FDS and TPE within noise of each other, HD clearly below, four seeds."""
    for seed, base in enumerate([0.80, 0.82, 0.84, 0.86]):
        results.add("fds", seed, [(1, base)], budget=100)
        results.add("tpe", seed, [(2, base + (0.01 if seed % 2 else -0.011))], budget=100)
        results.add("hd", seed, [(2, base - 0.2 - 0.001 * seed)], budget=100)
    return results


def test_a_method_that_cannot_be_told_from_the_best_is_marked(results: Results) -> None:
    table = verdict_table(*close(results).both).set_index("method")
    assert table["best"].to_dict() == {"fds": True, "tpe": False, "hd": False}
    assert table["tie"].to_dict() == {"fds": False, "tpe": True, "hd": False}
    assert table.loc["hd", "p"] < 0.01 < table.loc["tpe", "p"]
    table = verdict_table(*results.both)
    line = next(line for line in tables.to_markdown(table, Looks()).splitlines() if "| TPE" in line)
    assert f"{tables.MARK} |" in line
    assert "paired t-test over seeds" in tables.to_markdown(table, Looks())
    assert r"$\dagger$" in tables.to_latex(table, Looks())
    assert "paired t-test" in as_terminal(results)


def test_ties_are_paired(results: Results) -> None:
    """Seeds far apart, the same small difference in each of them: no tie."""
    for seed, base in enumerate([0.1, 0.3, 0.5, 0.7, 0.9]):
        results.add("fds", seed, [(1, base + 0.01)]).add("tpe", seed, [(1, base + 1e-4 * seed)])
    assert not verdict_table(*results.both)["tie"].any()


def test_single_seeds_are_ties_and_without_ties_there_is_no_footnote(results: Results) -> None:
    results.add("fds", 0, [(1, 0.9)]).add("tpe", 0, [(1, 0.1)])
    assert verdict_table(*results.both).set_index("method").loc["tpe", "tie"]
    plain = Results()
    for seed in range(3):
        plain.add("fds", seed, [(1, 0.9 + 0.001 * seed)]).add("tpe", seed, [(1, 0.1)])
    assert tables.footnote(verdict_table(*plain.both)) == ""


def test_a_skipped_method_is_listed_with_its_reason_and_has_no_score(results: Results) -> None:
    runs = small(results).add("cmaes", 0, []).add("cmaes", 1, []).runs
    never = runs["method"] == "cmaes"
    runs.loc[never, ["stopped", "reason"]] = ["skipped", "needs two hyperparameters"]
    table = verdict_table(results.reports, runs)
    assert table["method"].tolist() == ["fds", "tpe", "cmaes"]
    row = table.set_index("method").loc["cmaes"]
    assert (row["skipped"], row["complete"], row["failed"], row["unfinished"]) == (2, 0, 0, 0)
    assert row["reasons"] == "needs two hyperparameters"
    assert not row["best"]
    assert not row["tie"]
    line = next(line for line in tables.to_markdown(table, Looks()).splitlines() if "CMA-ES" in line)
    assert "| 2 skipped |" in line
    assert "0.0" not in line
