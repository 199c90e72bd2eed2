"""The command ``hpobench``. Heavy imports stand inside the commands, so that help is there at once."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hpobench_fds.cli import completion
from hpobench_fds.cli.printing import (
    KINDS,
    about_methods,
    analysis,
    console,
    defaults,
    kind_of,
    names,
    print_plan,
    print_summary,
    print_table,
    try_to_draw,
)
from hpobench_fds.errors import InputError

if TYPE_CHECKING:
    from hpobench_fds.run.backends.ray_cluster import Cluster

app = typer.Typer(
    help="Compare hyperparameter-optimisation methods, gradient-based and black-box, on one shared trainer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


# ---------------------------------------------------------------------------------------- the commands


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"hpobench {installed('hpobench-fds')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


SuiteArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="A TOML file, or a built-in suite's name.", autocompletion=completion.suites
    ),
]
ResultsArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]


@app.command()
def run(
    suite: SuiteArgument,
    out: Annotated[Path | None, typer.Option(help="Results folder; results/NAME if not given.")] = None,
    problems: Annotated[str | None, typer.Option(help="Only these problems of the suite: a,b.")] = None,
    methods: Annotated[str | None, typer.Option(help="Only these methods of the suite: a,b.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds in place of the suite's: 0-4 or 0,2.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Cells side by side.")] = 1,
    part: Annotated[
        str | None, typer.Option("--cell", metavar="I/N", help="Only the I-th of N parts, for job arrays.")
    ] = None,
    cell_seconds: Annotated[
        float | None, typer.Option(help="A cell that takes longer is killed and has failed.")
    ] = None,
    cell_memory: Annotated[
        float | None, typer.Option(metavar="GB", help="The same for its process's memory.")
    ] = None,
    backend: Annotated[str, typer.Option(help="local, or ray: on a Ray cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; RAY_ADDRESS, or one here.")] = None,
    cpus: Annotated[int, typer.Option(help="Of a node of the cluster, for each cell.")] = 1,
    gpus: Annotated[float, typer.Option(help="Of a node of the cluster, for each cell.")] = 0.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and an estimate of the time; run nothing.")
    ] = False,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Cells not in processes of their own: to debug a method.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    mixed_clock: Annotated[
        bool,
        typer.Option("--mixed-clock", help="Go on although seconds here are unlike those of the first part."),
    ] = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="The budget is larger than the folder's: go on with its runs.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data sets.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets.")] = False,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw figures at the end.")] = True,
) -> None:
    """Run a suite: what has been run already is skipped, what was interrupted goes on."""
    if dry_run:
        from hpobench_fds.suite.config import load_suite
        from hpobench_fds.suite.foresight import foresee
        from hpobench_fds.suite.plan import plan as make_plan

        for line in foresee(load_suite(suite)):
            typer.echo(f"warning: {line}", err=True)
        planned = make_plan(
            suite, out, problems=problems, methods=methods, seeds=seeds, part=part,
            retry_failed=retry_failed, extend=extend,
        )  # fmt: skip
        print_plan(planned, jobs)
        return
    from hpobench_fds.run.progress import watcher
    from hpobench_fds.run.suite_run import run_suite

    try:
        with _terminated_is_interrupted(), watcher(quiet) as watch:
            summary = run_suite(
                suite, out, problems=problems, methods=methods, seeds=seeds, part=part, device=device,
                jobs=jobs, isolate=not in_process, cell_seconds=cell_seconds, cell_memory=cell_memory,
                retry_failed=retry_failed, mixed_clock=mixed_clock, extend=extend,
                data_root=data_root, download=download, watch=watch,
                cluster=_cluster(backend, address, cpus, gpus),
            )  # fmt: skip
    except KeyboardInterrupt:
        again = shlex.join(["hpobench", *sys.argv[1:]])
        typer.echo(f"interrupted; this goes on from there: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not quiet:
        print_table(summary.folder)
    drawn = try_to_draw(summary.folder) if figures else None
    print_summary(summary, drawn)
    raise typer.Exit(summary.exit_code)


def _cluster(backend: str, address: str | None, cpus: int, gpus: float) -> Cluster | None:
    if backend == "local":
        if address is not None:
            raise InputError(f"got {address!r} without --backend ray", key="--address")
        return None
    if backend != "ray":
        raise InputError(f"got {backend!r}", key="--backend", allowed="local, ray")
    from hpobench_fds.run.backends.ray_cluster import Cluster

    return Cluster(address, cpus, gpus)


ReferenceOption = Annotated[
    str, typer.Option(metavar="METHOD", help="The method that the others are compared with.")
]
REFERENCE = "fds"  # where it did not run, each figure says what it is compared with


def known_reference(reference: str, folders: Iterable[Path]) -> None:
    """Raise InputError for a method that was asked for and is in none of the folders."""
    from hpobench_fds.records.folder import read_suite

    if reference == REFERENCE:
        return
    found = dict.fromkeys(m for folder in folders for m in read_suite(folder).get("methods", {}))
    if found and reference not in found:
        raise InputError(f"unknown method {reference!r}", key="--reference", allowed=found)


@app.command()
def show(
    folder: ResultsArgument,
    form: Annotated[str, typer.Option("--format", help="terminal, markdown or latex.")] = "terminal",
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, while runs go on.")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="With --watch.")] = 10.0,
) -> None:
    """Print the table of results."""
    if watch:
        if form != "terminal":
            raise InputError(f"got {form!r} with --watch", key="--format", allowed="terminal")
        from hpobench_fds.cli.watching import watch_folder

        with suppress(KeyboardInterrupt):
            watch_folder(folder, every)
        return
    if form == "terminal":
        print_table(folder)
        return
    if form not in ("markdown", "latex"):
        raise InputError(f"got {form!r}", key="--format", allowed="terminal, markdown, latex")
    tables, loaded = analysis("reports.tables"), analysis("loading").load(folder)
    typer.echo(tables.in_form(form, loaded.reports, loaded.runs, loaded.retrained), nl=False)


@app.command()
def figures(
    folder: ResultsArgument,
    out: Annotated[Path | None, typer.Option(help="The folder; DIR/figures if not given.")] = None,
    only: Annotated[str | None, typer.Option(help="Only these figures: a,b.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Of png, pdf, svg: png,pdf.")] = "png,pdf",
    style: Annotated[str, typer.Option(help="paper or slides.")] = "paper",
    reference: ReferenceOption = REFERENCE,
) -> None:
    """Draw the figures into DIR/figures, or elsewhere."""
    chosen = None if only is None else names(only)
    known_reference(reference, [folder])
    drawn = analysis("figures").draw_all(
        folder, only=chosen, formats=tuple(names(formats)), style=style, reference=reference, out=out
    )
    for path in drawn:
        typer.echo(str(path))
    for name, reason in drawn.skipped.items():
        typer.echo(f"not drawn: {name}: {reason}", err=True)


@app.command()
def report(
    folder: ResultsArgument,
    out: Annotated[Path | None, typer.Option(help="The file; DIR/report.html if not given.")] = None,
    reference: ReferenceOption = REFERENCE,
    show_it: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Write one HTML page: verdict, tables, every figure, and how to run it again."""
    known_reference(reference, [folder])
    path: Path = analysis("reports.page").write(folder, out, reference=reference)
    typer.echo(str(path))
    if show_it:
        typer.launch(str(path))


