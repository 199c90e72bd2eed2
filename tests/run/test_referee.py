"""The referee: alone with the test data, and true to the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hpobench_fds.methods.hd import HD
from torch import Tensor

from hpobench_fds.method import Report, Task
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.run.recorder import Ears, Recorder
from hpobench_fds.run.referee import FullTrainer, Referee, schedule_of
from hpobench_fds.schedule import Schedule
from hpobench_fds.suite.cell import BudgetConfig, Cell
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem, ProblemConfig, TestData, load_problem
from hpobench_fds.training.trainer import Trainer

CONFIG = ProblemConfig(dataset="digits", horizon=12, batch_size=16, train_limit=120, test_limit=60)
GOOD = Schedule.of({"lr": 0.1, "momentum": 0.5, "weight_decay": 0.0})
OTHER = Schedule.of({"lr": 0.05, "momentum": 0.5, "weight_decay": 0.0})
STILL = Schedule.of({"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0})


@pytest.fixture(scope="module")
def loaded() -> tuple[Problem, TestData]:
    torch.set_num_threads(1)
    return load_problem(CONFIG, name="tiny")


@pytest.fixture
def referee(loaded: tuple[Problem, TestData]) -> Referee:
    return Referee(*loaded, seed=0)


def test_it_measures_on_the_test_data(referee: Referee, loaded: tuple[Problem, TestData]) -> None:
    problem, test = loaded
    state = Trainer(problem, 0, Clock()).start(0)
    logits = problem.network.logits(state.w, test.x, state.buffers)
    measured = referee.measure(state)
    assert measured.metric == (logits.argmax(1) == test.y).double().mean().item()
    assert measured.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, test.y).item(), rel=1e-5)


def test_weights_that_are_not_finite_are_worth_nothing(referee: Referee, loaded: Any) -> None:
    state = Trainer(loaded[0], 0, Clock()).start(0)
    state.w.fill_(torch.nan)
    assert (referee.measure(state).loss, referee.measure(state).metric) == (float("inf"), 0.0)


def test_the_last_training_sees_every_example_and_validates_on_none(loaded: tuple[Problem, TestData]) -> None:
    problem, _ = loaded
    data = FullTrainer(problem, 0).data(0)
    steps = len(problem.y) // problem.batch_size
    seen = torch.cat([data.order.batch(step) for step in range(steps)])
    # One epoch drops the incomplete batch alone.
    assert len(set(seen.tolist())) == len(seen) == steps * problem.batch_size == 112
    over_epochs = torch.cat([data.order.batch(step) for step in range(20 * steps)])
    assert len(set(over_epochs.tolist())) == len(problem.y) == 120
    assert len(data.y_validation) == 0


def test_it_trains_from_scratch_over_the_whole_horizon(
    referee: Referee, loaded: tuple[Problem, TestData], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    train = Trainer.train

    def watched(self: Trainer, state: Any, *arguments: Any, **keywords: Any) -> Any:
        begin = state.step
        training = train(self, state, *arguments, **keywords)
        steps.append((begin, training.state.step, isinstance(self, FullTrainer)))
        return training

    monkeypatch.setattr(Trainer, "train", watched)
    referee.retrain(GOOD)
    assert steps == [(0, 12, True)]


def test_the_draw_is_the_seeds_own_and_the_same_for_every_schedule(loaded: tuple[Problem, TestData]) -> None:
    problem, test = loaded
    untrained, _ = Referee(problem, test, 0).retrain(STILL)  # with lr 0 this is the initialisation
    assert Referee(problem, test, 0).retrain(STILL)[0] == untrained
    assert Referee(problem, test, 1).retrain(STILL)[0] != untrained
    trials = [Trainer(problem, 0, Clock()).start(trial).w for trial in range(3)]
    final = FullTrainer(problem, 0).start(0).w
    assert not any(torch.equal(final, w) for w in trials)


def test_training_helps(referee: Referee) -> None:
    # 12 steps on 120 digits: some 60 % against 10 % by chance.
    assert referee.retrain(GOOD)[0].metric > referee.retrain(STILL)[0].metric + 0.2


def test_the_last_word_has_the_incumbent_and_the_last_schedule(referee: Referee) -> None:
    final = referee.final(GOOD, OTHER)
    good, other = referee.retrain(GOOD)[0], referee.retrain(OTHER)[0]
    assert good != other
    assert (final.test_loss, final.test_metric) == (good.loss, good.metric)
    assert (final.last_test_loss, final.last_test_metric) == (other.loss, other.metric)
    assert final.diverged_at is None


def test_the_last_training_may_have_a_horizon_of_its_own() -> None:
    config = CONFIG.model_copy(update={"final_epochs": 2.0})
    problem, test = load_problem(config, name="tiny")
    assert problem.horizon == CONFIG.horizon
    assert problem.final_horizon == 2 * (len(problem.y) // CONFIG.batch_size) != problem.horizon
    trainer = FullTrainer(problem, 0)
    state = trainer.start(0)
    trainer.train(state, GOOD, horizon=problem.final_horizon)
    referee = Referee(problem, test, 0)
    assert referee.retrain(GOOD)[0] == referee.measure(state)


def test_the_same_schedule_is_not_trained_twice(referee: Referee, trained: list[Any]) -> None:
    final = referee.final(GOOD, GOOD)
    assert trained == [(GOOD, 0)]
    assert (final.last_test_loss, final.last_test_metric) == (final.test_loss, final.test_metric)


def test_a_retraining_that_diverges_says_where(loaded: tuple[Problem, TestData]) -> None:
    wild = Schedule.of({"lr": 1e30, "momentum": 0.0, "weight_decay": 0.0})
    evaluation, diverged_at = Referee(*loaded, seed=0).retrain(wild)
    assert diverged_at is not None
    assert (evaluation.loss, evaluation.metric) == (float("inf"), 1 / 10)  # it guesses


# ------------------------------------------------------------------------------- out of methods' reach


def reachable(thing: object, seen: set[int]) -> Iterator[object]:
    """Everything that attributes and containers lead to."""
    if id(thing) in seen or isinstance(thing, (type, str, bytes, int, float, np.ndarray)):
        return
    seen.add(id(thing))
    yield thing
    parts: list[Any] = list(getattr(thing, "__dict__", {}).values())
    parts += [getattr(thing, slot, None) for slot in getattr(type(thing), "__slots__", ())]
    parts += [getattr(thing, "__self__", None)]  # of bound methods
    if isinstance(thing, dict):
        parts += [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        parts += thing
    for part in parts:
        yield from reachable(part, seen)


def test_no_attribute_of_a_task_leads_to_the_test_data(
    loaded: tuple[Problem, TestData], tmp_path: Any
) -> None:
    problem, test = loaded
    clock = Clock()
    referee = Referee(problem, test, 0)
    cell = Cell("s", "tiny", CONFIG, "m", "m", {}, 0, BudgetConfig(steps=1), tmp_path)
    recorder = Recorder(cell, problem, referee, CellFiles(tmp_path), clock, Budget(clock))
    task = Task(Trainer(problem, 0, clock, Budget(clock)), Ears(recorder), method_name="m")

    def holds_test_data(thing: object) -> bool:
        tensors = [part for part in reachable(thing, set()) if isinstance(part, Tensor)]
        return any(part.shape == test.x.shape and torch.equal(part, test.x) for part in tensors)

    assert holds_test_data(recorder)  # the walk does find it where it is
    assert any(part is problem.x for part in reachable(task, set()))
    assert not holds_test_data(task)


# ------------------------------------------------------------------------------ hyperparameters that moved


@pytest.fixture(scope="module")
def moved(loaded: tuple[Problem, TestData]) -> list[Report]:
    """Two trainings of HD, whose hyperparameters move at every step."""
    trainer, heard = Trainer(loaded[0], 0, Clock()), Heard()
    trainer.budget = Budget(trainer.clock, steps=30)
    HD().run(Task(trainer, heard, method_name="hd"))
    return heard.reports


def recorded(loaded: tuple[Problem, TestData], referee: Referee, folder: Path) -> tuple[Recorder, CellFiles]:
    """A recorder of a cell in a folder, and that cell's files."""
    clock, files = Clock(), CellFiles(folder)
    clock.start()
    cell = Cell("s", "tiny", CONFIG, "m", "m", {}, 0, BudgetConfig(steps=1000), folder)
    return Recorder(cell, loaded[0], referee, files, clock, Budget(clock)), files


