"""Going on elsewhere: segments are recorded, unlike ones refused where seconds count, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hpobench_fds.methods.random_search import RandomSearch
from real_run import SUITE

from hpobench_fds.method.contract import Method
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.records.verify import verify
from hpobench_fds.run import cell_run, recorder
from hpobench_fds.run.cell_run import run_cell
from hpobench_fds.run.machine import Machine
from hpobench_fds.run.suite_run import load_problems
from hpobench_fds.run.watcher import CellResult, RunSummary
from hpobench_fds.suite.config import Suite
from hpobench_fds.training.trainer import Trainer, Training

HERE = Machine(
    torch.device("cpu"), {"kind": "cpu", "name": "a processor", "threads": 2},
    {"torch": "2.1", "numpy": "1.26", "platform": "Linux"}, "a" * 40,
)  # fmt: skip
SECONDS, STEPS = {"seconds": 3.5}, {"steps": 40}


def described(**changes: Any) -> Machine:
    return replace(HERE, description={**HERE.description, **changes})


OTHERS: dict[str, tuple[Machine, str]] = {
    "device": (described(name="another"), "device a processor, now another"),
    "threads": (described(threads=1), "threads 2, now 1"),
    "jobs": (replace(HERE, jobs=4), "jobs 1, now 4"),
    "commit": (replace(HERE, commit="b" * 40), "commit aaaaaaaaaa, now bbbbbbbbbb"),
    "dirty": (replace(HERE, commit="a" * 40 + "-dirty"), "commit aaaaaaaaaa, now aaaaaaaaaa-dirty"),
    "torch": (replace(HERE, software={**HERE.software, "torch": "2.2"}), "torch 2.1, now 2.2"),
    "numpy": (replace(HERE, software={**HERE.software, "numpy": "2.0"}), "numpy 1.26, now 2.0"),
}


class Time:
    """Time in which a training takes a second, and nothing else any."""

    now = 10.0

    def __call__(self) -> float:
        return self.now


class World:
    """One cell, its folder, and ways to interrupt it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch, self.time = folder, patch, Time()
        train = Trainer.train

        def timed(trainer: Trainer, *arguments: Any, **keywords: Any) -> Training:
            self.time.now += 1.0
            return train(trainer, *arguments, **keywords)

        patch.setattr(Trainer, "train", timed)
        patch.setattr(recorder, "CHECKPOINT_SHARE", 1e9)  # a checkpoint at each opportunity

    def run(self, budget: dict[str, Any], machine: Machine = HERE, **keywords: Any) -> CellResult:
        data = {**SUITE, "seeds": [0], "budget": budget, "methods": {"random_search": {}}}
        suite = Suite.from_dict(data)
        (cell,) = suite.cells()
        problems = load_problems(suite, [cell], torch.device("cpu"), None, False)
        store = ResultsFolder(self.folder, suite.describe())
        return run_cell(cell, store, *problems[cell.problem], machine, source=self.time, **keywords)

    def interrupted(self, budget: dict[str, Any]) -> None:
        """Run up to its third report."""
        append = CellFiles.append

        def stop(files: CellFiles, report: Any) -> None:
            if report.report == 2:
                raise KeyboardInterrupt
            append(files, report)

        with self.patch.context() as patch:
            patch.setattr(CellFiles, "append", stop)
            with pytest.raises(KeyboardInterrupt):
                self.run(budget)

    @property
    def files(self) -> CellFiles:
        return CellFiles(self.folder / "cells" / "tiny" / "random_search" / "seed-0")

    @property
    def record(self) -> RunRecord:
        record = self.files.record()
        assert record is not None
        return record

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.files.folder.iterdir() if path.name != "lock"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    torch.set_num_threads(1)
    return World(tmp_path / "out", monkeypatch)


