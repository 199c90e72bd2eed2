"""A cell in a process of its own: the same records, and no crash, hang or greed that ends the others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.folder import ResultsFolder, files_of_cell
from hpobench_fds.records.schema import ReportRecord, RunRecord
from hpobench_fds.run import machine as machine_module
from hpobench_fds.run.backends import pool, supervisor
from hpobench_fds.run.backends.isolated import run_isolated
from hpobench_fds.run.backends.shared_data import SharedProblem, SharedTensor
from hpobench_fds.run.machine import find_devices, own_memory, threads_each
from hpobench_fds.run.spent import Spent
from hpobench_fds.run.suite_run import load_problems, run_suite
from hpobench_fds.run.watcher import CellResult, RunSummary
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.limits import Limits

METHODS = '''
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path

import torch

from hpobench_fds.method import AskTell, Method, Proposal
from hpobench_fds.training.state import Evaluation

MENDED = Path(__file__).with_name("mended").exists()

def hang_in_python():
    while True:
        time.sleep(0.01)

def hang_in_c_holding_the_interpreter():
    while True:  # a signal ends the sleep
        ctypes.PyDLL(None).sleep(1000)  # no other thread of Python runs meanwhile

class Faulty(AskTell):
    """Its third trial meets the fault."""
    name = "faulty"
    class Options(AskTell.Options):
        fault: str = ""
        folder: str = ""
    asked = 0
    def ask(self, task):
        self.asked += 1
        if self.asked == 3 and not MENDED:
            getattr(self, self.options.fault)()
        return Proposal(task.space.sample(task.rng))
    def python(self): hang_in_python()
    def c(self): hang_in_c_holding_the_interpreter()
    def deaf(self):
        while True:
            try:
                hang_in_python()
            except KeyboardInterrupt:
                pass
    def killed(self): os.kill(os.getpid(), signal.SIGKILL)
    def segfault(self): ctypes.string_at(0)
    def abort(self):
        print("terminate called: the GPU fell off the bus", file=sys.stderr)
        os.abort()
    def exits(self): os._exit(3)
    def greedy(self):
        kept = []
        while True:
            kept.append(torch.ones(5_000_000))
            time.sleep(0.01)
    def child(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        print("child", child.pid)
        hang_in_python()
    def full(self):
        """Checkpoints meet a full disk."""
        replace = os.replace
        def full(source, target):
            if str(target) == self.options.folder + "/checkpoint.pt":
                raise OSError(28, "No space left on device")
            replace(source, target)
        os.replace = full
        time.sleep(1)  # until there is to be one

class Talker(Method):
    name = "talker"
    def run(self, task):
        print("words")
        os.write(1, b"of C\\n")
        print("threads", torch.get_num_threads(), os.environ.get("WORD"), file=sys.stderr)

class Vandal(Method):
    """Spoils the data that it was given."""
    name = "vandal"
    def run(self, task):
        task.problem.x.zero_()
        task.problem.y.zero_()

class Sleeps(Method):
    """Takes some time and no core."""
    name = "sleeps"
    def run(self, task):
        time.sleep(0.5)

class BrokenAtImport(Method):
    name = "broken_at_import"
'''
SUITE: dict[str, Any] = {
    "name": "tiny",
    "seeds": [0],
    "device": "cpu",
    "budget": {"steps": 40},
    "problems": {
        "tiny": {
            "dataset": "digits",
            "train_limit": 120,
            "test_limit": 60,
            "batch_size": 8,
            "horizon": 10,
            "space": {"lr": {"windows": 2, "low": 0.0, "high": 0.2}},
        }
    },
}


class World:
    """A folder with the methods above, and suites of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "mine.py"
        self.file.write_text(METHODS)

    def suite(self, changes: dict[str, Any] | None = None, **methods: dict[str, Any]) -> Suite:
        """A label that begins with a fault's name is Faulty, one that begins with a capital its class."""
        tables = {}
        for label, options in methods.items():
            name, *_ = label.split("_")
            if name in dir_of_faults():
                tables[label] = {"adapter": "mine.py:Faulty", "fault": name, **options}
            elif name[0].isupper():
                tables[label] = {"adapter": f"mine.py:{name}", **options}
            else:
                tables[label] = options
        return Suite.from_dict({**SUITE, "methods": tables, **(changes or {})}, base=self.folder)

    def run(self, suite: Suite, out: str = "out", **keywords: Any) -> RunSummary:
        return run_suite(suite, self.folder / out, **{"isolate": True, **keywords})

    def files(self, cell: Cell, out: str = "out") -> CellFiles:
        return files_of_cell(self.folder / out, cell.problem, cell.method, cell.seed)

    def record(self, cell: Cell, out: str = "out") -> RunRecord:
        record = self.files(cell, out).record()
        assert record is not None
        return record

    def text(self, cell: Cell, name: str) -> str:
        return (self.files(cell).folder / name).read_text()

    def mend(self) -> None:
        """The same code finds its surroundings in order: what has died goes on from its checkpoint."""
        self.file.with_name("mended").touch()