@app.command()
def site(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results folders.")],
    out: Annotated[Path, typer.Option(help="A new folder, or that of a site, which is replaced.")],
    reference: ReferenceOption = REFERENCE,
) -> None:
    """Write a static site of many suites: scores, a page a method and a problem, every report."""
    known_reference(reference, [path.parent for path in root.rglob("suite.json")])
    module = analysis("reports.site")
    about = {name: module.About(*told) for name, told in about_methods().items()}
    typer.echo(str(module.write(root, out, about=about, reference=reference)))


@app.command()
def doctor(
    folder: Annotated[Path, typer.Option(help="Where records would be written.")] = Path("results"),
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data sets.")] = None,
) -> None:
    """Say what this machine has for runs, and what would spoil their times: threads, load, memory, disk."""
    from hpobench_fds.cli.doctor import examined

    findings = examined(folder, data_root)
    for finding in findings:
        typer.echo(str(finding))
    bad = sum(finding.level == "bad" for finding in findings)
    doubts = sum(finding.level == "doubt" for finding in findings)
    typer.echo(f"{bad} bad, {doubts} doubtful" if bad or doubts else "all is well")
    if bad:
        raise typer.Exit(EXIT_FAILED)


@app.command("methods")
def methods_command() -> None:
    """List the methods of each kind with their options and papers."""
    from rich.table import Table
    from rich.text import Text

    from hpobench_fds.method.registry import methods

    known, groups, broken = methods(), {kind: Table() for kind in KINDS}, Table("Method", "What is wrong")
    for table in groups.values():
        for column in ("Method", "Options and defaults", "Paper"):
            table.add_column(column)
        table.show_lines, table.title_justify = True, "left"
    for name in known:
        try:
            method = known[name]
        except InputError as error:  # one broken package must not hide the others
            broken.add_row(Text(name), Text(str(error), style="red"))
        else:
            # Text, since square brackets would be read as markup.
            options = "\n".join(defaults(method.Options))
            groups[kind_of(method)].add_row(*map(Text, (name, options, method.paper)))
    for title, table in {**groups, "cannot be loaded": broken}.items():
        if table.row_count:
            table.title = Text(title.capitalize(), style="bold")
            console().print(table)


