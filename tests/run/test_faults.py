"""Runs that are killed, interrupted and run twice at once, with real processes: nothing is lost or torn."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.schema import ReportRecord, RunRecord
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite, load_suite

SUITE = """
name = "tiny"
seeds = [0]
device = "cpu"
budget.steps = 800

[problems.tiny]
dataset = "digits"
train_limit = 120
test_limit = 60
batch_size = 8
horizon = 9
space.lr = { windows = 2, low = 0.0, high = 0.2 }

[methods.fds]                     # an outer loop
outer.kind = "adam"
[methods.random_search]           # asked and told
[methods.hyperband]               # keeps states of trainings
"""

METHODS = '''
import ctypes, os, time
from hpobench_fds.method import AskTell, Method, Proposal

class Counted(AskTell):
    """Leaves a line for each time that it is run."""
    name = "counted"
    class Options(AskTell.Options):
        file: str = ""
    def setup(self, task):
        with open(self.options.file, "a") as file:
            file.write(f"seed {task.trainer.seed}\\n")
    def ask(self, task):
        return Proposal(task.space.sample(task.rng))

class Stuck(Method):
    """Never reports."""
    name = "stuck"
    def run(self, task):
        time.sleep(1000)

class Deaf(AskTell):
    """Does not hear that it should stop."""
    name = "deaf"
    asked = 0
    def ask(self, task):
        self.asked += 1
        while self.asked > 3:
            try:
                time.sleep(1000)
            except KeyboardInterrupt:
                pass
        return Proposal(task.space.sample(task.rng))

class HangsInC(AskTell):
    """Hangs where no Python runs, not even another thread's."""
    name = "hangs_in_c"
    asked = 0
    def ask(self, task):
        self.asked += 1
        while self.asked > 3:
            ctypes.PyDLL(None).sleep(1000)
        return Proposal(task.space.sample(task.rng))
