"""What is seen of a run: lines, bars, and how long the rest may take."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hpobench_fds.records.schema import ClockRecord, CostRecord, FinalRecord, ReportRecord, RunRecord
from hpobench_fds.run.progress import Lines, Live, TimeLeft, against, outcome, sparkline
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.watcher import CellResult, RunSummary
from hpobench_fds.suite.cell import BudgetConfig, Cell
from hpobench_fds.training.problem import ProblemConfig


def cell(method: str, seed: int = 0, seconds: float | None = None, steps: int | None = None) -> Cell:
    budget = BudgetConfig(seconds=seconds, steps=None if seconds and not steps else steps or 100)
    config = ProblemConfig(dataset="digits", horizon=10)
    return Cell("tiny", "digits", config, method, method, {}, seed, budget, Path())


def spent(method: float, seconds: float | None = None, steps: tuple[int, int] | None = None) -> Spent:
    done, most = steps or (0, None)
    return Spent(
        ClockRecord(method=method), CostRecord(inner_steps=done), {"seconds": seconds, "steps": most}
    )


def record(of: Cell, **keywords: Any) -> RunRecord:
    return RunRecord(
        suite="tiny", problem="digits", method=of.method, adapter=of.adapter, seed=of.seed, options={},
        problem_config={}, schedule_names=[], budget={}, config_hash="",
        **{"status": "complete", "stopped": "budget", **keywords},
    )  # fmt: skip


def report(accuracy: float, incumbent: bool = True) -> ReportRecord:
    return ReportRecord(
        report=0, seconds=1.0, cost=CostRecord(), schedule=[], val_loss=1.0, val_metric=accuracy,
        incumbent=incumbent, test_metric=accuracy - 0.01 if incumbent else None,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------ a cell's line


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (
            CellResult(
                cell("fds"),
                "complete",
                record(
                    cell("fds"), reports=7, clock=ClockRecord(method=12.34),
                    final=FinalRecord(test_loss=0.1, test_metric=0.9876),
                ),
            ),
            "digits/fds/seed-0: budget, 7 reports in 12.3 s, final test accuracy 98.8 %",
        ),
        (
            CellResult(cell("gp"), "complete", record(cell("gp"), stopped="skipped", reason="not for it")),
            "digits/gp/seed-0: skipped, 0 reports in 0.0 s, not for it",
        ),
        (
            CellResult(cell("pbt"), "failed", record(cell("pbt"), status="failed", reason="of woe")),
            "digits/pbt/seed-0: failed: of woe",
        ),
        (CellResult(cell("tpe", 3), "held"), "digits/tpe/seed-3: held"),
        (
            CellResult(cell("tpe"), "interrupted", record(cell("tpe"), status="interrupted", stopped=None)),
            "digits/tpe/seed-0: interrupted",
        ),
    ],
)  # fmt: skip
def test_what_became_of_a_cell_in_a_line(result: CellResult, line: str) -> None:
    assert outcome(result) == line


def test_a_summary_prints_in_a_few_lines_whatever_the_number_of_cells() -> None:
    failed = [
        CellResult(cell("pbt", seed), "failed", record(cell("pbt", seed), status="failed", reason="of woe"))
        for seed in range(20)
    ]
    complete = [CellResult(cell("gp", seed), "complete", record(cell("gp", seed))) for seed in range(300)]
    refused = CellResult(cell("fds"), "refused", record(cell("fds")), "another machine")
    lines = repr(RunSummary(Path("results/tiny"), [*complete, refused, *failed])).splitlines()
    assert lines[0] == "RunSummary of results/tiny: 300 complete, 1 refused, 20 failed"
    assert lines[1] == "  digits/fds/seed-0: refused: another machine"
    assert lines[2] == "  digits/pbt/seed-0: failed: of woe"
    assert lines[-1] == "  and 13 more that are not complete: see its results"
    assert len(lines) == 10
    assert repr(RunSummary(Path("r"), complete[:2])) == "RunSummary of r: 2 complete"
    assert repr(RunSummary(Path("r"))) == "RunSummary of r: no cells"
    assert repr(failed[:1]) == "[<CellResult digits/pbt/seed-0: failed: of woe>]"


def test_without_a_terminal_there_is_a_line_for_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    cells, lines = [cell("fds"), cell("gp"), cell("tpe")], Lines()
    lines.plan(cells, cells[1:], 1)
    for each in cells[1:]:
        lines.begin(each, lambda: spent(0))
        lines.report(each, report(0.5))
        lines.end(CellResult(each, "held"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "3 cells, 1 of them settled before\n[1/2] digits/gp/seed-0: held\n[2/2] digits/tpe/seed-0: held\n"
    )


@pytest.mark.parametrize("make", [Lines, lambda: Live(Console(width=120, stderr=True))])
def test_a_run_whose_hypergradients_are_mostly_noise_is_warned_of(
    make: Callable[[], Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """Over half of them; those of another cell, and reports without one, do not count."""
    noisy, sound, lines = cell("fds"), cell("gp"), make()
    lines.plan([noisy, sound], [noisy, sound], 2)
    worth = [(noisy, ["ok", "ill conditioned", "overflow", None]), (sound, ["ok", "ill conditioned", None])]
    for each, kinds in worth:
        lines.begin(each, lambda: spent(0))
        for kind in kinds:
            extra = {} if kind is None else {"conditioning": {"soundness": kind}}
            lines.report(each, report(0.5).model_copy(update={"extra": extra}))
    for each, _ in worth:
        lines.end(CellResult(each, "held"))
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("warning") == 1
    assert "warning: digits/fds/seed-0: 2 of 3 hypergradients are ill conditioned or overflowed" in told


# --------------------------------------------------------------------------------------------- on a terminal


def shown(live: Live) -> str:
    console = Console(width=120, file=io.StringIO(), color_system=None)
    console.print(live.live.get_renderable())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(" ".join(line.replace("━", "").replace("╸", "").split()) for line in text.splitlines())


def test_on_a_terminal_every_running_cell_is_seen() -> None:
    live = Live(Console(width=120, file=io.StringIO()))
    cells = [cell(method, seconds=60) for method in ("fds", "gp", "tpe", "bohb")]
    live.plan(cells, cells, 2)
    assert shown(live) == "cells 0 of 4, 2 min 00 s left"
    live.begin(cells[0], lambda: spent(12.2, 60))
    live.begin(cells[1], lambda: spent(30.0, 60, (40, 100)))
    live.report(cells[0], report(0.912))
    live.report(cells[0], report(0.8, incumbent=False))  # what is shown is the best
    first, fds, gp = shown(live).splitlines()
    assert first.startswith("cells 0 of 4, ")
    assert fds == "digits/fds/seed-0 12 s of 60 s incumbent val 91.2 %, test 90.2 %"
    assert gp == "digits/gp/seed-0 30 s of 60 s, 40 of 100 steps"
    live.end(CellResult(cells[0], "failed", record(cells[0], status="failed", reason="[red]of woe[/red]")))
    assert "digits/fds" not in shown(live)
    assert "1 of 4" in shown(live)
    told = live.live.console.file.getvalue()  # type: ignore[attr-defined]
    assert "[1/4] digits/fds/seed-0: failed: [red]of woe[/red]\n" in told  # no markup is read in it


def test_a_cell_says_how_long_it_may_yet_take_and_how_its_incumbents_rose() -> None:
    """Of its budget a quarter is used, and 30 s are gone with the referee's."""
    live, one = Live(Console(width=120, file=io.StringIO())), cell("fds", seconds=60)
    used = replace(spent(15.0, 60), clock=ClockRecord(method=15.0, referee=15.0, elapsed=30.0))
    live.plan([one], [one], 1)
    live.begin(one, lambda: used)
    for accuracy in (0.5, 0.7, 0.9):
        live.report(one, report(accuracy))
    line = shown(live).splitlines()[1]
    assert line == "digits/fds/seed-0 15 s of 60 s 1 min 30 s left incumbent val 90.0 %, test 89.0 % ▁▄█"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([0.5], ""),
        ([0.0, 1.0], "▁█"),
        ([2.0, 2.0], "▁▁"),
        ([float("-inf"), 0.0, 7.0, 1.0], "▁█▂"),
        ([float(i) for i in range(100)], "▁▂▂▃▄▄▅▅▆▇▇█"),
    ],
)
def test_a_line_of_blocks_shows_the_last_values_between_their_lowest_and_highest(
    values: list[float], line: str
) -> None:
    assert sparkline(values) == line


