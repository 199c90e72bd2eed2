"""What a method says is seen to be so: its clock, its counts, and the reports of its incumbents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpobench_fds.method import Report
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.records.verify import verify
from hpobench_fds.run import recorder
from hpobench_fds.run.cell_run import run_cell
from hpobench_fds.run.honesty import untrue, untrue_schedule
from hpobench_fds.run.machine import Machine
from hpobench_fds.run.suite_run import load_problems
from hpobench_fds.schedule import Schedule
from hpobench_fds.suite.config import Suite
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.state import Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer

METHODS = """
import time
from contextlib import suppress
from dataclasses import replace
from hpobench_fds.method import AskTell, Method, Proposal
from hpobench_fds.training.clock import Clock, Cost
from hpobench_fds.training.trainer import Trainer

class Honest(Method):
    name, paper = "honest", "none"
    def run(self, task):
        for trial in range(3):
            self.trial(task, trial, task.train(task.space.initial, trial=trial))
            task.checkpoint({"trial": trial})
    def trial(self, task, trial, outcome):
        task.report(task.space.initial, outcome.evaluation, state=outcome.state)

class Flatters(Honest):
    def trial(self, task, trial, outcome):
        evaluation = replace(outcome.evaluation, loss=outcome.evaluation.loss * 0.01)
        task.report(task.space.initial, evaluation, state=outcome.state)

class FlattersInSilence(Flatters):
    def trial(self, task, trial, outcome):
        with suppress(Exception):
            super().trial(task, trial, outcome)

class Boasts(Honest):
    def trial(self, task, trial, outcome):
        better = replace(outcome.evaluation, metric=outcome.evaluation.metric + 0.5)
        task.report(task.space.initial, better, state=outcome.state)

class AnotherSchedule(Honest):
    def trial(self, task, trial, outcome):
        task.report(task.space.sample(task.rng), outcome.evaluation, state=outcome.state)

class HalfTrained(Honest):
    def run(self, task):
        half = task.problem.horizon // 2
        self.trial(task, 0, task.train(task.space.initial, trial=0, until=half))

class CallsItMore(Honest):
    def trial(self, task, trial, outcome):
        outcome.state.step += 5
        task.clock.count(steps=5)
        task.report(task.space.initial, outcome.evaluation, state=outcome.state, fidelity=1.5)

class BooksToTheReferee(Honest):
    def trial(self, task, trial, outcome):
        with task.clock.charge("referee"):
            time.sleep(0.2)
        super().trial(task, trial, outcome)

class BooksToData(Honest):
    def trial(self, task, trial, outcome):
        with task.clock.charge("data"):
            time.sleep(0.2)
        super().trial(task, trial, outcome)

class StopsTheClock(Honest):
    def trial(self, task, trial, outcome):
        task.clock.stop()
        time.sleep(0.2)
        task.clock.start()
        super().trial(task, trial, outcome)

class FreezesTheClock(Honest):
    def trial(self, task, trial, outcome):
        now = task.clock._source()
        task.clock._source = lambda: now
        time.sleep(0.2)
        super().trial(task, trial, outcome)

class SetsItBack(Honest):
    def trial(self, task, trial, outcome):
        time.sleep(0.1)
        super().trial(task, trial, outcome)
        if trial == 2:
            task.clock._sums["method"] = task.clock._elapsed = 0.0

class TakesCostsBack(Honest):
    def trial(self, task, trial, outcome):
        task.clock.cost = Cost()
        super().trial(task, trial, outcome)

class CountsLessThanNothing(Honest):
    def trial(self, task, trial, outcome):
        task.clock.count(steps=-5)

class OwnBudget(Honest):
    def trial(self, task, trial, outcome):
        task.budget.steps = 10**9
        super().trial(task, trial, outcome)

class ThinksLong(AskTell):
    name, paper = "thinks_long", "none"
    def ask(self, task):
        time.sleep(0.15)
        return Proposal(task.space.sample(task.rng))

class TrainsUnseen(Honest):
    def run(self, task):
        trainer = Trainer(task.problem, task.trainer.seed, Clock())
        state = trainer.start(0)
        trainer.train(state, task.space.initial)
        task.report(task.space.initial, trainer.evaluate(state), state=state)
