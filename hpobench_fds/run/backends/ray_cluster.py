"""Cells on a Ray cluster: Ray places them, moves them off lost nodes, and brings their files here.

A cell runs in a process of its own, in a folder of its node; its files come back at its end and are
written into the one store here. So the nodes need no common file system, a node that is lost costs its
cells' time and no more, and limits, crashes and hangs are seen to by ``run_isolated``, as on one machine.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import BaseFileLock

from hpobench_fds.errors import InputError
from hpobench_fds.python_file import find_file, sources
from hpobench_fds.records.cell_files import ERROR_FILE, RUN_FILE, TRACE_FILE, CellFiles, Held
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.safe_files import write_atomic
from hpobench_fds.run.backends.isolated import run_isolated
from hpobench_fds.run.backends.shared_data import SharedProblem, SharedTensor
from hpobench_fds.run.cell_run import new_record, settled_before, unrecorded
from hpobench_fds.run.machine import Machine, describe_commit, now, unnamed_machine
from hpobench_fds.run.watcher import CellResult, Watcher
from hpobench_fds.suite.cell import Cell
from hpobench_fds.suite.limits import NO_LIMITS, Limits
from hpobench_fds.training.problem import Problem, TestData
from hpobench_fds.wording import in_a_line

AT_ONCE = 200  # cells that Ray knows of at a time; each holds its lock's file open here
RETRIES = 3  # times that a cell is started again because its node or process was lost
FILES = (TRACE_FILE, ERROR_FILE, RUN_FILE)  # in this order: run.json says that the rest is there


@dataclass(frozen=True)
class Cluster:
    """Which Ray cluster, and what of a node each cell gets.

    address : as ``ray.init`` takes it; None: RAY_ADDRESS, or a cluster on this machine, started if none runs.
    cpus, gpus : for each cell. It uses ``cpus`` threads, and a GPU if ``gpus`` is above 0.
    """

    address: str | None = None
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise InputError(f"got {self.cpus}", key="--cpus", allowed="1 or more")
        if not 0 <= self.gpus < math.inf:
            raise InputError(f"got {self.gpus:g}", key="--gpus", allowed="0 or more")


def ray_module() -> Any:
    """Ray, or an InputError that says how to get it."""
    try:
        import ray
    except ImportError as error:
        problem = "Ray is not installed: pip install 'hpobench-fds[cluster]'"
        raise InputError(problem, key="--backend") from error
    return ray


def run_on_ray(
    cells: Sequence[Cell],
    store: ResultsFolder,
    problems: Mapping[str, tuple[Problem, TestData]],
    cluster: Cluster,
    *,
    limits: Limits = NO_LIMITS,
    retry_failed: bool = False,
    watch: Watcher,
) -> list[CellResult]:
    """Run cells on a cluster, as many at a time as it has room for; results in the cells' order.

    A cell of an interrupted run begins afresh. An adapter or a model given by a path is sent as its file,
    with the modules beside it that it imports.

    Raises
    ------
    InputError : no Ray, no such cluster, not enough of a resource, an absolute path of an adapter or a model.
    KeyboardInterrupt : after the cells on their way are cancelled; they are still to be run.
    """
    ray = ray_module()
    sent = [_sent(cell) for cell in cells]
    with _connected(ray, cluster):
        return _Driver(ray, cells, sent, store, problems, cluster, limits, retry_failed, watch).run()


@contextmanager
def _connected(ray: Any, cluster: Cluster) -> Iterator[None]:
    """A connection to the cluster; one that the caller has made is used and left as it is."""
    ours = not ray.is_initialized()
    if ours:
        # Of a cluster that is started here: what is run on it is told to nobody, unless the user says so.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:  # of a socket's path too long, say
            raise InputError(f"no Ray cluster: {in_a_line(error)}", key="--address") from error
    try:
        needed = {"CPU": float(cluster.cpus), "GPU": cluster.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0.0) >= least for name, least in needed.items()) for node in nodes):
            wanted = f"{cluster.cpus} CPUs and {cluster.gpus:g} GPUs"
            raise InputError(f"no node of the cluster has {wanted}", key="--cpus, --gpus")
        yield
    finally:
        if ours:
            ray.shutdown()


class _Driver:
    """Hands cells to Ray and takes their files; all that decides where they run is Ray's."""

    def __init__(
        self,
        ray: Any,
        cells: Sequence[Cell],
        sent: Sequence[Mapping[str, bytes]],
        store: ResultsFolder,
        problems: Mapping[str, tuple[Problem, TestData]],
        cluster: Cluster,
        limits: Limits,
        retry_failed: bool,
        watch: Watcher,
    ) -> None:
        self.ray, self.store, self.retry_failed, self.watch = ray, store, retry_failed, watch
        self.cells, self.sent, self.cluster, self.problems = list(cells), sent, cluster, problems
        self.settings = _Settings(cluster, limits, describe_commit())
        self.data = {name: ray.put(_packed(*problem)) for name, problem in problems.items()}
        self.remote = ray.remote(
            num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=RETRIES, retry_exceptions=False
        )(_run_remotely)
        self.locks: dict[Any, tuple[int, BaseFileLock]] = {}  # by Ray's reference
        self.results: dict[int, CellResult] = {}

    def run(self) -> list[CellResult]:
        waiting = iter(range(len(self.cells)))
        try:
            while True:
                while len(self.locks) < AT_ONCE and (index := next(waiting, None)) is not None:
                    self._submit(index)
                if not self.locks:
                    return [self.results[index] for index in range(len(self.cells))]
                (reference,), _ = self.ray.wait(list(self.locks), num_returns=1)
                self._collect(reference)
        finally:  # nothing is left here but after an interruption
            for reference, (_, lock) in self.locks.items():
                self.ray.cancel(reference, force=True)
                lock.release()

    def _submit(self, index: int) -> None:
        cell = self.cells[index]
        files = self.store.cell(cell.problem, cell.method, cell.seed)
        try:
            lock = files.lock()
        except Held:
            self._settle(index, CellResult(cell, "held"))
            return
        if (settled := settled_before(cell, files, self.retry_failed)) is not None:
            lock.release()
            self._settle(index, settled)
            return
        # In a list, a reference arrives as it is: each process fetches a problem once.
        data = [self.data[cell.problem]]
        reference = self.remote.remote(cell, data, self.sent[index], self.settings)
        self.locks[reference] = (index, lock)

    def _collect(self, reference: Any) -> None:
        index, lock = self.locks[reference]
        cell = self.cells[index]
        files = self.store.cell(cell.problem, cell.method, cell.seed)
        try:
            result = self._take(cell, files, reference)
        except OSError as error:
            result = unrecorded(cell, self.problems[cell.problem][0], self._unknown(), error)
        finally:
            del self.locks[reference]
            lock.release()
        self._settle(index, result)

    def _take(self, cell: Cell, files: CellFiles, reference: Any) -> CellResult:
        """Put a cell's files in place of those of an earlier attempt."""
        exceptions = self.ray.exceptions
        try:
            result, contents = self.ray.get(reference)
        except exceptions.RayTaskError as error:
            return self._lost(cell, files, f"its node could not run it: {in_a_line(error.cause)}", error)
        except exceptions.RayError as error:
            return self._lost(cell, files, f"lost on the cluster: {in_a_line(error)}", error)
        files.clear()
        for name in FILES:
            if name in contents:
                write_atomic(files.folder / name, contents[name])
        return CellResult(cell, result.verdict, files.record() or result.record)

    def _lost(self, cell: Cell, files: CellFiles, reason: str, error: Exception) -> CellResult:
        """The record of a cell that no node could run, or whose node was lost once too often."""
        problem, _ = self.problems[cell.problem]
        record = new_record(cell, problem.steps_per_epoch, self._unknown())
        record.status, record.reason, record.finished = "failed", reason, now()
        files.clear()
        files.write_error(str(error))
        files.write_record(record)
        return CellResult(cell, "failed", record)

    def _unknown(self) -> Machine:
        """Of a cell that no node has told of its own."""
        device = torch.device("cuda" if self.cluster.gpus else "cpu")
        return unnamed_machine(device, self.settings.commit)

    def _settle(self, index: int, result: CellResult) -> None:
        self.results[index] = result
        self.watch.end(result)