def dir_of_faults() -> list[str]:
    return ["python", "c", "deaf", "killed", "segfault", "abort", "exits", "greedy", "child", "full"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    torch.set_num_threads(1)
    return World(tmp_path)


def verdicts(summary: RunSummary) -> list[str]:
    return [result.verdict for result in summary.results]


# -------------------------------------------------------------------------------- the same, only apart


def timeless(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(
        exclude={"clock", "started", "finished", "jobs", "trace_sha256", "digest", "commit", "segments"}
    )


def test_records_are_those_of_a_run_in_process(world: World) -> None:
    suite = world.suite(random_search={}, fds={})
    here = world.run(suite, "here", isolate=False)
    apart = world.run(suite, "apart", jobs=2)
    for cell, one, other in zip(suite.cells(), here.results, apart.results, strict=True):
        assert one.record is not None
        assert other.record is not None
        assert timeless(one.record) == timeless(other.record)
        assert world.record(cell, "apart") == other.record
        reports = [
            [report.model_dump(exclude={"seconds"}) for report in world.files(cell, out).reports()]
            for out in ("here", "apart")
        ]
        assert reports[0] == reports[1]
        assert other.record.clock.elapsed == pytest.approx(other.record.clock.booked)


def test_nothing_but_records_is_left_behind(world: World) -> None:
    suite = world.suite(random_search={})
    world.run(suite)
    names = {path.name for path in world.files(suite.cells()[0]).folder.iterdir()}
    # filelock may keep its file; a run that ended on its budget may be given a larger one.
    assert names - {"lock"} == {"run.json", "trace.jsonl", "checkpoint.pt"}


def test_results_stand_in_the_order_of_the_cells(world: World) -> None:
    suite = world.suite({"seeds": [0, 1]}, Sleeps={}, random_search={})
    world.run(suite, methods="random_search", seeds=[1])
    summary = world.run(suite, jobs=2)
    assert [result.cell for result in summary.results] == suite.cells()
    assert verdicts(summary) == ["complete", "complete", "complete", "complete before"]


def test_jobs_run_side_by_side_and_are_counted(world: World) -> None:
    suite = world.suite({"seeds": [0, 1, 2, 3]}, Sleeps={})
    summary = world.run(suite, jobs=4)
    assert {result.record.jobs for result in summary.results if result.record} == {4}
    # More jobs than cells make no cell share the machine with others.
    assert world.run(suite, jobs=9, seeds=[7]).results[0].record.jobs == 1  # type: ignore[union-attr]


def test_jobs_overlap_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most, lock = set[str](), [0], threading.Lock()

    def counted(cell: Cell, *arguments: Any, **keywords: Any) -> CellResult:
        with lock:
            at_once.add(str(cell))
            most[0] = max(most[0], len(at_once))
        try:
            return run_isolated(cell, *arguments, **keywords)
        finally:
            with lock:
                at_once.discard(str(cell))

    monkeypatch.setattr(pool, "run_isolated", counted)
    world.run(world.suite({"seeds": [0, 1, 2, 3, 4]}, Sleeps={}), jobs=3)
    assert most == [3]


def test_threads_are_divided_among_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module.joblib, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [threads_each(jobs) for jobs in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)  # what the user has asked for is the most
    assert [threads_each(jobs) for jobs in (1, 2, 3)] == [3, 3, 2]


def test_a_cell_has_the_threads_it_is_given_and_records_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "threads_each", lambda jobs: 3)
    suite = world.suite(Talker={})
    record = world.run(suite, jobs=2).results[0].record
    assert record is not None
    assert record.device["threads"] == 3
    assert "threads 3" in world.text(suite.cells()[0], "output.txt")


def test_gpus_are_dealt_out_in_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("auto", "cuda"):
        assert list(map(str, find_devices(name))) == ["cuda:0", "cuda:1"]
    assert list(map(str, find_devices("cuda:1"))) == ["cuda:1"]
    assert list(map(str, find_devices("cpu"))) == ["cpu"]
    used = []

    def noted(cell: Cell, store: Any, problem: Any, machine: Any, **keywords: Any) -> CellResult:
        used.append(str(machine.device))
        time.sleep(0.1)
        return CellResult(cell, "complete")

    monkeypatch.setattr(pool, "run_isolated", noted)
    cells = world.suite({"seeds": [0, 1, 2]}, random_search={}).cells()
    pool.run_cells(cells, None, {"tiny": None}, find_devices("auto"), 3)  # type: ignore[arg-type, dict-item]
    assert sorted(used) == ["cuda:0", "cuda:0", "cuda:1"]


def test_what_a_cell_prints_is_kept_beside_its_records(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORD", "from the environment")  # set after the fork server was started
    suite = world.suite(Talker={})
    world.run(suite)
    assert world.text(suite.cells()[0], "output.txt") == "words\nof C\nthreads 1 from the environment\n"
    assert capfd.readouterr().out == ""


def test_a_method_that_spoils_its_data_spoils_no_other_cell(world: World) -> None:
    alone = world.run(world.suite(random_search={}), "alone").results[0].record
    beside = world.run(world.suite(Vandal={}, random_search={}), "beside").results[1].record
    assert alone is not None
    assert beside is not None
    assert alone.final == beside.final


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("shape", [(5,), (3, 2, 4), (0, 3), ()])
def test_a_shared_tensor_is_the_tensor_and_its_copies_are_apart(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = torch.arange(100, dtype=dtype)[: torch.Size(shape).numel()].view(shape)
    shared = SharedTensor(tensor)
    mine, other = shared.tensor(), shared.tensor()
    assert (mine.dtype, mine.shape) == (dtype, tensor.shape)
    mine += 1
    assert torch.equal(other, tensor)
    assert torch.equal(mine, tensor + 1)
    del shared
    assert torch.equal(other, tensor)  # for as long as anybody holds it


def test_a_script_without_a_main_guard_runs_once(world: World) -> None:
    (world.folder / "script.py").write_text(
        textwrap.dedent("""
            import os
            os.write(1, b"the script runs\\n")
            from hpobench_fds import run_suite
            summary = run_suite(SUITE, "out", jobs=2)
            print([result.verdict for result in summary.results])
        """).replace("SUITE", repr({**SUITE, "methods": {"random_search": {}, "fds": {}}}))
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=world.folder, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("the script runs\n['complete', 'complete']\n", "")


# ------------------------------------------------------------------------------------ limits and deaths


@pytest.mark.parametrize("fault", ["python", "c"])
def test_a_hang_ends_at_the_wall_limit_and_shows_where_it_was(world: World, fault: str) -> None:
    suite = world.suite(**{fault: {}, "random_search": {}})
    summary = world.run(suite, cell_seconds=4)
    assert verdicts(summary) == ["failed", "complete"]
    assert summary.exit_code == 1
    hung, _ = suite.cells()
    record = world.record(hung)
    assert (record.status, record.reason) == ("failed", "killed: over the wall limit of 4 s")
    assert record.reports == len(world.files(hung).reports()) == 2
    assert record.clock.method > 0
    assert record.incumbent is not None
    where = "hang_in_python" if fault == "python" else "hang_in_c_holding_the_interpreter"
    assert f"in {where}" in world.text(hung, "error.txt")

    assert verdicts(world.run(suite)) == ["failed before", "complete before"]
    world.mend()
    assert verdicts(world.run(suite, retry_failed=True)) == ["complete", "complete before"]
    whole = world.run(suite, "whole").results[0].record  # it went on from its second trial
    record = world.record(hung)
    assert whole is not None
    assert record.resumed == 1
    assert (record.reports, record.cost, record.final) == (whole.reports, whole.cost, whole.final)
    assert not (world.files(hung).folder / "error.txt").exists()


def test_greed_ends_at_the_memory_limit(world: World) -> None:
    suite = world.suite({"limits": {"memory_gb": 1.5}}, greedy={}, random_search={})
    summary = world.run(suite, jobs=2)
    assert verdicts(summary) == ["failed", "complete"]
    reason = str(world.record(suite.cells()[0]).reason)
    used = float(reason.removeprefix("killed: used ").removesuffix(" GB, limit 1.5 GB"))
    assert 1.5 <= used < 10
    assert "in greedy" in world.text(suite.cells()[0], "error.txt")


def test_memory_that_is_shared_does_not_count() -> None:
    tensor = torch.ones(50_000_000)
    before = own_memory(os.getpid())
    shared = SharedTensor(tensor).tensor()
    assert shared.sum() == 50_000_000
    assert own_memory(os.getpid()) - before < 1e8
    copies = [tensor.clone() for _ in range(3)]  # some of it may lie where others lay before
    assert own_memory(os.getpid()) - before > 3e8
    assert len(copies) == 3
    assert own_memory(2**22 - 1) == 0  # nobody is there


@pytest.mark.parametrize(
    ("fault", "reason", "shown"),
    [
        ("killed", "the process died: SIGKILL (out of memory?)", ""),
        ("segfault", "the process died: SIGSEGV", "in string_at"),
        ("abort", "the process died: SIGABRT", "terminate called: the GPU fell off the bus"),
        ("exits", "the process ended before the cell did, with exit code 3", ""),
    ],
)
def test_a_death_is_recorded_and_the_others_go_on(world: World, fault: str, reason: str, shown: str) -> None:
    suite = world.suite(**{fault: {}, "random_search": {}})
    summary = world.run(suite)
    assert verdicts(summary) == ["failed", "complete"]
    dead, _ = suite.cells()
    assert world.record(dead).reason == reason
    assert world.record(dead).reports == 2
    assert shown in world.text(dead, "error.txt")
    assert world.text(dead, "error.txt").startswith(reason)
    world.mend()
    assert verdicts(world.run(suite, retry_failed=True)) == ["complete", "complete before"]


@pytest.mark.parametrize(("fault", "grace", "asked"), [("deaf", 0.5, 1), ("c", 0.5, 1), ("deaf", 1e6, 2)])
def test_what_does_not_hear_that_it_should_stop_is_killed(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str, grace: float, asked: int
) -> None:
    """After a time of grace; at once if asked twice."""
    monkeypatch.setattr(supervisor, "GRACE", grace)
    suite, stop = world.suite(**{fault: {}}), supervisor.Stop()
    (cell,) = suite.cells()
    store = ResultsFolder(world.folder / "out", suite.describe())
    problems = load_problems(suite, [cell], torch.device("cpu"), None, False)
    shared = SharedProblem.of(*problems["tiny"])

    def ask() -> None:
        while len(world.files(cell).reports()) < 2:  # it hangs in its third trial
            time.sleep(0.05)
        for _ in range(asked):
            time.sleep(1)
            stop.ask()

    threading.Thread(target=ask, daemon=True).start()
    result = run_isolated(cell, store, shared, machine_of("cpu"), stop=stop)
    record = world.record(cell)
    assert (result.verdict, record.status, record.reason, record.reports) == (
        "interrupted",
        "interrupted",
        None,
        2,
    )
    world.mend()
    assert verdicts(world.run(suite)) == ["complete"]
    assert world.record(cell).resumed == 1


def test_a_process_that_cannot_be_set_up_fails_its_cell(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is gone, say: its memory is full, or the driver is broken."""
    monkeypatch.setattr(pool, "unnamed_machine", lambda device, commit, jobs: machine_of("cuda:99"))
    suite = world.suite(random_search={})
    summary = world.run(suite)
    assert verdicts(summary) == ["failed"]
    record = world.record(suite.cells()[0])
    assert record.status == "failed"
    assert str(record.reason).split(":")[0].endswith("Error")
    assert "Traceback" in world.text(suite.cells()[0], "error.txt")


def machine_of(device: str) -> machine_module.Machine:
    return machine_module.Machine(torch.device(device), {"kind": device}, {}, None)


def test_a_cell_takes_the_processes_that_it_started_with_it(world: World) -> None:
    suite = world.suite(child={})
    world.run(suite, cell_seconds=4)
    (line,) = [
        line for line in world.text(suite.cells()[0], "output.txt").splitlines() if line.startswith("child ")
    ]
    assert gone(int(line.removeprefix("child ")))


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_dead_fork_server_costs_the_running_cells_alone(world: World) -> None:
    from multiprocessing import forkserver

    suite = world.suite(python={}, random_search={})
    killer = threading.Timer(3.0, lambda: os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL))  # type: ignore[attr-defined]
    world.run(suite, methods="random_search")  # the server runs
    killer.start()
    summary = world.run(suite, retry_failed=True)
    killer.join()
    assert verdicts(summary) == ["failed", "complete before"]
    assert "exit code 255" in str(world.record(suite.cells()[0]).reason)
    world.mend()
    assert verdicts(world.run(suite, retry_failed=True))[0] == "complete"


# --------------------------------------------------------------------------------------------- full disk


def test_a_full_disk_fails_the_cell_and_tears_nothing(world: World) -> None:
    folder = world.folder / "out/cells/tiny/full/seed-0"
    suite = world.suite(full={"folder": str(folder)}, random_search={})
    summary = world.run(suite)
    assert verdicts(summary) == ["failed", "complete"]
    record = world.record(suite.cells()[0])
    assert (record.status, record.reason) == ("failed", "OSError: [Errno 28] No space left on device")
    assert "write_atomic" in world.text(suite.cells()[0], "error.txt")
    assert record.reports == len(world.files(suite.cells()[0]).reports()) == 3
    world.mend()
    assert verdicts(world.run(suite, retry_failed=True)) == ["complete", "complete before"]
    assert world.record(suite.cells()[0]).reports == len(world.files(suite.cells()[0]).reports()) == 4


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]  # in a view of its own
    return subprocess.run(mount, capture_output=True).returncode == 0


FULL_DISK = """
mount -t tmpfs -o size=200k tmpfs small || exit 99
trace=small/out/cells/tiny/random_search/seed-0/trace.jsonl
(while ! grep -q '"report":5,' $trace; do sleep 0.02; done; cat /dev/zero > small/fill) 2>/dev/null &
$RUN; code=$?
cp -r small/out kept
test $code = 1 || exit 98
mount -o remount,size=100m small && $RUN --quiet
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a small file system cannot be mounted here")
def test_a_disk_that_takes_not_even_the_record_is_told_in_a_line_and_costs_nothing(world: World) -> None:
    (world.folder / "mine.toml").write_text(
        """
        name = "tiny"
        seeds = [0]
        device = "cpu"
        budget.steps = 4000
        methods.random_search = {}
        methods.fds = {}
        [problems.tiny]
        dataset = "digits"
        train_limit = 120
        test_limit = 60
        batch_size = 8
        horizon = 10
        space.lr = { windows = 2, low = 0.0, high = 0.2 }
        """
    )
    (world.folder / "small").mkdir()
    run = f"{sys.executable} -m hpobench_fds.cli run mine.toml --out small/out --no-figures"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", FULL_DISK],
        cwd=world.folder, env={**os.environ, "RUN": run}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr  # of the second run: everything was made good
    assert "Traceback" not in done.stderr
    full = "No space left on device"
    for method in ("random_search", "fds"):  # the second one was tried
        (line,) = [x for x in done.stderr.splitlines() if x.startswith(f"failed: tiny/{method}/seed-0: ")]
        assert full in line
    random_search = CellFiles(world.folder / "kept/cells/tiny/random_search/seed-0")
    record = random_search.record()
    assert record is not None
    assert record.status == "running"  # it could not be written, and so the next run goes on
    assert len(random_search.reports()) > 5
    assert random_search.load_checkpoint() is not None
    assert f"{full}; it could not be recorded: {full}" in done.stderr


# ---------------------------------------------------------------------------------- what a watcher hears


class Heard:
    """Remembers what it is told, and looks at the clock as a display would."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.reports: list[ReportRecord] = []
        self.used: list[float] = []

    def plan(self, cells: Any, todo: Any, jobs: int) -> None:
        self.told.append(f"plan {len(cells)} {len(todo)} {jobs}")

    def begin(self, cell: Cell, spent: Any) -> None:
        self.told.append(f"begin {cell.method}")
        self.spent = spent

    def report(self, cell: Cell, report: ReportRecord) -> None:
        seen: Spent = self.spent()
        self.used.append(seen.used)
        self.reports.append(report)
        assert (seen.limits["seconds"], seen.limits["steps"]) == (None, 40)

    def end(self, result: CellResult) -> None:
        self.told.append(f"end {result.cell.method} {result.verdict}")


@pytest.mark.parametrize("isolate", [False, True])
def test_reports_and_the_clock_reach_the_watcher(world: World, isolate: bool) -> None:
    suite, heard = world.suite(random_search={}, killed={}), Heard()
    world.run(suite, methods="random_search", isolate=isolate, watch=heard)
    assert heard.told == ["plan 1 1 1", "begin random_search", "end random_search complete"]
    assert heard.reports == world.files(suite.cells()[0]).reports()
    assert heard.used == [0.25, 0.5, 0.75, 1.0]


def test_a_cell_that_dies_is_ended_for_the_watcher_too(world: World) -> None:
    heard = Heard()
    world.run(world.suite(killed={}), watch=heard)
    assert heard.told == ["plan 1 1 1", "begin killed", "end killed failed"]


def test_the_clock_moves_between_reports(world: World) -> None:
    """A method that reports nothing for seconds is seen to be alive."""
    seconds: list[float] = []

    class Looks(Heard):
        def begin(self, cell: Cell, spent: Any) -> None:
            super().begin(cell, spent)

            def look() -> None:
                while len(seconds) < 20:
                    seconds.append(spent().clock.method)
                    time.sleep(0.2)

            threading.Thread(target=look, daemon=True).start()

    world.run(world.suite(python={}), watch=Looks(), cell_seconds=5)
    assert len(set(seconds)) >= 3
    assert seconds == sorted(seconds)


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"jobs": 0}, r"jobs: got 0 \(allowed: 1 or more\)"),
        ({"jobs": 2, "isolate": False}, "2 jobs and in-process"),
        ({"cell_seconds": 9.0, "isolate": False}, "a limit on cells and in-process"),
        ({"cell_seconds": 0.0}, r"cell_seconds: got 0 \(allowed: above 0\)"),
        ({"cell_memory": -1.0}, r"cell_memory: got -1 \(allowed: above 0\)"),
        ({"cell_seconds": float("nan")}, "cell_seconds: got nan"),
        ({"cell_memory": float("inf")}, "cell_memory: got inf"),
        *(
            ({"part": part}, rf"cell: got '{part}' \(allowed: i/n")
            for part in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/2/3", "")
        ),
        ({"part": (3, 2)}, "cell: got '3/2'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    world: World, keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        world.run(world.suite(random_search={}), **{"isolate": None, **keywords})
    assert not (world.folder / "out").exists()


def test_a_cell_of_another_configuration_ends_the_run_with_its_message(world: World) -> None:
    """Found by the process, if another runner has written it since the runner looked."""
    suite = world.suite(random_search={})
    world.run(suite)
    cell = suite.cells()[0]
    record = world.record(cell)
    changed = record.model_copy(update={"config_hash": "other"})

    class Meddles(Heard):
        def plan(self, cells: Any, todo: Any, jobs: int) -> None:
            world.files(cell).write_record(changed)

    world.files(cell).write_record(record.model_copy(update={"status": "running"}))
    with pytest.raises(InputError, match="was run with another configuration"):
        world.run(suite, watch=Meddles())


def test_limits_come_from_the_suite_and_what_is_given_replaces_them(world: World) -> None:
    suite = world.suite({"limits": {"seconds": 60, "memory_gb": 4.0}}, random_search={})
    assert suite.limits == Limits(seconds=60, memory_gb=4)
    assert suite.limits.replaced(5, None) == Limits(seconds=5, memory_gb=4)
    assert "limits" not in suite.describe()  # they decide nothing of a comparison
    with pytest.raises(InputError, match=r"limits\.seconds: got 0 \(allowed: above 0\)"):
        world.suite({"limits": {"seconds": 0}}, random_search={})
    with pytest.raises(InputError, match=r"'second', did you mean 'seconds'"):
        world.suite({"limits": {"second": 5}}, random_search={})


@pytest.mark.parametrize(
    ("keywords", "apart"), [({}, False), ({"cell_seconds": 50.0}, True), ({"jobs": 2}, True)]
)
def test_cells_are_apart_when_there_are_jobs_or_limits(
    world: World, monkeypatch: pytest.MonkeyPatch, keywords: dict[str, Any], apart: bool
) -> None:
    seen = []
    run_cells = pool.run_cells
    monkeypatch.setattr(pool, "run_cells", lambda *a, **k: seen.append(1) or run_cells(*a, **k))  # type: ignore[func-returns-value]
    world.run(world.suite(random_search={}), **{"isolate": None, **keywords})
    assert bool(seen) == apart


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_parts_are_disjoint_and_together_all(world: World, n: int) -> None:
    suite = world.suite({"seeds": [0, 1]}, random_search={}, fds={}, Talker={})

    class Planned(Exception):  # noqa: N818
        pass

    class Plans(Heard):
        def plan(self, cells: Any, todo: Any, jobs: int) -> None:
            parts.append(cells)
            raise Planned

    parts: list[list[Cell]] = []
    for i in range(1, n + 1):
        for part in ((i, n), f"{i}/{n}"):
            with pytest.raises(Planned):
                world.run(suite, f"out-{n}", part=part, watch=Plans())
    assert parts[::2] == parts[1::2]
    assert sorted(str(cell) for part in parts[::2] for cell in part) == sorted(map(str, suite.cells()))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