def test_each_segment_is_recorded(world: World) -> None:
    world.interrupted(SECONDS)
    assert world.run(SECONDS).verdict == "complete"
    first, second = world.record.segments
    assert (first.seconds, second.seconds) == (0.0, 2.0)
    for segment in (first, second):
        assert (segment.threads, segment.jobs, segment.kind, segment.name) == (2, 1, "cpu", "a processor")
        assert (segment.commit, segment.software) == ("a" * 40, HERE.software)
        assert segment.started
    assert not world.record.mixed_clock
    assert [f for f in verify(world.folder).findings if f.level == "error"] == []


@pytest.mark.parametrize("name", OTHERS)
def test_seconds_unlike_those_before_are_refused_and_nothing_is_touched(world: World, name: str) -> None:
    machine, said = OTHERS[name]
    world.interrupted(SECONDS)
    before = world.contents()
    assert "checkpoint.pt" in before
    result = world.run(SECONDS, machine)
    assert (result.verdict, result.record) == ("refused", world.record)
    assert said in str(result.why)
    assert all(choice in str(result.why) for choice in ("--out", "remove", "--mixed-clock"))
    assert len(str(result.why).splitlines()) == 1
    assert world.contents() == before
    assert RunSummary(world.folder, [result]).exit_code == 1
    assert world.run(SECONDS).verdict == "complete"  # where it began it goes on
    assert world.record.resumed == 1


def test_they_are_allowed_when_asked_which_is_recorded_and_noted(world: World) -> None:
    world.interrupted(SECONDS)
    assert world.run(SECONDS, OTHERS["threads"][0], mixed_clock=True).verdict == "complete"
    assert world.record.mixed_clock
    assert [segment.threads for segment in world.record.segments] == [2, 1]
    notes = [finding.message for finding in verify(world.folder).findings]
    assert any("--mixed-clock" in note for note in notes)


def test_like_segments_are_no_mixed_clock_even_if_it_is_allowed(world: World) -> None:
    world.interrupted(SECONDS)
    assert world.run(SECONDS, mixed_clock=True).verdict == "complete"
    assert not world.record.mixed_clock


@pytest.mark.parametrize("name", OTHERS)
def test_a_budget_in_steps_alone_goes_on_anywhere(world: World, name: str) -> None:
    world.interrupted(STEPS)
    assert world.run(STEPS, OTHERS[name][0]).verdict == "complete"
    assert (world.record.resumed, world.record.reports, len(world.record.segments)) == (1, 4, 2)
    assert not world.record.mixed_clock


def test_a_run_that_lacks_the_referees_word_alone_may_get_it_anywhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cell_run, "retrain_curve", stops)
        with pytest.raises(KeyboardInterrupt):
            world.run(SECONDS)
    assert world.run(SECONDS, OTHERS["commit"][0]).verdict == "complete"
    assert [segment.commit for segment in world.record.segments] == ["a" * 40, "b" * 40]
    assert world.record.segments[1].seconds == world.record.clock.method


def test_a_record_of_before_segments_is_compared_by_what_it_tells(world: World) -> None:
    world.interrupted(SECONDS)
    world.files.write_record(world.record.model_copy(update={"segments": []}))
    assert world.run(SECONDS, OTHERS["threads"][0]).verdict == "refused"
    assert world.run(SECONDS).verdict == "complete"
    assert len(world.record.segments) == 2


def breaks(*_: object, **__: object) -> None:
    raise RuntimeError("the adapter's file is broken for now")


@pytest.mark.parametrize("place", ["build", "warm-up"])
def test_a_start_that_is_not_sound_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    world.interrupted(SECONDS)
    before = world.contents()
    with monkeypatch.context() as patch:
        patch.setattr(cell_run, "_build" if place == "build" else "warm_up", breaks)
        assert world.run(SECONDS).verdict == "failed"
    after = world.contents()
    assert after["checkpoint.pt"] == before["checkpoint.pt"]
    assert after["trace.jsonl"] == before["trace.jsonl"]
    assert world.run(SECONDS, retry_failed=True).verdict == "complete"
    assert (world.record.resumed, world.record.reports) == (1, 4)


