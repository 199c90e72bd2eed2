"""Runs suites: everything is checked first, then the cells are run and recorded, where they are asked to.

In this process one by one, each in a process of its own and several side by side (``backends.pool``),
or on a cluster (``backends.ray_cluster``). The run of one cell is in ``cell_run``.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.errors import InputError
from hpobench_fds.records.folder import ResultsFolder, files_of_cell
from hpobench_fds.run.cell_run import run_cell, settled_before
from hpobench_fds.run.machine import describe_machine, find_devices, threads_that_fit
from hpobench_fds.run.watcher import CellResult, Quiet, RunSummary, Watcher
from hpobench_fds.suite.cell import Cell, part_of, with_earlier_budgets
from hpobench_fds.suite.config import Suite, load_suite
from hpobench_fds.suite.limits import Limits
from hpobench_fds.training.optimum import least_expected_loss
from hpobench_fds.training.problem import Problem, TestData, data_key, load_data, problem_of
from hpobench_fds.typed import dotted

if TYPE_CHECKING:
    from hpobench_fds.run.backends.ray_cluster import Cluster


def run_suite(
    suite: Suite | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    problems: str | Iterable[str] | None = None,
    methods: str | Iterable[str] | None = None,
    seeds: object = None,
    part: str | tuple[int, int] | None = None,
    device: str | None = None,
    jobs: int = 1,
    isolate: bool | None = None,
    cell_seconds: float | None = None,
    cell_memory: float | None = None,
    retry_failed: bool = False,
    mixed_clock: bool = False,
    extend: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    watch: Watcher | None = None,
    cluster: Cluster | None = None,
) -> RunSummary:
    """Run every cell of a suite that has not been run yet.

    Everything that can be wrong with the input is checked before anything is written. A script needs
    no ``if __name__ == "__main__"``, whatever is asked for.

    Parameters
    ----------
    suite : a Suite, what a TOML file holds, the path of one, or a built-in suite's name.
    out : the results folder; results/NAME if not given.
    problems, methods : labels of the suite to run, as a list or "a,b"; all if not given.
    seeds : in place of the suite's, as a list or "0-4".
    part : (i, n) or "i/n": only the i-th of n parts of the cells, i from 1 to n: every n-th cell from
        the i-th. The parts are disjoint, and together they are all cells.
    device : in place of the suite's: auto, cpu, cuda or cuda:N.
    jobs : cells side by side. They share the CPU's cores evenly, and for auto and cuda all GPUs in turn.
    isolate : each cell in a process of its own, so that no crash or hang of a method ends the others.
        None: if there are several jobs or any limit.
    cell_seconds, cell_memory : limits of each cell in place of the suite's, see ``Limits``.
    retry_failed : run failed cells again: after an error from the start, but where the process was
        killed, from the last checkpoint.
    mixed_clock : go on with interrupted runs, limited in seconds, where these are unlike those before:
        another device, other threads, jobs, commit or libraries. They are refused if not.
    extend : let budgets be larger than those that the folder's runs had. A run that ended on its budget goes
        on from its last checkpoint, or afresh if it has none; one that ended by itself stays as it is.
    data_root, download : where data sets are, and whether missing ones may be downloaded to it.
    watch : is told how it gets on.
    cluster : run the cells on a Ray cluster, which has a say in place of ``device`` and ``jobs``.

    Raises
    ------
    InputError : one line that says what is wrong and what is allowed.
    KeyboardInterrupt : after the running cells have been recorded; calling again goes on from there.
    """
    if isinstance(suite, (str, Path)):
        suite = load_suite(suite)
    elif isinstance(suite, Mapping):
        suite = Suite.from_dict(suite)
    watch = watch or Quiet()
    devices = find_devices(device or suite.device, where="--device" if device else f"{suite.where}: device")
    limits = suite.limits.replaced(cell_seconds, cell_memory)
    apart = _apart(isolate, jobs, limits)
    planned = suite.cells(problems=problems, methods=methods, seeds=seeds)
    cells = part_of(planned, part)
    description = {**suite.describe(), "seeds": sorted({cell.seed for cell in planned})}
    folder = Path(out) if out is not None else Path("results") / suite.name
    cells = with_earlier_budgets(cells, ResultsFolder.check(folder, description, extend))
    before = [
        settled_before(cell, files_of_cell(folder, cell.problem, cell.method, cell.seed), retry_failed)
        for cell in cells
    ]
    todo = [cell for cell, settled in zip(cells, before, strict=True) if settled is None]
    root = Path(data_root) if data_root else None
    # Elsewhere, each process has its device to itself: this one leaves all of them alone.
    elsewhere = apart or cluster is not None
    problems = load_problems(suite, todo, torch.device("cpu") if elsewhere else devices[0], root, download)

    store = ResultsFolder(folder, description, extend)
    watch.plan(cells, todo, jobs)
    if cluster is not None:
        from hpobench_fds.run.backends.ray_cluster import run_on_ray

        found = run_on_ray(
            todo, store, problems, cluster, limits=limits, retry_failed=retry_failed, watch=watch
        )
        results = iter(found)
    elif apart:
        side_by_side = max(1, min(jobs, len(cells)))
        results = _run_apart(
            todo, store, problems, devices, side_by_side, limits, retry_failed, mixed_clock, watch
        )
    else:
        results = _run_here(todo, store, problems, devices[0], retry_failed, mixed_clock, watch)
    return RunSummary(folder, [settled or next(results) for settled in before])


def _run_here(
    todo: Sequence[Cell],
    store: ResultsFolder,
    problems: dict[str, tuple[Problem, TestData]],
    device: torch.device,
    retry_failed: bool,
    mixed_clock: bool,
    watch: Watcher,
) -> Iterator[CellResult]:
    """Run cells one by one in this process; a problem is let go after its last one."""
    last = {cell.problem: index for index, cell in enumerate(todo)}
    gc.freeze()  # the collector need not look through all of torch, neither between cells nor on a clock
    try:
        with threads_that_fit():
            machine = describe_machine(device)
            for index, cell in enumerate(todo):
                result = run_cell(
                    cell, store, *problems[cell.problem], machine,
                    retry_failed=retry_failed, mixed_clock=mixed_clock, watch=watch,
                )  # fmt: skip
                if last[cell.problem] == index:
                    del problems[cell.problem]
                    gc.collect()  # what the cell has left holds it in circles
                watch.end(result)
                yield result
    finally:
        gc.unfreeze()


def _run_apart(
    todo: Sequence[Cell],
    store: ResultsFolder,
    problems: dict[str, tuple[Problem, TestData]],
    devices: Sequence[torch.device],
    jobs: int,
    limits: Limits,
    retry_failed: bool,
    mixed_clock: bool,
    watch: Watcher,
) -> Iterator[CellResult]:
    """Run cells in processes of their own."""
    from hpobench_fds.run.backends.pool import run_cells
    from hpobench_fds.run.backends.shared_data import share

    return iter(
        run_cells(
            todo,
            store,
            share(problems),
            devices,
            jobs,
            limits=limits,
            retry_failed=retry_failed,
            mixed_clock=mixed_clock,
            watch=watch,
        )
    )


def _apart(isolate: bool | None, jobs: int, limits: Limits) -> bool:
    """Whether cells get processes of their own. Raises InputError."""
    if jobs < 1:
        raise InputError(f"got {jobs}", key="jobs", allowed="1 or more")
    wanted = jobs > 1 or bool(limits)
    if wanted and isolate is False:
        what = f"{jobs} jobs" if jobs > 1 else "a limit on cells"
        raise InputError(f"{what} and in-process: each cell needs a process of its own then")
    apart = wanted if isolate is None else isolate
    if apart and "forkserver" not in multiprocessing.get_all_start_methods():
        raise InputError("this system has no fork server: cells can be run in-process only, one by one")
    return apart


def load_problems(
    suite: Suite, cells: Iterable[Cell], device: torch.device, root: Path | None, download: bool
) -> dict[str, tuple[Problem, TestData]]:
    """The problems of those cells; those on the same data share them. Raises InputError."""
    problems, data = {}, dict[tuple[object, ...], Dataset]()
    for name in dict.fromkeys(cell.problem for cell in cells):
        config, _ = suite.problems[name]
        try:
            if (key := data_key(config)) not in data:
                data[key] = load_data(config, device=device, root=root, download=download, base=suite.base)
            problem, test = problem_of(config, data[key], name=name, base=suite.base)
            problems[name] = problem, replace(test, least=least_expected_loss(problem))
        except InputError as error:
            place = dotted("problems", location=[name])
            raise InputError(str(error).removeprefix(f"{name}: "), where=suite.where, key=place) from error
    return problems