def test_a_cell_that_was_never_begun_can_end() -> None:
    live = Live(Console(width=120, file=io.StringIO()))
    live.plan([cell("fds")], [cell("fds")], 1)
    live.end(CellResult(cell("fds"), "held"))
    assert shown(live) == "cells 1 of 1, 0 s left"


def test_the_clock_against_the_budget() -> None:
    assert against(spent(3.6)) == "4 s"
    assert against(spent(3.6, 60)) == "4 s of 60 s"
    assert against(spent(3.6, None, (5, 20))) == "4 s, 5 of 20 steps"


def test_the_used_share_is_the_larger_one() -> None:
    assert spent(3, 60).used == pytest.approx(0.05)
    assert spent(3, 60, (30, 40)).used == 0.75
    assert spent(90, 60).used == 1.0
    assert spent(90).used == 0.0


# ------------------------------------------------------------------------------------------- the time left


class FakeTime:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_before_anything_is_done_budgets_say_how_long_it_takes() -> None:
    todo = [cell("fds", seconds=60), cell("gp", seconds=120), cell("tpe", seconds=60)]
    assert TimeLeft(todo, 1).seconds({}) == 240
    assert TimeLeft(todo, 2).seconds({}) == 120
    assert TimeLeft([*todo, cell("pbt", steps=5)], 1).seconds({}) is None  # steps say nothing of seconds
    assert TimeLeft([], 1).seconds({}) == 0


def test_then_the_pace_does() -> None:
    time = FakeTime()
    left = TimeLeft([cell("fds", seed, seconds=60) for seed in range(4)], 1, time)
    time.now += 90  # the referee takes its time too
    assert left.seconds({"digits/fds/seed-0": 0.5}) == pytest.approx(90 * 3.5 / 0.5)
    left.end(cell("fds", 0, seconds=60))  # it converged early: its whole budget is done with
    assert left.seconds({}) == pytest.approx(90 * 3)
    time.now += 90
    for seed in (1, 2, 3):
        left.end(cell("fds", seed, seconds=60))
    assert left.seconds({}) == 0


def test_steps_alone_give_a_pace_as_well() -> None:
    time = FakeTime()
    left = TimeLeft([cell("fds", seed, steps=100) for seed in range(2)], 2, time)
    time.now += 10
    assert left.seconds({"digits/fds/seed-0": 0.25, "digits/fds/seed-1": 0.25}) == pytest.approx(30)