@app.command()
def problems(
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data sets.")] = None,
) -> None:
    """List what a suite's problems can name: data sets, whether they are here, and models that fit them."""
    from rich.table import Table
    from rich.text import Text

    from hpobench_fds.data.catalogue import data_root as root_of
    from hpobench_fds.data.catalogue import listed
    from hpobench_fds.data.own import FORMS
    from hpobench_fds.suite.offer import models_for

    known = listed(data_root)
    table = Table("Data set", "An example", "Classes", "For training", "For testing", "Here", "What it needs")
    for one in known:
        shape, here = " x ".join(map(str, one.shape)), "yes" if one.here else "no"
        numbers = [f"{number:,}" for number in (one.classes, *one.sizes)]
        numbers[1] = "no end" if one.endless else numbers[1]
        table.add_row(*map(Text, (one.name, shape, *numbers, here, one.needs)))
    console().print(table)
    typer.echo(f"ROOT is {root_of(data_root)}: --data-root or HPOBENCH_DATA. Of your own: {FORMS}.\n")
    table = Table("Model", "Parameters", "Takes")
    for model in models_for(known):
        counts = sorted(model.parameters.values())
        size = " to ".join(dict.fromkeys(f"{count:,}" for count in (*counts[:1], *counts[-1:])))
        every = len(model.parameters) == len(known)
        table.add_row(*map(Text, (model.name, size, "any" if every else ", ".join(model.parameters))))
    console().print(table)
    typer.echo(
        "Of your own: FILE.py:FUNCTION, which is given the shape of an example and the number of classes."
    )


@app.command("new-method")
def new_method(
    name: Annotated[str, typer.Argument(help="What the method is called: my_method.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where to write the two files.")] = Path("."),
) -> None:
    """Write a working adapter and its test, to change into your own."""
    from hpobench_fds.method import scaffold

    adapter, test = scaffold.new_method(name, folder)
    target = f"{adapter}:{scaffold.class_name(name)}"
    typer.echo(f"wrote {adapter} and {test}")
    typer.echo(f"check it:  hpobench check {shlex.quote(target)}")
    typer.echo(f'run it:    give a suite  [methods.{name}]  adapter = "{target}"')


@app.command()
def check(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="A method's name, or FILE.py:CLASS.",
            autocompletion=completion.methods,
        ),
    ],
    seconds: Annotated[
        float, typer.Option(help="A method that takes longer is killed and has broken the rule.")
    ] = 120.0,
) -> None:
    """Check that a method keeps the contract, on a tiny problem and in a process of its own."""
    from hpobench_fds.method import scaffold

    result = scaffold.check(method, seconds=seconds)
    typer.echo(str(result))
    if not result.passed:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def validate(suite: SuiteArgument) -> None:
    """Check a suite without running it or reading its data."""
    from hpobench_fds.suite.config import load_suite
    from hpobench_fds.suite.foresight import foresee

    loaded = load_suite(suite)
    for line in foresee(loaded):
        typer.echo(f"warning: {line}", err=True)
    cells = loaded.cells()
    shape = f"{len(loaded.problems)} problems x {len(loaded.methods)} methods x {len(loaded.seeds)} seeds"
    seconds = [cell.budget.seconds for cell in cells]
    total = "" if None in seconds else f", {sum(s or 0.0 for s in seconds):g} s of method time at most"
    typer.echo(f"{loaded.where}: suite {loaded.name!r} is valid: {shape} = {len(cells)} cells{total}")


@app.command()
def schema() -> None:
    """Print the JSON schema of suite files, for editors.

    With an editor that knows taplo (Even Better TOML): hpobench schema > suite.schema.json, and as a
    suite's first line: #:schema ./suite.schema.json
    """
    import json

    from hpobench_fds.suite.config import suite_schema

    typer.echo(json.dumps(suite_schema(), indent=2))