"""
LIES = {
    "Flatters": "untrue report: validation loss",
    "FlattersInSilence": "untrue report: validation loss",
    "Boasts": "untrue report: validation loss",
    "AnotherSchedule": "the schedule that was reported is not the one that was trained: lr was 0",
    "HalfTrained": "fidelity 1 was reported, and 5 of 10 inner steps were trained",
    "CallsItMore": "its state says 15 inner steps",
}
TRICKS = {
    "BooksToTheReferee": "booked to referee and records",
    "BooksToData": "booked to the making of data",
    "StopsTheClock": "the clock was tampered with",
    "FreezesTheClock": "the clock was tampered with",
    "SetsItBack": "the clock was tampered with",
    "TakesCostsBack": "costs were changed",
    "CountsLessThanNothing": "got -5 steps",
    "TrainsUnseen": "10 inner steps were trained, 0 are on the clock",
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def run(folder: Path, method: str, steps: int = 1000, **keywords: Any) -> RunRecord:
    (folder / "mine.py").write_text(METHODS)
    data: dict[str, Any] = {
        "name": "tiny",
        "seeds": [0],
        "budget": {"steps": steps},
        "problems": {
            "tiny": {
                "dataset": "digits", "train_limit": 120, "test_limit": 60, "batch_size": 8, "horizon": 10,
                "space": {"lr": {"windows": 2, "low": 0.0, "high": 0.2, "initial": 0.05}},
            }
        },
        "methods": {"m": {"adapter": f"mine.py:{method}" if method[0].isupper() else method}},
    }  # fmt: skip
    suite = Suite.from_dict(data, base=folder)
    (cell,) = suite.cells()
    problems = load_problems(suite, [cell], torch.device("cpu"), None, False)
    store = ResultsFolder(folder / "out", suite.describe())
    here = Machine(torch.device("cpu"), {"kind": "cpu", "name": "a processor", "threads": 1}, {}, None)
    record = run_cell(cell, store, *problems["tiny"], here, **keywords).record
    assert record is not None
    return record


def test_an_honest_method_is_believed(tmp_path: Path) -> None:
    record = run(tmp_path, "Honest")
    assert (record.status, record.reports) == ("complete", 3)
    assert verify(tmp_path / "out").sound


@pytest.mark.parametrize("method", LIES)
def test_an_incumbent_that_is_not_so_fails_the_cell(tmp_path: Path, method: str) -> None:
    record = run(tmp_path, method)
    assert record.status == "failed"
    assert LIES[method] in str(record.reason)
    assert record.reports == 0


@pytest.mark.parametrize("method", TRICKS)
def test_tampering_with_the_clock_fails_the_cell(tmp_path: Path, method: str) -> None:
    record = run(tmp_path, method)
    assert record.status == "failed"
    assert TRICKS[method] in str(record.reason)


def test_a_budget_that_a_method_has_changed_is_still_the_suites(tmp_path: Path) -> None:
    record = run(tmp_path, "OwnBudget", steps=10)
    reports = CellFiles(tmp_path / "out" / "cells" / "tiny" / "m" / "seed-0").reports()
    assert [report.incumbent for report in reports] == [True, False, False]
    assert record.incumbent == 0


def test_what_is_thought_again_after_an_interruption_is_no_trick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = CellFiles.append

    def stop(files: CellFiles, report: Any) -> None:
        if report.report == 3:
            raise KeyboardInterrupt
        append(files, report)

    monkeypatch.setattr(recorder, "CHECKPOINT_SHARE", 1e9)  # a checkpoint at each opportunity
    with monkeypatch.context() as patch:
        patch.setattr(CellFiles, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "ThinksLong", steps=60)
    record = run(tmp_path, "ThinksLong", steps=60)
    assert (record.status, record.resumed, record.reports) == ("complete", 1, 6)
    assert record.clock.records > 3 * 0.15


# ------------------------------------------------------------------------------------ what was trained

CONFIG = ProblemConfig.model_validate(
    {
        "dataset": "digits", "train_limit": 120, "test_limit": 60, "batch_size": 8, "horizon": 12,
        "space": {
            "lr": {"windows": 3, "low": 0.0, "high": 0.2},
            "momentum": {"initial": 0.5, "learn": False},
        },
    }
)  # fmt: skip


@pytest.mark.parametrize("method", ["Honest", "fds", "hd", "hyperband", "tpe", "pbt"])
def test_a_process_that_loses_the_cpu_between_any_two_readings_accuses_nobody(
    tmp_path: Path, method: str
) -> None:
    rng, passed = np.random.default_rng(0), [0.0]

    def crowded() -> float:
        passed[0] += float(rng.choice([1e-6, 1e-3, 2.0], p=[0.8, 0.15, 0.05]))
        return passed[0]

    record = run(tmp_path, method, steps=400, source=crowded)
    assert record.reason is None, record.reason
    assert record.clock.data > 0.0
    assert record.clock.elapsed > 10.0


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load_problem(CONFIG)[0]


def schedule(*lr: float) -> Schedule:
    return Schedule.of({"lr": lr, "momentum": 0.5, "weight_decay": 0.0})


def trained(problem: Problem, of: Schedule, **how: Any) -> tuple[Trainer, TrainState]:
    trainer = Trainer(problem, 0, Clock())
    return trainer, trainer.train(trainer.start(0), of, **how).state


TOLD = schedule(0.1, 0.05, 0.02)


def test_a_state_knows_what_it_was_trained_with(problem: Problem) -> None:
    _, state = trained(problem, TOLD)
    assert state.trained == [
        (0, 4, (0.1, 0.5, 0.0)), (4, 8, (0.05, 0.5, 0.0)), (8, 12, (0.02, 0.5, 0.0)),
    ]  # fmt: skip
    copied = state.clone()
    copied.took(12, (0.0, 0.0, 0.0))
    assert state.trained[-1] == (8, 12, (0.02, 0.5, 0.0))


@pytest.mark.parametrize("how", [{}, {"until": 5}, {"horizon": 6}, {"horizon": 7}])
def test_a_schedule_is_its_own_whole_begun_or_stretched(problem: Problem, how: dict[str, int]) -> None:
    _, state = trained(problem, TOLD, **how)
    assert untrue_schedule(TOLD, problem, state) == ""
    assert "lr was 0.1 at step 0, and 0.11 was reported" in untrue_schedule(
        schedule(0.11, 0.05, 0.02), problem, state
    )


def test_of_windows_to_come_nothing_is_asked(problem: Problem) -> None:
    _, state = trained(problem, TOLD, until=8)
    assert untrue_schedule(schedule(0.1, 0.05, 0.2), problem, state) == ""
    assert "0.06 was reported" in untrue_schedule(schedule(0.1, 0.06, 0.02), problem, state)


def test_what_was_gone_on_from_counts_as_well(problem: Problem) -> None:
    trainer, state = trained(problem, TOLD, until=4)
    went_on = schedule(0.2, 0.01, 0.01)
    trainer.train(state, went_on)
    assert untrue_schedule(schedule(0.1, 0.01, 0.01), problem, state) == ""
    assert "lr was 0.1 at step 0" in untrue_schedule(went_on, problem, state)


def test_values_that_moved_are_told_step_by_step(problem: Problem) -> None:
    trainer = Trainer(problem, 0, Clock())
    state = trainer.start(0)
    values = np.linspace(0.0, 0.11, 12)
    for step, lr in enumerate(values):
        state.took(step, (float(lr), 0.5, 0.0))
    means = schedule(*values.reshape(3, 4).mean(1))
    found = trainer.evaluate(state)
    told = Report(means, found, state, values=values[:, None])
    assert untrue(told, problem, found) == ""
    assert "lr was 0 at step 0" in untrue(replace(told, values=values[::-1, None]), problem, found)
    assert "report them step by step" in untrue(replace(told, values=None), problem, found)


def test_of_what_nobody_knows_nothing_is_said(problem: Problem) -> None:
    _, state = trained(problem, TOLD)
    assert untrue_schedule(schedule(0.2, 0.2, 0.2), problem, replace(state, trained=None)) == ""
    moved = Trainer(problem, 0, Clock()).start(0)
    moved.took(0, torch.tensor([0.1, 0.5, 0.0]))
    assert moved.trained is None


@pytest.mark.parametrize(
    ("loss", "accuracy", "said"),
    [
        (1 + 1e-6, 0.0, False),  # other batch sizes, other precision
        (1 + 1e-3, 0.0, True),
        (1.0, 1.0, False),  # one example on the line
        (1.0, 2.0, True),
        (0.01, 0.0, True),
    ],
)
def test_evaluations_agree_but_for_rounding(
    problem: Problem, loss: float, accuracy: float, said: bool
) -> None:
    trainer, state = trained(problem, TOLD)
    found = trainer.evaluate(state)
    told = Evaluation(found.loss * loss, found.metric + accuracy / problem.validation_size)
    assert bool(untrue(Report(TOLD, told, state), problem, found)) is said