def test_a_new_attempt_drops_what_is_left_once_it_is_sound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.interrupted(SECONDS)
    (world.files.folder / "checkpoint.pt").write_bytes(b"no checkpoint")
    seen: list[bool] = []
    warm: Callable[..., None] = cell_run.warm_up

    def looks(method: Method, problem: Any) -> None:
        seen.append((world.files.folder / "trace.jsonl").exists())
        warm(method, problem)

    monkeypatch.setattr(cell_run, "warm_up", looks)
    assert world.run(SECONDS).verdict == "complete"
    assert seen == [True]
    assert (world.record.resumed, len(world.record.segments), world.record.reports) == (0, 1, 4)


def test_a_run_that_was_stopped_for_six_seconds_is_noted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = Trainer.evaluate

    def stopped(trainer: Trainer, state: Any) -> Any:
        if state.trial == 1:
            world.time.now += 6.0
        return evaluate(trainer, state)

    monkeypatch.setattr(Trainer, "evaluate", stopped)
    world.run({"seconds": 20.5})
    clock = world.record.clock
    assert clock.stalled is not None
    assert clock.stalled > 5.9
    notes = [finding.message for finding in verify(world.folder).findings]
    assert any("suspended" in note for note in notes)


# ------------------------------------------------------------------------------------- other libraries

NEWER = replace(HERE, software={**HERE.software, "torch": "2.2", "platform": "Linux 7"})


def test_a_run_limited_in_steps_goes_on_with_other_libraries_and_says_which(world: World) -> None:
    world.interrupted(STEPS)
    result = world.run(STEPS, NEWER)
    assert (result.verdict, result.why) == ("complete", "it began with torch 2.1, now 2.2")
    assert [segment.software["torch"] for segment in world.record.segments] == ["2.1", "2.2"]


def test_a_run_that_goes_on_with_the_same_libraries_says_nothing(world: World) -> None:
    world.interrupted(STEPS)
    assert world.run(STEPS).why is None


def test_a_checkpoint_that_other_libraries_wrote_and_these_cannot_read_is_kept(world: World) -> None:
    world.interrupted(STEPS)
    checkpoint = world.files.folder / "checkpoint.pt"
    good = checkpoint.read_bytes()
    checkpoint.write_bytes(b"of a format to come")
    before = world.contents()
    result = world.run(STEPS, NEWER)
    assert result.verdict == "refused"
    assert result.why is not None
    assert result.why.startswith(
        "its checkpoint cannot be read here, and it was written with torch 2.1, now 2.2"
    )
    assert world.contents() == before
    checkpoint.write_bytes(good)
    assert (world.run(STEPS).verdict, world.record.resumed) == ("complete", 1)


def test_a_checkpoint_that_is_garbage_to_the_libraries_that_wrote_it_costs_a_new_start(world: World) -> None:
    world.interrupted(STEPS)
    (world.files.folder / "checkpoint.pt").write_bytes(b"garbage")
    assert (world.run(STEPS).verdict, world.record.resumed) == ("complete", 0)


def test_a_state_that_a_method_cannot_restore_with_other_libraries_is_kept_for_those_that_wrote_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.interrupted(STEPS)
    checkpoint = (world.files.folder / "checkpoint.pt").read_bytes()
    with monkeypatch.context() as patch:

        def fails(*_: object) -> str:
            raise AttributeError("no such field in this version")

        patch.setattr(RandomSearch, "run", fails)
        assert world.run(STEPS, NEWER).verdict == "failed"
    assert world.record.reason == (
        "AttributeError: no such field in this version "
        "(it began with torch 2.1, now 2.2; its checkpoint is kept)"
    )
    assert (world.files.folder / "checkpoint.pt").read_bytes() == checkpoint
    assert world.run(STEPS, retry_failed=True).verdict == "complete"
    assert world.record.resumed == 2


def test_an_error_with_the_same_libraries_leaves_no_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.interrupted(STEPS)

    def fails(*_: object) -> str:
        raise AttributeError("wrong in any version")

    monkeypatch.setattr(RandomSearch, "run", fails)
    assert world.run(STEPS).verdict == "failed"
    assert not (world.files.folder / "checkpoint.pt").exists()
