"""The answers of recorded runs, and their retrainings at home and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.folder import cell_folders, read_suite
from hpobench_fds.records.schema import ReportRecord, RunRecord
from hpobench_fds.run.referee import Referee, refuse_without_values, schedule_of
from hpobench_fds.seeds import derive
from hpobench_fds.training.problem import Problem, ProblemConfig, TestData, load_problem

HOME = "home"
COLUMNS = ["problem", "method", "seed", "target", "draw", "test_metric", "test_loss", "diverged"]


@dataclass(frozen=True)
class Answer:
    """What a run handed over: its last incumbent."""

    run: RunRecord
    report: ReportRecord


@dataclass(frozen=True)
class Target:
    """Where an answer is trained: ``config`` says on what, over how many inner steps."""

    name: str
    config: ProblemConfig


def answers_of(folder: Path, problem: str) -> list[Answer]:
    """Of every complete run on a problem.

    Raises InputError if there is none, and for one whose values of each step were left out.
    """
    read_suite(folder)
    found = list[Answer]()
    for place in cell_folders(folder):
        files = CellFiles(place)
        run = files.record()
        if run is None or run.problem != problem or run.status != "complete":
            continue
        if run.final is None or run.final.report is None:
            continue  # nothing was in hand when it ended
        if run.final.by_step:
            refuse_without_values(run, place)
        found.append(Answer(run, files.reports()[run.final.report]))
    if not found:
        raise InputError(f"no complete run on {problem!r}", where=folder)
    return found


def targets_of(config: ProblemConfig, horizons: Sequence[int], datasets: Sequence[str]) -> list[Target]:
    """The problem itself; it over so many times its horizon; it on other data sets.

    A schedule is in shares of the horizon, so that it stretches. Raises InputError for a problem whose
    horizon is in epochs.
    """
    if config.horizon is None:
        raise InputError("its horizon is in epochs: give it in inner steps")
    own = config.model_dump(exclude_unset=True)
    longer = [Target(f"{n} times the horizon", _with(own, horizon=n * config.horizon)) for n in horizons]
    others = [Target(name, _with(own, dataset=name, train_limit=None, test_limit=None)) for name in datasets]
    return [Target(HOME, config), *longer, *others]


def _with(own: dict[str, Any], **changes: Any) -> ProblemConfig:
    return ProblemConfig.model_validate({**own, **changes})


def retrained(answers: Sequence[Answer], targets: Sequence[Target], draws: int, jobs: int) -> pd.DataFrame:
    """Every answer trained on every target in fresh draws, which all answers of a seed share.

    The draws are none of those that the records hold. Test data alone is looked at: nothing is chosen.

    Returns
    -------
    A row a retraining: ``COLUMNS``; ``test_metric`` is a fraction, ``test_loss`` infinite where it diverged.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _load, (list(targets),)) as pool:
        parts = pool.map(_one, answers, [draws] * len(answers))
        return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS)


def as_searched(problem: Problem, run: RunRecord) -> Problem:
    """A target with the space of a run, which is its method's own if that has one: what an answer is in."""
    space = ProblemConfig.model_validate(run.problem_config).space
    return problem.seen_as(problem.config.model_copy(update={"space": space}))


_LOADED: list[tuple[Target, Problem, TestData]] = []


def _load(targets: list[Target]) -> None:
    torch.set_num_threads(1)
    _LOADED[:] = [(one, *load_problem(one.config, name=one.name)) for one in targets]


def _one(answer: Answer, draws: int) -> list[tuple[Any, ...]]:
    return [row for one in _LOADED for row in _rows(answer, *one, draws)]


def _rows(
    answer: Answer, target: Target, problem: Problem, test: TestData, draws: int
) -> Iterator[tuple[Any, ...]]:
    run = answer.run
    referee = Referee(problem, test, derive(run.seed, "transfer"))
    schedule = schedule_of(answer.report, as_searched(problem, run))
    for draw in range(draws):
        result, diverged_at = referee.retrain(schedule, draw)
        yield (
            run.problem, run.method, run.seed, target.name, draw, result.metric, result.loss,
            diverged_at is not None,
        )  # fmt: skip