class Heard:
    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def checkpoint(self, state: dict[str, Any]) -> None: ...


def test_values_of_each_step_are_what_was_trained(
    loaded: tuple[Problem, TestData], moved: list[Report]
) -> None:
    problem, _ = loaded
    trainer = Trainer(problem, 0, Clock())
    for trial, report in enumerate(moved):
        assert report.state is not None
        again = trainer.start(trial)
        trainer.train(again, report.trained(problem.space))
        assert torch.equal(again.w, report.state.w)
        trainer.train(means := trainer.start(trial), report.schedule)
        assert not torch.allclose(means.w, report.state.w, atol=1e-4)


def test_incumbents_are_recorded_and_retrained_with_their_values_of_each_step(
    loaded: tuple[Problem, TestData],
    referee: Referee,
    moved: list[Report],
    tmp_path: Path,
    trained: list[Any],
) -> None:
    problem, _ = loaded
    recorder, files = recorded(loaded, referee, tmp_path)
    for report in moved:
        recorder.report(report)
    for report, line in zip(moved, files.reports(), strict=True):
        assert (line.values is not None) == line.incumbent
        expected = report.trained(problem.space) if line.incumbent else report.schedule
        assert schedule_of(line, problem) == expected
    first = files.reports()[0]
    assert first.incumbent
    assert np.array(first.values).shape == (CONFIG.horizon, 3)
    referee.retrain(schedule_of(first, problem))
    assert len(trained[-1][0]["lr"]) == CONFIG.horizon


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values[:-1], "values of 11 steps, of a training of 12"),
        (lambda values: values[:, :2], "values of shape \\(12, 2\\) for 3 hyperparameters"),
        (lambda values: values + 2.0, "values of lr are outside \\[-1, 1\\]"),
        (lambda values: values * np.nan, "values of lr are outside"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    loaded: tuple[Problem, TestData], referee: Referee, moved: list[Report], tmp_path: Path,
    change: Any, said: str,
) -> None:  # fmt: skip
    recorder, files = recorded(loaded, referee, tmp_path)
    with pytest.raises(ValueError, match=said):
        recorder.report(replace(moved[0], values=change(moved[0].values)))
    assert files.reports() == []
