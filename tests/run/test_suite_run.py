"""Runs: fair clocks, kept budgets, one failure that ends nothing, interruptions that cost little."""

from __future__ import annotations

import gc
import json
import math
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.method import Task
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.schema import APPEARANCE, TRAITS, FinalRecord, ReportRecord, RunRecord
from hpobench_fds.run import recorder
from hpobench_fds.run import suite_run as runner
from hpobench_fds.run.backends import shared_data
from hpobench_fds.run.backends.shared_data import share
from hpobench_fds.run.cell_run import run_cell
from hpobench_fds.run.honesty import Honesty
from hpobench_fds.run.machine import Machine, describe_machine, find_device
from hpobench_fds.run.referee import FullTrainer, Referee
from hpobench_fds.run.suite_run import load_problems, run_suite
from hpobench_fds.run.watcher import CellResult, Quiet, RunSummary
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.config import Suite
from hpobench_fds.training.problem import ProblemConfig, load_data
from hpobench_fds.training.state import Evaluation
from hpobench_fds.training.trainer import Trainer, Training

METHODS = '''
from hpobench_fds.method import AskTell, Method, Proposal
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.trainer import Evaluation

class AlwaysFails(Method):
    name = "always_fails"
    def run(self, task):
        raise ValueError("two\\nlines of woe")

class FailsAtThird(AskTell):
    """Its third trial raises."""
    name = "fails_at_third"
    asked = 0
    def ask(self, task):
        self.asked += 1
        if self.asked == 3:
            raise RuntimeError("third trial")
        return Proposal(task.space.sample(task.rng))

class Probe(AskTell):
    """Tells what it was given: initialisation, batches and validation data of each trial."""
    name = "probe"
    def ask(self, task):
        self.trial = getattr(self, "trial", -1) + 1
        start = task.trainer.start(self.trial)
        data = task.trainer.data(self.trial)
        seen = {"w": start.w.sum().item(), "validation": data.x_validation.sum().item(),
                "batches": [data.order.batch(step).tolist() for step in (0, 1, 9)]}
        return Proposal(task.space.sample(task.rng), extra=seen)

class OtherProbe(Probe):
    name = "other_probe"

class Skips(Method):
    name = "skips"
    def skip(self, problem):
        return f"not for {problem.name}"
    def run(self, task):
        raise AssertionError("it said that it cannot run")

class Scripted(Method):
    """Reports evaluations from a list, whatever the truth is."""
    name = "scripted"
    class Options(Method.Options):
        model_config = {"allow_inf_nan": True}
        losses: list[float] = []
        accuracies: list[float] = []
        fidelities: list[float] = []
        without_state: bool = False
        outside: bool = False
        extra_object: bool = False
    def run(self, task):
        o = self.options
        for i, loss in enumerate(o.losses):
            accuracy = o.accuracies[i] if o.accuracies else 0.5
            vector = task.space.low + (5.0 if o.outside else 0.01 * i)
            state = None if o.without_state else task.trainer.start(i)
            fidelity = o.fidelities[i] if o.fidelities else 1.0
            task.report(task.space.from_vector(vector), Evaluation(loss, accuracy), state=state,
                        fidelity=fidelity, extra={"x": object()} if o.extra_object else {})

class Quits(Method):
    name = "quits"
    greedy = exact = True
    searches = False
    label, color = "It quits", "#123456"
    def run(self, task):
        raise SystemExit(0)

class Global(Method):
    """Draws from the global streams, as some libraries do."""
    name = "global"
    def run(self, task):
        import random, numpy, torch
        draws = {"python": random.random(), "numpy": numpy.random.rand(), "torch": torch.rand(()).item()}
        task.report(task.space.initial, Evaluation(float("inf"), 0.0), state=None, extra=draws)

class Impure(Method):
    name = "impure"
    def run(self, task):
        task.checkpoint({"history": [object()]})
'''


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are taken as they are told: what a test has scripted is not so."""
    monkeypatch.setattr(Honesty, "check", lambda self, report: None)


class FakeTime:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


def suite_data(**methods: Any) -> dict[str, Any]:
    """A tiny suite; a method is given by its class in METHODS and its options."""
    return {
        "name": "tiny",
        "seeds": [0],
        "device": "cpu",
        "budget": {"steps": 40},
        "problems": {
            "tiny": {
                "dataset": "digits",
                "train_limit": 120,
                "test_limit": 60,
                "batch_size": 8,  # an inner epoch, and so the next look at the budget, is beyond the horizon
                "horizon": 10,
                "space": {
                    "lr": {"windows": 2, "low": 0.0, "high": 0.2},
                    "momentum": {"low": 0.0, "high": 0.9},
                },
            }
        },
        "methods": methods or {"random_search": {}},
    }


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # on matrices this small more threads only wait for each other


class World:
    """A suite's folder with the methods above, and ways to run cells of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(METHODS)

    def suite(self, changes: dict[str, Any] | None = None, **methods: Any) -> Suite:
        named = {
            label: {"adapter": f"mine.py:{label}", **options} if label[0].isupper() else options
            for label, options in methods.items()
        }
        return Suite.from_dict({**suite_data(**named), **(changes or {})}, base=self.folder)

    def run(self, suite: Suite, out: str = "out", **keywords: Any) -> RunSummary:
        return run_suite(suite, self.folder / out, **keywords)

    def cell(self, suite: Suite, out: str = "out", **keywords: Any) -> tuple[RunRecord, list[ReportRecord]]:
        """Run the suite's only cell by itself."""
        (cell,) = suite.cells()
        store = ResultsFolder(self.folder / out, suite.describe())
        problems = load_problems(suite, [cell], torch.device("cpu"), None, False)
        run_cell(cell, store, *problems[cell.problem], MACHINE, **keywords)
        return self.read(cell, out)

    def files(self, cell: Cell, out: str = "out") -> CellFiles:
        return CellFiles(self.folder / out / "cells" / cell.problem / cell.method / f"seed-{cell.seed}")

    def read(self, cell: Cell, out: str = "out") -> tuple[RunRecord, list[ReportRecord]]:
        files = self.files(cell, out)
        record = files.record()
        assert record is not None
        return record, files.reports()