def _packed(problem: Problem, test: TestData) -> dict[str, Any]:
    """A problem as arrays, which all processes of a node share."""
    tensors = {"x": problem.x, "y": problem.y, "x_test": test.x, "y_test": test.y}
    if problem.black is not None:
        tensors["black"] = problem.black
    return {
        "name": problem.name,
        "config": problem.config,
        "classes": problem.classes,
        "steps_per_epoch": problem.steps_per_epoch,
        "labels": problem.labels,
        "digest": problem.digest,
        "software": problem.software,
        "least": test.least,
        "arrays": {name: tensor.cpu().numpy() for name, tensor in tensors.items()},
    }


def _unpacked(packed: Mapping[str, Any]) -> SharedProblem:
    # Ray's arrays are read-only, which torch's tensors cannot be; SharedTensor makes the last copy.
    arrays: dict[str, np.ndarray[Any, Any]] = packed["arrays"]
    shared = {name: SharedTensor(torch.from_numpy(np.array(array))) for name, array in arrays.items()}
    fields: dict[str, Any] = {"black": None, **packed, **shared}
    del fields["arrays"]
    return SharedProblem(**fields)


def _sent(cell: Cell) -> dict[str, bytes]:
    """The files of an adapter and of a model that are given by their paths, by these. Raises InputError."""
    files = {}
    for key, given in (("adapter", cell.adapter), ("model", cell.config.model)):
        path = Path(given.rpartition(":")[0])
        if path.suffix != ".py":
            continue
        if path.is_absolute():
            raise InputError(f"{given!r}: on a cluster a file's path is relative", key=key)
        found, _ = find_file(str(path), cell.base)
        if found is None:
            raise InputError(f"{given!r}: there is no such file", key=key)
        for file in sources(given, cell.base, key=key):  # those beside it that it imports, too
            files[file] = (found.parent / Path(file).relative_to(path.parent)).read_bytes()
    return files