'''


class World:
    """A folder with a suite, and real runners on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.name = f"HPOBENCH_TEST_{uuid.uuid4().hex}"  # in the environment of every process of a run
        (folder / "mine.py").write_text(METHODS)
        self.suite(SUITE)

    def suite(self, text: str, **methods: str) -> None:
        """The suite; with methods, those in place of its own."""
        if methods:
            text = text[: text.index("[methods")]
            text += "".join(
                f'[methods.{label}]\nadapter = "mine.py:{name}"\n' for label, name in methods.items()
            )
        (self.folder / "tiny.toml").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "hpobench_fds.cli",
            "run",
            "tiny.toml",
            "--out",
            "out",
            "--no-figures",
        ]
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", self.name: "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        _, err = process.communicate(timeout=200)
        return process.returncode, err

    def processes(self) -> list[psutil.Process]:
        """Whatever is alive of the runs here."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self.name in process.environ() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def cell_processes(self, runner: subprocess.Popen[str]) -> list[psutil.Process]:
        """A cell's process leads a session of its own."""
        return [p for p in self.processes() if p.pid != runner.pid and session(p) == p.pid]

    def all_gone(self, seconds: float = 30) -> bool:
        return wait_until(lambda: not self.processes(), seconds)

    def cells(self) -> Iterator[tuple[str, CellFiles]]:
        for path in sorted(self.out.glob("cells/*/*/seed-*")):
            yield "/".join(path.parts[-3:]), CellFiles(path)

    def records(self) -> dict[str, RunRecord]:
        """Every record there is; reading is a check that none is torn."""
        records = {}
        for name, files in self.cells():
            files.reports()
            if (record := files.record()) is not None:
                records[name] = record
        return records

    def reports(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.out.glob("cells/*/*/seed-*/trace.jsonl"))


def session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def wait_until(true: Any, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return bool(true())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    torch.set_num_threads(1)
    world = World(tmp_path)
    yield world
    for process in world.processes():  # of a test that failed
        with suppress(psutil.Error):
            process.kill()


# ------------------------------------------------------------------------------------------ kill -9

OF_TIME = {"clock", "started", "finished", "resumed", "attempts", "jobs", "segments"}
OF_TIME |= {"trace_sha256", "digest", "commit"}
Timeless = dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]


def timeless(cells: Iterator[tuple[str, CellFiles]]) -> Timeless:
    """Records and reports of all cells but for what depends on time and interruptions."""
    found = {}
    for name, files in cells:
        record = files.record()
        assert record is not None
        reports: list[ReportRecord] = files.reports()
        found[name] = (
            record.model_dump(exclude=OF_TIME),
            [report.model_dump(exclude={"seconds"}) for report in reports],
        )
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Timeless:
    """An uninterrupted run of the suite, in-process."""
    torch.set_num_threads(1)
    world = World(tmp_path_factory.mktemp("whole"))
    assert run_suite(world.folder / "tiny.toml", world.out).exit_code == 0
    found = timeless(world.cells())
    assert {name: len(reports) > 40 for name, (_, reports) in found.items()} == dict.fromkeys(found, True)
    return found


def kill(world: World, runner: subprocess.Popen[str], target: str) -> None:
    """SIGKILL to the runner, to a cell's process, or to all processes of the run at once."""
    cells = world.cell_processes(runner)
    if target == "cell":
        for process in cells[:1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        runner.communicate(timeout=100)
        assert runner.returncode in (0, 1)  # 0: the cell had just ended
        return
    if target == "all":
        for process in cells:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ProcessLookupError):  # it had just ended
            os.killpg(runner.pid, signal.SIGKILL)
    else:
        runner.kill()
    runner.wait(30)
    assert world.all_gone(), "processes outlived their runner"


def killed_again_and_again(world: World, whole: Timeless, seed: int, targets: list[str]) -> None:
    """Kill runs at random moments; then let one run to the end, and compare."""
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0, 0.8) for _ in targets)
    total = sum(len(reports) for _, reports in whole.values())
    draw.shuffle(targets)
    command = ["--retry-failed", "--jobs", str(draw.choice([1, 2]))]
    complete: dict[str, RunRecord] = {}
    for moment, target in zip(moments, targets, strict=True):
        runner = world.start(*command)
        wait_until_at_work(world, runner, round(moment * total))
        time.sleep(draw.uniform(0, 0.05))
        kill(world, runner, target)
        records = world.records()
        assert {name: records[name] for name in complete} == complete, "a complete cell was run again"
        complete = {name: record for name, record in records.items() if record.status == "complete"}
    assert world.finish(*command)[0] == 0
    assert timeless(world.cells()) == whole
    assert world.all_gone()
    assert not list(world.out.rglob("*.tmp"))
    assert not list(world.out.rglob("error.txt"))
    for path in world.out.rglob("checkpoint.pt"):  # kept for a larger budget alone
        assert json.loads((path.parent / "run.json").read_text())["stopped"] == "budget"


def wait_until_at_work(world: World, runner: subprocess.Popen[str], reports: int) -> None:
    def at_work() -> bool:
        return runner.poll() is not None or (
            world.reports() >= reports and bool(world.cell_processes(runner))
        )

    assert wait_until(at_work)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(world: World, whole: Timeless) -> None:
    killed_again_and_again(world, whole, 0, ["all", "cell"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 13))
def test_a_run_killed_at_any_moment_goes_on(world: World, whole: Timeless, seed: int) -> None:
    killed_again_and_again(world, whole, seed, ["all", "runner", "cell"])


def test_a_cell_that_hangs_in_c_does_not_outlive_its_runner(world: World) -> None:
    world.suite(SUITE, hangs="HangsInC")
    runner = world.start()
    assert wait_until(lambda: world.reports() == 3)
    time.sleep(0.3)
    runner.kill()
    runner.wait(30)
    assert world.all_gone(10)
    for _, files in world.cells():
        files.lock().release()  # raises Held if anybody has it
        assert files.record().status == "running"  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_cell_that_kills_its_runner_again_and_again_is_given_up(world: World) -> None:
    world.suite(SUITE, stuck="Stuck")
    for attempt in (1, 2, 3):
        runner = world.start()
        assert wait_until(lambda n=attempt: [r.attempts for r in world.records().values()] == [n])
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait(30)
        assert world.all_gone()
    code, err = world.finish()
    assert code == 1
    line = "failed: tiny/stuck/seed-0: GivenUp: its process died 3 times without getting any further\n"
    assert line in err


# ------------------------------------------------------------------------------------- interruptions


def interrupt(world: World, runner: subprocess.Popen[str], whom: str, number: signal.Signals) -> str:
    """Send a signal; what the runner says until it has ended."""
    at_work = world.cell_processes(runner)
    for process in at_work:  # a tiny run could be over before the signal is there
        process.suspend()
    if whom == "group":
        os.killpg(runner.pid, number)  # as the terminal does
    elif whom == "all":
        for process in world.processes():  # as a scheduler does
            process.send_signal(number)
    else:
        runner.send_signal(number)
    for process in at_work:
        process.resume()
    return runner.communicate(timeout=120)[1]


@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("group", signal.SIGINT),
        ("all", signal.SIGTERM),
        pytest.param("runner", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("runner", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("all", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("group", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_is_recorded_and_says_how_to_go_on(
    world: World, whole: Timeless, whom: str, number: signal.Signals
) -> None:
    runner = world.start("--jobs", "2")
    total = sum(len(reports) for _, reports in whole.values())
    assert wait_until(lambda: world.reports() > 0.2 * total)
    err = interrupt(world, runner, whom, number)
    assert runner.returncode == 130
    again = "hpobench run tiny.toml --out out --no-figures --jobs 2"
    assert f"interrupted; this goes on from there: {again}\n" in err
    assert "Traceback" not in err
    assert world.all_gone(10)
    records = world.records()
    assert "interrupted" in {record.status for record in records.values()}
    assert {record.status for record in records.values()} <= {"interrupted", "complete"}
    for name, files in world.cells():
        if name in records and records[name].status == "interrupted":
            assert files.load_checkpoint() is not None
            assert records[name].clock.method > 0
    assert world.finish("--jobs", "2")[0] == 0
    assert timeless(world.cells()) == whole


@pytest.mark.slow
def test_a_method_that_does_not_hear_is_killed_and_goes_on_later(world: World) -> None:
    world.suite(SUITE, deaf="Deaf")
    runner = world.start()
    assert wait_until(lambda: world.reports() == 3)
    time.sleep(0.3)
    err = interrupt(world, runner, "group", signal.SIGINT)
    assert runner.returncode == 130
    assert "interrupted; this goes on from there" in err
    (record,) = world.records().values()
    assert (record.status, record.reports) == ("interrupted", 3)
    assert world.all_gone(10)


@pytest.mark.slow
def test_a_cell_interrupted_alone_is_told_and_the_others_go_on(world: World) -> None:
    world.suite(SUITE, stuck="Stuck", counted="Counted")
    text = (world.folder / "tiny.toml").read_text()
    (world.folder / "tiny.toml").write_text(text + f'file = "{world.folder}/starts"\n')
    runner = world.start()
    assert wait_until(lambda: "running" in [record.status for record in world.records().values()])
    assert wait_until(lambda: bool(world.cell_processes(runner)))
    time.sleep(0.3)
    world.cell_processes(runner)[0].send_signal(signal.SIGTERM)
    _, err = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "interrupted by a signal: tiny/stuck/seed-0: run it again to go on\n" in err
    statuses = {name: record.status for name, record in world.records().items()}
    assert statuses == {"tiny/counted/seed-0": "complete", "tiny/stuck/seed-0": "interrupted"}


# --------------------------------------------------------------------------------------- two runners


def test_two_runners_on_one_folder_run_each_cell_once(world: World) -> None:
    world.suite(SUITE.replace("seeds = [0]", 'seeds = "0-5"'), counted="Counted")
    starts = world.folder / "starts"
    text = (world.folder / "tiny.toml").read_text()
    (world.folder / "tiny.toml").write_text(text + f'file = "{starts}"\n')
    pair = [world.start("--jobs", "2"), world.start("--jobs", "2")]
    errors = [process.communicate(timeout=120)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    assert sorted(starts.read_text().splitlines()) == [f"seed {seed}" for seed in range(6)]
    records = world.records()
    assert {record.status for record in records.values()} == {"complete"}
    assert len(records) == 6
    for _, files in world.cells():
        assert [report.report for report in files.reports()] == list(range(len(files.reports())))
    # Nobody waits for a cell that another one runs; the second runner says how many it left alone.
    assert all("Traceback" not in err for err in errors)


@pytest.mark.slow
def test_parts_of_a_job_array_make_up_the_whole(world: World, whole: Timeless) -> None:
    array = [world.start("--cell", f"{i}/3") for i in (1, 2, 3)]
    errors = [process.communicate(timeout=120)[1] for process in array]
    assert [process.returncode for process in array] == [0, 0, 0], errors
    assert all("[1/1]" in err for err in errors)
    assert timeless(world.cells()) == whole


SAME_MOMENT = """
import sys, time
from pathlib import Path
from hpobench_fds.records.folder import ResultsFolder
began, suite = float(sys.argv[1]), {"name": "tiny", "seeds": [0], "problems": {}, "methods": {}}
for number in range(40):
    time.sleep(max(0.0, began + 0.05 * number - time.time()))
    ResultsFolder.check(Path(f"new/{number}"), suite)
    ResultsFolder(Path(f"new/{number}"), suite)
"""


def test_runners_that_start_at_the_same_moment_agree_on_the_folder(world: World) -> None:
    command = [sys.executable, "-c", SAME_MOMENT, str(time.time() + 3)]
    many = [subprocess.Popen(command, cwd=world.folder, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=120)[1] for process in many] == [""] * 4
    for folder in (world.folder / "new").iterdir():
        names = {path.name for path in folder.iterdir()}
        assert names - {".suite.json.lock"} == {"cells", "suite.json"}


def test_a_part_runs_its_cells_alone(world: World) -> None:
    suite: Suite = load_suite(world.folder / "tiny.toml")
    run_suite(suite, world.out, part=(2, 3))
    assert list(world.records()) == ["tiny/random_search/seed-0"]