MACHINE = Machine(torch.device("cpu"), {"kind": "cpu", "name": "test", "threads": 1}, {}, None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Time in which a training takes a second, and nothing else takes any."""
    time = FakeTime()
    train = Trainer.train

    def timed(self: Trainer, *arguments: Any, **keywords: Any) -> Training:
        time.now += 1
        return train(self, *arguments, **keywords)

    monkeypatch.setattr(Trainer, "train", timed)
    return time


def without_clock(reports: list[ReportRecord]) -> list[dict[str, Any]]:
    return [report.model_dump(exclude={"seconds"}) for report in reports]


# ----------------------------------------------------------------------------------------- a plain run


def test_what_a_method_s_class_says_of_it_is_recorded(world: World) -> None:
    record, _ = world.cell(world.suite(Quits={}))
    assert record.traits == {
        "greedy": True, "exact": True, "truncated": False, "multi_fidelity": False, "searches": False
    }  # fmt: skip
    assert record.appearance == {"label": "It quits", "color": "#123456", "marker": None}
    assert list(record.traits) == list(TRAITS)
    assert list(record.appearance) == list(APPEARANCE)


def test_a_run_is_recorded_in_full(world: World) -> None:
    suite = world.suite(random_search={})
    record, reports = world.cell(suite)
    assert (record.status, record.stopped, record.reason, record.family) == (
        "complete",
        "budget",
        None,
        "black box",
    )
    assert record.schedule_names == ["lr[0]", "lr[1]", "momentum[0]"]
    assert record.budget == {"seconds": None, "steps": 40, "gradient_equivalents": None}
    assert record.reports == len(reports) == 4
    assert record.cost.inner_steps == reports[-1].cost.inner_steps == 40
    assert [report.report for report in reports] == [0, 1, 2, 3]
    best = min(reports, key=lambda report: report.val_loss)
    assert record.incumbent == best.report
    assert record.final is not None
    clock = record.clock
    assert clock.booked == pytest.approx(clock.elapsed, abs=1e-9)
    assert min(clock.method, clock.referee, clock.records, clock.data) > 0
    assert (world.files(suite.cells()[0]).folder / "checkpoint.pt").exists()  # for a larger budget


def test_the_machine_is_recorded() -> None:
    machine = describe_machine(torch.device("cpu"))
    assert machine.description["kind"] == "cpu"
    assert machine.description["name"]
    assert machine.description["threads"] == torch.get_num_threads()
    assert machine.software["torch"] == torch.__version__


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize(
    ("losses", "fidelities", "incumbents"),
    [
        ([0.3, 0.5, 0.4], [0.1, 1.0, 1.0], [0, 1, 2]),  # a higher fidelity wins, whatever its loss
        ([0.5, 0.3, 0.4], [1.0, 1.0, 0.1], [0, 1]),
        ([0.5, 0.1, 0.3], [1.0, 0.9, 1.0], [0, 2]),  # a lower one never does
        ([0.3, 0.5, 0.4, 0.2], [0.1, 0.3, 0.3, 0.1], [0, 1, 2]),  # none was trained whole
        ([0.3, math.inf, 0.2], [0.1, 1.0, 0.1], [0, 2]),  # what diverged is nobody's choice, and no mark
    ],
)
def test_the_incumbent_is_the_best_of_those_trained_longest(
    world: World, losses: list[float], fidelities: list[float], incumbents: list[int]
) -> None:
    record, reports = world.cell(world.suite(Scripted={"losses": losses, "fidelities": fidelities}))
    assert record.final is not None
    assert [report.report for report in reports if report.incumbent] == incumbents
    assert (record.incumbent, record.final.report) == (incumbents[-1], incumbents[-1])
    assert record.incumbent_rule == "best of the longest trained"


def test_frames_of_a_run_have_a_row_a_report_and_a_row_a_cell(world: World) -> None:
    folder = world.run(world.suite(random_search={}, Probe={})).folder
    assert len(load_results(folder)) == 8
    assert load_runs(folder)["method"].tolist() == ["Probe", "random_search"]


def test_same_seed_same_records_another_seed_others(world: World) -> None:
    suite = world.suite(random_search={})
    first, again = world.cell(suite, "first"), world.cell(suite, "again")
    other = world.cell(world.suite({"seeds": [1]}, random_search={}), "other")
    assert without_clock(first[1]) == without_clock(again[1])
    assert first[0].final == again[0].final
    assert first[1][0].schedule != other[1][0].schedule
    assert first[0].final != other[0].final


def test_the_global_streams_are_the_seeds_too(world: World) -> None:
    def draws(seed: int, out: str) -> dict[str, Any]:
        return world.cell(world.suite({"seeds": [seed]}, Global={}), out)[1][0].extra

    first, again, other = draws(0, "first"), draws(0, "again"), draws(1, "other")
    assert first == again
    assert all(first[stream] != other[stream] for stream in ("python", "numpy", "torch"))


def test_methods_see_the_same_data_and_initialisation_trial_by_trial(world: World) -> None:
    suite = world.suite({"seeds": [0, 1]}, Probe={}, OtherProbe={})
    world.run(suite)
    extra, schedules = {}, {}
    for cell in suite.cells():
        reports = world.read(cell)[1]
        extra[cell.method, cell.seed] = [report.extra for report in reports]
        schedules[cell.method, cell.seed] = [report.schedule for report in reports]
    for seed in (0, 1):
        assert extra["Probe", seed] == extra["OtherProbe", seed]
        assert schedules["Probe", seed] != schedules["OtherProbe", seed]  # their own thinking is their own
    for key in ("w", "validation", "batches"):
        draws = [trial[key] for seed in (0, 1) for trial in extra["Probe", seed]]
        assert all(a != b for i, a in enumerate(draws) for b in draws[:i])


# ---------------------------------------------------------------------------- the clock and the budget


def test_a_slow_referee_and_slow_records_do_not_move_the_methods_clock(
    world: World, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = world.suite({"budget": {"seconds": 3.5}}, random_search={})
    _, plain = world.cell(suite, "plain", source=time)

    def slow_measure(self: Referee, state: object) -> Evaluation:
        time.now += 100
        return Evaluation(1.0, 0.5)

    def slow_append(self: CellFiles, report: ReportRecord) -> None:
        time.now += 1000
        append(self, report)

    append = CellFiles.append
    monkeypatch.setattr(Referee, "measure", slow_measure)
    monkeypatch.setattr(CellFiles, "append", slow_append)
    record, slow = world.cell(suite, "slow", source=time)
    assert [report.seconds for report in slow] == [report.seconds for report in plain] == [1, 2, 3, 4]
    measured = sum(report.incumbent for report in slow)
    retrained = 1 if slow[-1].incumbent else 2
    assert record.clock.method == 4
    assert record.clock.records == 4 * 1000
    assert record.clock.referee == 100 * (measured + retrained) + retrained
    assert record.clock.elapsed == record.clock.booked


def test_what_comes_after_the_budget_is_recorded_but_is_no_incumbent(
    world: World, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each trial is better than the one before; the best comes at 3 s.
    monkeypatch.setattr(Trainer, "evaluate", lambda self, state: Evaluation(10.0 - state.trial, 0.5))
    record, reports = world.cell(world.suite({"budget": {"seconds": 2.5}}, random_search={}), source=time)
    assert [report.incumbent for report in reports] == [True, True, False]
    assert record.incumbent == 1


def test_whatever_a_budget_of_steps_does_not_cover_is_no_incumbent_either(world: World) -> None:
    record, reports = world.cell(world.suite({"budget": {"steps": 5}}, random_search={}))
    assert [report.cost.inner_steps for report in reports] == [10]
    assert record.incumbent is None


def test_epochs_of_a_budget_become_inner_steps_of_the_problem(world: World) -> None:
    record, _ = world.cell(world.suite({"budget": {"epochs": 3}}, random_search={}))
    assert record.budget["steps"] == 3 * (108 // 8)  # 12 of 120 examples are validation's


# --------------------------------------------------------------------------------------- the incumbent

INF, NAN = math.inf, math.nan


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize(
    ("objective", "losses", "accuracies", "incumbents"),
    [
        ("val_loss", [3.0, 2.0, 2.5, 1.0], [0.9, 0.1, 0.9, 0.1], [True, True, False, True]),
        ("val_accuracy", [3.0, 2.0, 2.5, 1.0], [0.5, 0.4, 0.6, 0.5], [True, False, True, False]),
        ("val_loss", [2.0, 2.0], [0.1, 0.9], [True, False]),  # ties keep the earlier
        ("val_accuracy", [2.0, 1.0], [0.5, 0.5], [True, False]),
        ("val_loss", [INF, 3.0, NAN, -INF], [0.9] * 4, [False, True, False, False]),
        ("val_accuracy", [INF, 3.0, INF, 1.0], [0.9, 0.2, 0.9, NAN], [False, True, False, False]),
        ("val_loss", [0.0, 0.0], [0.5, 0.5], [True, False]),  # zero is a loss
    ],
)
def test_the_incumbent_is_the_best_by_the_objective(
    world: World, objective: str, losses: list[float], accuracies: list[float], incumbents: list[bool]
) -> None:
    suite = world.suite(Scripted={"losses": losses, "accuracies": accuracies})
    data = suite_data(Scripted={"adapter": "mine.py:Scripted", "losses": losses, "accuracies": accuracies})
    data["problems"]["tiny"]["objective"] = objective
    suite = Suite.from_dict(data, base=world.folder)
    record, reports = world.cell(suite)
    assert [report.incumbent for report in reports] == incumbents
    assert record.incumbent == max(i for i, incumbent in enumerate(incumbents) if incumbent)
    assert [report.test_metric is not None for report in reports] == incumbents  # measured then and only then


@pytest.mark.parametrize("losses", [[], [INF, NAN]])
def test_without_an_incumbent_there_is_no_last_word_but_a_reason(world: World, losses: list[float]) -> None:
    record, reports = world.cell(world.suite(Scripted={"losses": losses}))
    assert (record.status, record.final, record.incumbent) == ("complete", None, None)
    assert record.reason == "no finite evaluation within the budget"
    assert len(reports) == len(losses)


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("without_state", "without its trained state"),
        ("outside", "outside the space"),
        ("extra_object", "extra['x'] is a object"),
    ],
)
def test_a_report_that_cannot_be_judged_fails_the_run(world: World, option: str, said: str) -> None:
    record, reports = world.cell(world.suite(Scripted={"losses": [1.0], option: True}))
    assert record.status == "failed"
    assert said in str(record.reason)
    assert reports == []


# -------------------------------------------------------------------------------------------- failures


def test_a_failure_is_recorded_and_the_others_go_on(world: World) -> None:
    suite = world.suite(AlwaysFails={}, FailsAtThird={}, random_search={})
    summary = world.run(suite)
    assert [result.verdict for result in summary.results] == ["failed", "failed", "complete"]
    assert summary.exit_code == 1
    always, third, _ = suite.cells()
    record, reports = world.read(always)
    assert (record.status, record.reason, reports) == ("failed", "ValueError: two lines of woe", [])
    assert "Traceback" in (world.files(always).folder / "error.txt").read_text()
    record, reports = world.read(third)
    assert (record.status, record.reason) == ("failed", "RuntimeError: third trial")
    assert len(reports) == record.reports == 2  # what it had reported stays
    assert record.clock.elapsed > 0


def test_a_method_that_leaves_python_has_failed(world: World) -> None:
    record, _ = world.cell(world.suite(Quits={}))
    assert (record.status, record.reason) == ("failed", "SystemExit: 0")


def test_a_checkpoint_that_is_no_plain_data_fails_at_once(world: World) -> None:
    record, _ = world.cell(world.suite(Impure={}))
    assert record.status == "failed"
    assert "state['state']['history'][0] is a builtins.object, not plain data" in str(record.reason)


def test_failed_cells_are_run_again_only_when_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = world.suite(FailsAtThird={}, random_search={})
    world.run(suite)
    again = world.run(suite)
    assert [result.verdict for result in again.results] == ["failed before", "complete before"]
    assert again.exit_code == 1
    # The same file with the fault mended.
    (world.folder / "mine.py").write_text(METHODS.replace("self.asked == 3", "self.asked == 99"))
    mended = world.run(suite, retry_failed=True)
    assert [result.verdict for result in mended.results] == ["complete", "complete before"]
    record, reports = world.read(suite.cells()[0])
    assert (record.status, record.reason, len(reports)) == ("complete", None, 4)
    assert not (world.files(suite.cells()[0]).folder / "error.txt").exists()


def test_a_method_that_does_not_fit_a_problem_says_so_and_is_not_run(world: World) -> None:
    record, reports = world.cell(world.suite(Skips={}))
    assert (record.status, record.stopped, record.reason) == ("complete", "skipped", "not for tiny")
    assert (reports, record.final) == ([], None)


# -------------------------------------------------------------------------------------------- going on


def interrupt_training(
    monkeypatch: pytest.MonkeyPatch, number: int, trainer: type[Trainer] = Trainer
) -> None:
    """Ctrl-C during the ``number``-th training."""
    train, calls = trainer.train, []

    def interrupted(self: Trainer, *arguments: Any, **keywords: Any) -> Training:
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return train(self, *arguments, **keywords)

    monkeypatch.setattr(trainer, "train", interrupted)


@pytest.mark.parametrize("method", ["random_search", "fds"])
@pytest.mark.parametrize(
    "damage", ["none", "a line too many", "half a line", "crashed", "an earlier version's checkpoint"]
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, damage: str
) -> None:
    suite = world.suite(**{method: {}})
    whole, whole_reports = world.cell(suite, "whole")
    (cell,) = suite.cells()
    files = world.files(cell)

    def stop(self: CellFiles, report: ReportRecord) -> None:
        if report.report == 3:
            raise KeyboardInterrupt
        append(self, report)

    append = CellFiles.append
    with monkeypatch.context() as patch:
        patch.setattr(CellFiles, "append", stop)
        patch.setattr(recorder, "CHECKPOINT_SHARE", 1e9)  # a checkpoint at each opportunity
        with pytest.raises(KeyboardInterrupt):
            world.cell(suite)
    record, reports = world.read(cell)
    assert (record.status, len(reports)) == ("interrupted", 3)
    if damage == "a line too many":
        files.append(reports[0])
    if damage == "half a line":
        with (files.folder / "trace.jsonl").open("a") as file:
            file.write('{"report": 3, "sec')
    if damage == "an earlier version's checkpoint":
        state = files.load_checkpoint()
        assert state is not None
        known = {name: state["clock"][name] for name in ("method", "referee", "records", "elapsed")}
        files.save_checkpoint({**state, "clock": {**known, "compile": 0.0}})
    if damage == "crashed":
        files.write_record(record.model_copy(update={"status": "running"}))

    record, reports = world.cell(suite)
    assert (record.status, record.resumed) == ("complete", 1)
    assert without_clock(reports) == without_clock(whole_reports)
    assert (record.final, record.cost) == (whole.final, whole.cost)
    seconds = [report.seconds for report in reports]
    assert seconds == sorted(seconds)


def test_the_budget_counts_what_was_spent_before_the_interruption(
    world: World, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = world.suite({"budget": {"seconds": 4.5}}, random_search={})
    with monkeypatch.context() as patch:
        interrupt_training(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            world.cell(suite, source=time)
    time.now = -1e6  # another process, another origin
    record, reports = world.cell(suite, source=time)
    assert [report.seconds for report in reports] == [1, 2, 3, 4, 5]
    assert record.clock.method == 5


def test_a_run_that_left_no_checkpoint_starts_afresh(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = world.suite(random_search={})
    with monkeypatch.context() as patch:
        interrupt_training(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            world.cell(suite)
    (world.files(suite.cells()[0]).folder / "checkpoint.pt").unlink(missing_ok=True)
    record, reports = world.cell(suite)
    assert (record.status, record.resumed, len(reports), record.cost.inner_steps) == ("complete", 0, 4, 40)


def test_an_interrupted_referee_alone_is_repeated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = world.suite(random_search={})
    whole, whole_reports = world.cell(suite, "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Referee, "final", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.cell(suite)
    (world.folder / "out/cells/tiny/random_search/seed-0/checkpoint.pt").unlink()  # not needed any more
    with monkeypatch.context() as patch:
        patch.setattr(Task, "train", None)  # whoever trains on fails
        record, reports = world.cell(suite)
    assert (record.status, record.stopped, record.final) == ("complete", "budget", whole.final)
    assert without_clock(reports) == without_clock(whole_reports)
    assert record.cost == whole.cost


def test_a_crash_of_the_referee_finds_the_end_of_the_method_on_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only a handler would write is lost when the process is killed."""
    suite = world.suite(random_search={})
    on_disk: list[RunRecord] = []
    final = Referee.final

    def watched(self: Referee, *schedules: Any) -> FinalRecord:
        on_disk.append(world.read(suite.cells()[0])[0])
        return final(self, *schedules)

    monkeypatch.setattr(Referee, "final", watched)
    world.cell(suite)
    (record,) = on_disk
    assert (record.status, record.stopped, record.reports) == ("running", "budget", 4)


def test_a_cell_whose_process_dies_without_getting_further_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that takes all memory of the machine: it must not be tried on each resume for ever."""
    suite = world.suite(random_search={})
    cell = suite.cells()[0]

    def dies(self: Trainer, *arguments: Any, **keywords: Any) -> Training:
        raise Died

    class Died(BaseException):
        """As sudden as SIGKILL: nothing is written after it."""

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", dies)
        for attempt in (1, 2, 3):
            with pytest.raises(Died):
                world.cell(suite)
            assert (world.read(cell)[0].status, world.read(cell)[0].attempts) == ("running", attempt)
        record, _ = world.cell(suite)
    assert (record.status, record.reason) == (
        "failed",
        "GivenUp: its process died 3 times without getting any further",
    )
    (result,) = world.run(suite, retry_failed=True).results
    assert result.verdict == "complete"
    assert result.record is not None
    assert result.record.attempts == 1


def test_a_cell_that_gets_further_each_time_is_not_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = world.suite(random_search={})
    monkeypatch.setattr(recorder, "CHECKPOINT_SHARE", 1e9)  # a checkpoint at each opportunity

    class Died(BaseException):
        pass

    for _ in range(3):
        with monkeypatch.context() as patch:
            calls: list[int] = []
            train = Trainer.train

            def dies_in_its_second(  # behind that of the warm-up
                self: Trainer, *arguments: Any, calls: list[int] = calls, train: Any = train, **keywords: Any
            ) -> Training:
                calls.append(1)
                if len(calls) == 3:
                    raise Died
                training: Training = train(self, *arguments, **keywords)
                return training

            patch.setattr(Trainer, "train", dies_in_its_second)
            with pytest.raises(Died):
                world.cell(suite)
        assert world.read(suite.cells()[0])[0].attempts == 1
    record, reports = world.cell(suite)
    assert (record.status, record.resumed, len(reports)) == ("complete", 3, 4)


def test_half_written_files_of_a_killed_process_are_cleared_away(world: World) -> None:
    suite = world.suite(random_search={})
    folder = world.files(suite.cells()[0]).folder
    folder.mkdir(parents=True)
    (folder / ".checkpoint.pt.12345.tmp").write_bytes(b"half of it")
    ResultsFolder(world.folder / "fresh", suite.describe())
    (world.folder / "out" / "suite.json").write_text((world.folder / "fresh" / "suite.json").read_text())
    world.run(suite)
    assert not list(folder.glob("*.tmp"))
    assert not list(folder.glob(".*.tmp"))


def test_completed_cells_are_skipped_and_left_as_they_are(world: World) -> None:
    suite = world.suite(random_search={})
    folder = world.run(suite).folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert [result.verdict for result in world.run(suite).results] == ["complete before"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_a_cell_that_another_runner_holds_is_left_alone(world: World) -> None:
    suite = world.suite(random_search={})
    lock = world.files(suite.cells()[0]).lock()
    ResultsFolder(world.folder / "fresh", suite.describe())
    (world.folder / "out" / "suite.json").write_text((world.folder / "fresh" / "suite.json").read_text())
    assert [result.verdict for result in world.run(suite).results] == ["held"]
    lock.release()
    assert [result.verdict for result in world.run(suite).results] == ["complete"]


def test_a_cell_of_another_configuration_is_refused(world: World) -> None:
    suite = world.suite(random_search={})
    world.run(suite)
    path = world.files(suite.cells()[0]).folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config_hash": "other"}))
    with pytest.raises(InputError, match=r"tiny/random_search/seed-0 was run with another configuration"):
        world.run(suite)


def test_more_seeds_are_added_to_what_is_there(world: World) -> None:
    suite = world.suite(random_search={})
    world.run(suite)
    more = world.run(suite, seeds="0-1")
    assert [result.verdict for result in more.results] == ["complete before", "complete"]


def test_checkpoints_take_a_small_share_of_the_time(world: World, time: FakeTime, monkeypatch: Any) -> None:
    saves = []

    def slow(self: CellFiles, state: object) -> None:
        saves.append(time.now)
        time.now += 0.5

    monkeypatch.setattr(CellFiles, "save_checkpoint", slow)
    world.cell(world.suite({"budget": {"seconds": 45.5}}, random_search={}), source=time)
    gaps = [later - earlier for earlier, later in pairwise(saves)]
    assert len(saves) > 3
    assert min(gaps) >= 0.5 / 0.05


# ------------------------------------------------------------------------------------------- preparing


def test_nothing_is_written_when_the_input_is_refused(world: World, tmp_path: Path) -> None:
    suite = world.suite({"device": "cuda:99"}, random_search={})
    with pytest.raises(InputError, match="cuda:99"):
        world.run(suite)
    data = suite_data()
    data["problems"]["tiny"] |= {"batch_size": 5000}
    with pytest.raises(InputError, match=r"suite: problems\.tiny: batch_size: 5000"):
        run_suite(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The data sets that are loaded from now on."""
    seen: list[str] = []

    def counted(config: ProblemConfig, **keywords: Any) -> Any:
        seen.append(config.dataset)
        return load_data(config, **keywords)

    monkeypatch.setattr(runner, "load_data", counted)
    return seen


def test_data_is_loaded_once_a_problem_and_not_at_all_when_all_is_done(
    world: World, loads: list[str]
) -> None:
    suite = world.suite({"seeds": [0, 1]}, random_search={}, Probe={})
    world.run(suite)
    world.run(suite)
    assert loads == ["digits"]


def of_horizons(**others: dict[str, Any]) -> Suite:
    """A suite of problems that are alike but for their horizons, and others that differ in more."""
    data = suite_data(random_search={})
    tiny = data["problems"]["tiny"]
    alike = {f"horizon-{n}": {**tiny, "horizon": n} for n in (20, 30, 40)}
    data["problems"] = alike | {name: {**tiny, **changed} for name, changed in others.items()}
    return Suite.from_dict(data)


def test_problems_that_differ_in_what_is_no_data_share_the_data_s_memory(loads: list[str]) -> None:
    suite = of_horizons(fewer={"train_limit": 300}, double={"dtype": "float64"})
    problems = load_problems(suite, suite.cells(), torch.device("cpu"), None, False)
    first, second, third, fewer, double = (problem for problem, _ in problems.values())
    assert len({p.x.data_ptr() for p in (first, second, third)}) == 1
    assert len({p.x.data_ptr() for p in (first, fewer, double)}) == 3
    assert (len(fewer.y), double.x.dtype) == (300, torch.float64)
    assert len(loads) == 3


def test_processes_of_cells_share_one_copy_of_the_data_of_all_such_problems() -> None:
    suite = of_horizons(double={"dtype": "float64"})
    shared = share(load_problems(suite, suite.cells(), torch.device("cpu"), None, False))
    assert len({id(one.x) for one in shared.values()}) == 2
    assert {name: one.build(torch.device("cpu"))[0].horizon for name, one in shared.items()} == {
        "horizon-20": 20, "horizon-30": 30, "horizon-40": 40, "double": suite.problems["double"][0].horizon,
    }  # fmt: skip
    assert shared["double"].build(torch.device("cpu"))[0].dtype == torch.float64


@pytest.mark.parametrize("isolate", [False, True], ids=["here", "apart"])
def test_data_are_let_go_after_the_last_cell_that_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolate: bool
) -> None:
    held, at_ends = list[Any](), []

    class Look(Quiet):
        def end(self, result: CellResult) -> None:
            gc.collect()
            at_ends.append([data() is not None for data in held])

    def seen(config: ProblemConfig, **keywords: Any) -> Any:
        held.append(weakref.ref((data := load_data(config, **keywords)).x_train))
        return data

    def seen_shared(problems: Any) -> Any:
        assert not isolate or [data() is not None for data in held] == [True, True]
        shared = share(problems)
        held[:] = [weakref.ref(shared[name].x) for name in ("single", "double")]
        return shared

    monkeypatch.setattr(runner, "load_data", seen)
    monkeypatch.setattr(shared_data, "share", seen_shared)
    data = suite_data(random_search={})
    tiny = data["problems"]["tiny"]
    data["problems"] = {"single": tiny, "double": {**tiny, "dtype": "float64"}}
    assert run_suite(data, tmp_path / "out", isolate=isolate, watch=Look()).count("complete") == 2
    gc.collect()
    at_first, at_second = at_ends
    assert at_first[1]
    assert not at_second[0]
    assert [data() for data in held] == [None, None]


def test_devices_are_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(find_device("auto")) == "cuda:0"
    assert str(find_device("cuda:1")) == "cuda:1"
    with pytest.raises(
        InputError, match=r"'cuda:2': there is no such device here \(allowed: auto, cpu, cuda, cuda:0"
    ):
        find_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(find_device("auto")) == "cpu"
    with pytest.raises(
        InputError, match=r"--device: 'cuda': there is no such device here \(allowed: auto, cpu\)"
    ):
        find_device("cuda", where="--device")
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        find_device("tpu")


def test_the_final_trainer_is_no_part_of_the_methods_cost(world: World) -> None:
    record, reports = world.cell(world.suite(random_search={}))
    assert record.cost == reports[-1].cost
    assert issubclass(FullTrainer, Trainer)