@app.command()
def verify(folder: ResultsArgument) -> None:
    """Look for torn, edited, foreign or inconsistent records."""
    from hpobench_fds.records.verify import sentence
    from hpobench_fds.records.verify import verify as check_records

    result = check_records(folder)
    for finding, count in result.grouped():
        more = f" (and {count - 1} more of this kind)" if count > 1 else ""
        typer.echo(f"{finding}{more}", err=finding.level == "error")
    typer.echo(sentence(result, folder))
    if not result.sound:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def referee(
    folder: ResultsArgument,
    draws: Annotated[int, typer.Option(metavar="R", help="Fresh draws of each retraining.")] = 1,
    points: Annotated[
        str, typer.Option(metavar="P", help="So many incumbents of each run, the last among them; or all.")
    ] = "1",
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N; of the run's kind if not given.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data sets.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets.")] = False,
) -> None:
    """Retrain incumbents of complete runs that were not retrained so: curves for records of before."""
    from hpobench_fds.run.retraining import referee_folder

    wanted = int(points) if points.isdecimal() and len(points) < 9 else points
    try:
        with _terminated_is_interrupted():
            done = referee_folder(
                folder, draws=draws, points=wanted, device=device,
                data_root=data_root, download=download,
                tell=lambda line: None if quiet else typer.echo(line, err=True),
            )  # fmt: skip
    except KeyboardInterrupt:
        again = shlex.join(["hpobench", *sys.argv[1:]])
        typer.echo(f"interrupted; this goes on from there: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    left = [
        (done.had_all, "had them all"),
        (done.held, "held by a runner"),
        (done.unfinished, "not complete"),
    ]
    rest = "".join(f", {count} {what}" for count, what in left if count)
    typer.echo(f"{folder}: {done.retrainings} retrainings of {done.retrained} runs{rest}")


@app.command()
def pack(
    folder: ResultsArgument,
    without_values: Annotated[
        bool,
        typer.Option(
            "--without-values",
            help="Leave out greedy methods' values of each step, without which they cannot be trained again.",
        ),
    ] = False,
) -> None:
    """Compress the traces of complete runs, to keep or to send them; everything still reads them."""
    from hpobench_fds.records.pack import pack as compress

    packed = compress(folder, values=not without_values)
    typer.echo(
        f"{folder}: {packed.cells} traces packed, {packed.before / 1e6:.1f} MB into {packed.after / 1e6:.1f}"
    )


@app.command()
def export(
    folder: ResultsArgument,
    out: Annotated[Path, typer.Argument(help="A file: .parquet or .csv.")],
    runs: Annotated[bool, typer.Option("--runs", help="One row a run, not one a report.")] = False,
    retrained: Annotated[bool, typer.Option("--retrained", help="One row a retraining.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write all results as one table."""
    from hpobench_fds.records.export import export as write_table

    if runs and retrained:
        raise InputError("two tables in one file", key="--runs, --retrained", allowed="one of them")
    rows = write_table(
        folder, out, table="runs" if runs else "retrained" if retrained else "reports", force=force
    )
    typer.echo(f"{out}: {rows} rows")


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders of one suite.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    prefer: Annotated[
        str | None, typer.Option(help="first or last: whose result of a cell that two have finished.")
    ] = None,
) -> None:
    """Put results from several machines, or parts of a suite, into one folder."""
    from hpobench_fds.records.export import merge as merge_folders

    if prefer not in (None, "first", "last"):
        raise InputError(f"got {prefer!r}", key="--prefer", allowed="first, last")
    merged = merge_folders(folders, out, prefer=prefer)  # type: ignore[arg-type]
    for warning in merged.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{out}: {merged.cells} cells, {merged.twice} of them were in more than one folder")


@app.command()
def theorem(
    draws: Annotated[int, typer.Option(help="Simulated draws of each case.")] = 4000,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 0,
) -> None:
    """Check by simulation the bound on the error of hypergradients shared over W steps, and the best W."""
    checks, tables = analysis("stats.theorem"), analysis("reports.theorem_tables")
    bound, width = checks.check(draws, seed), checks.check_best_width(draws, seed)
    console().print(tables.to_rich(bound), tables.best_to_rich(width))
    for case in bound.failed:
        typer.echo(f"above the bound: {case}", err=True)
    for case in width.failed:
        typer.echo(f"not the best: {case}", err=True)
    typer.echo(tables.verdict(draws, bound, width))
    if bound.failed or width.failed:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """A scheduler that takes the machine away sends SIGTERM: the run is then interrupted, not failed."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
