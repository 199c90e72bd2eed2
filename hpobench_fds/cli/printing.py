"""What commands print: tables, plans, and what became of a run. Heavy imports stand inside the functions."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hpobench_fds.errors import InputError
from hpobench_fds.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

    from hpobench_fds.method import Method
    from hpobench_fds.run.watcher import RunSummary
    from hpobench_fds.suite.plan import Plan


def console() -> Console:
    from rich.console import Console

    console = Console()
    # Into a file or a pipe a table keeps its columns whole.
    return console if console.is_terminal else Console(width=200)


def analysis(module: str) -> Any:
    """A module of the analysis, which only the commands that draw may need."""
    return importlib.import_module(f"hpobench_fds.analysis.{module}")


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


KINDS = (
    "gradient-based, through whole trainings",
    "gradient-based and greedy, during one training",
    "black box",
    "black box, of several fidelities",
    "baselines, set by hand",
)


def kind_of(method: type[Method]) -> str:
    """Of which kind a method is, as its class says."""
    if method.family == "gradient":
        return KINDS[bool(method.greedy)]
    return KINDS[4] if method.family == "baseline" else KINDS[2 + bool(method.multi_fidelity)]


def defaults(options: type[Any]) -> list[str]:
    """``outer.kind = "sign"``, one line an option."""
    from hpobench_fds.method.registry import options_as_data
    from hpobench_fds.typed import shown, validated

    def flat(data: dict[str, Any], prefix: str) -> Iterator[str]:
        for key, value in data.items():
            if isinstance(value, dict) and value:
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key} = {'none' if value is None else shown(value)}"

    try:
        return list(flat(options_as_data(options()), ""))
    except ValueError:
        if any(one.is_required() for one in options.model_fields.values()):
            return [f"{name} (required)" for name in options.model_fields]
        # The defaults are good in themselves, and something else is missing: a package.
        try:
            validated(options, {})
        except InputError as error:
            return [*flat(options_as_data(options.model_construct()), ""), f"({error})"]
        raise


def about_methods() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Paper, first sentence and defaults of every method that can be loaded."""
    from inspect import getdoc

    from hpobench_fds.method.registry import methods

    known, found = methods(), {}
    for name in known:
        try:
            method = known[name]
        except InputError:  # a package is missing, or broken: records tell of it all the same
            continue
        first = (getdoc(method) or "").partition("\n\n")[0].replace("\n", " ")
        found[name] = (method.paper, first, tuple(defaults(method.Options)))
    return found


def print_table(folder: Path) -> None:
    loaded = analysis("loading").load(folder)
    if loaded.runs.empty:
        typer.echo(f"{folder}: no runs yet")
        return
    tables = analysis("reports.tables")
    console().print(tables.on_terminal(loaded.reports, loaded.runs, loaded.retrained))
    if sentence := analysis("reports.lead").lead(loaded.reports, loaded.runs):
        console().print(f"\n{sentence}\n", markup=False, highlight=False)


def print_plan(planned: Plan, jobs: int) -> None:
    from rich.table import Table

    from hpobench_fds.wording import duration

    table = Table("Cell", "Status", "Method time at most")
    for one in planned.cells:
        table.add_row(str(one.cell), one.status, "unknown" if one.seconds is None else f"{one.seconds:g} s")
    console().print(table)
    beside = "" if planned.overhead is None else f", with {100 * planned.overhead:.0f} % for the referee"
    retraining = " plus final retrainings" if planned.overhead is None else ""
    typer.echo(f"{len(planned.todo)} of {len(planned.cells)} cells to run into {planned.folder}")
    seconds = planned.seconds(jobs)
    time = "unknown: a budget in steps, and no run on record" if seconds is None else duration(seconds)
    typer.echo(f"time at most: {time}{beside}{retraining}")
    for line in planned.referee():
        typer.echo(line)


def try_to_draw(folder: Path) -> int:
    """Draw everything; the records are safe by now, so that a figure's fault is told and no more."""
    try:
        return len(analysis("figures").draw_all(folder))
    except InputError as error:
        typer.echo(f"figures: not drawn: {error}", err=True)
        return 0
    except Exception as error:
        typer.echo(f"figures: not all were drawn: {type(error).__name__}: {error}", err=True)
        return 0


def print_summary(summary: RunSummary, drawn: int | None) -> None:
    failed = [r for r in summary.results if r.verdict in ("failed", "failed before") and r.record]
    for result in failed:
        reason = result.record.reason if result.record else ""
        typer.echo(printable(f"failed: {result.cell}: {reason}"), err=True)
    for result in summary.results:
        if result.verdict in ("complete", "failed") and result.why:
            typer.echo(f"note: {result.cell}: {result.why}", err=True)
    if summary.count("failed before"):
        typer.echo("failed before and not run again: add --retry-failed", err=True)
    for result in summary.results:
        if result.verdict == "interrupted":
            typer.echo(f"interrupted by a signal: {result.cell}: run it again to go on", err=True)
    for result in summary.results:
        if result.verdict == "refused":
            typer.echo(f"refused: {result.cell}: {result.why}", err=True)
    if held := summary.count("held"):
        typer.echo(f"left alone, another runner has them: {held} cells", err=True)
    typer.echo(f"records: {summary.folder}")
    if drawn:
        typer.echo(f"figures: {summary.folder / 'figures'}")