_loaded: dict[str, SharedProblem] = {}  # of this process's last cell


def _problem(data: Sequence[Any]) -> SharedProblem:
    """The problem of a reference in a list, kept for the next cell of this process."""
    (reference,) = data
    key = reference.hex()
    if key not in _loaded:
        _loaded.clear()  # one at a time
        _loaded[key] = _unpacked(ray_module().get(reference))
    return _loaded[key]


@dataclass(frozen=True)
class _Settings:
    """What is the same for all cells."""

    cluster: Cluster
    limits: Limits
    commit: str | None


def _run_remotely(
    cell: Cell, data: Sequence[Any], sent: Mapping[str, bytes], settings: _Settings
) -> tuple[CellResult, dict[str, bytes]]:
    """On a node: run the cell in a folder there; what became of it, and its files."""
    cluster = settings.cluster
    # A cell that asked for no GPU may still see the node's.
    device = torch.device("cuda:0" if cluster.gpus and torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory(prefix="hpobench-") as folder:
        base = _place(Path(folder), sent)
        files = CellFiles(Path(folder) / "cell")
        result = run_isolated(
            replace(cell, base=base),
            _OneCell(files),
            replace(_problem(data), base=base),
            unnamed_machine(device, settings.commit, _neighbours(cluster.cpus)),
            threads=cluster.cpus,
            limits=settings.limits,
        )
        contents = {name: files.folder / name for name in FILES}
        return result, {name: path.read_bytes() for name, path in contents.items() if path.exists()}


def _place(folder: Path, sent: Mapping[str, bytes]) -> Path:
    """Put files into ``folder``, and say from where their relative paths lead to them."""
    base = folder / "files"
    for path in sent:
        for part in Path(path).parts:
            if part == "..":  # deep enough that it stays inside
                base = base / "below"
    base.mkdir(parents=True)
    for path, content in sent.items():
        target = base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return base


def _neighbours(threads: int) -> int:
    """How many such cells a node of this size takes at a time."""
    ray = ray_module()
    here = ray.get_runtime_context().get_node_id()
    sizes = [node["Resources"].get("CPU", 1.0) for node in ray.nodes() if node["NodeID"] == here]
    return max(1, int(sizes[0] // threads)) if sizes else 1


class _OneCell(ResultsFolder):
    """A store of one cell."""

    def __init__(self, files: CellFiles) -> None:
        self._files = files

    def cell(self, problem: str, method: str, seed: int) -> CellFiles:
        return self._files
