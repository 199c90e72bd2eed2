"""Cells on a Ray cluster: Ray places them, moves them off lost nodes, and brings their files here.

A cell runs in a folder of its node; its files come back at its end and are written into the one store
here. So the nodes need no common file system, and a node that is lost costs its cells' time, no more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import BaseFileLock

from hpobench_fds.data import Dataset
from hpobench_fds.errors import InputError
from hpobench_fds.machine import Machine, describe_commit, describe_machine, describe_software
from hpobench_fds.problem import Problem, TestData
from hpobench_fds.runner import (
    CellResult,
    Verdict,
    Watcher,
    in_a_line,
    new_record,
    now,
    run_cell,
    settled_before,
    warm_up,
)
from hpobench_fds.store import ERROR_FILE, RUN_FILE, TRACE_FILE, CellStore, Held, Store, write_atomic
from hpobench_fds.suite import Cell

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
        if self.gpus < 0:
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
    store: Store,
    problems: Mapping[str, tuple[Problem, TestData]],
    cluster: Cluster,
    *,
    retry_failed: bool = False,
    watch: Watcher,
) -> list[CellResult]:
    """Run cells on a cluster, as many at a time as it has room for; results in the cells' order.

    A cell of an interrupted run begins afresh. An adapter given by a path is sent as its one file.

    Raises
    ------
    InputError : no Ray, no such cluster, not enough of a resource, a model given by a path.
    KeyboardInterrupt : after the cells on their way are cancelled; they are still to be run.
    """
    ray = ray_module()
    for cell in cells:
        if ":" in cell.config.model:
            raise InputError(
                f"{cell.config.model!r}: a model from a file is not sent to a cluster", key="model"
            )
    with _connected(ray, cluster):
        return _Driver(ray, cells, store, problems, cluster, retry_failed, watch).run()


@contextmanager
def _connected(ray: Any, cluster: Cluster) -> Iterator[None]:
    """A connection to the cluster; one that the caller has made is used and left as it is."""
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
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
        store: Store,
        problems: Mapping[str, tuple[Problem, TestData]],
        cluster: Cluster,
        retry_failed: bool,
        watch: Watcher,
    ) -> None:
        self.ray, self.store, self.retry_failed, self.watch = ray, store, retry_failed, watch
        self.cells, self.cluster, self.problems = list(cells), cluster, problems
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
        files.clear()
        reference = self.remote.remote(
            cell, self.data[cell.problem], _adapter_file(cell), self.cluster.cpus, describe_commit()
        )
        self.locks[reference] = (index, lock)

    def _collect(self, reference: Any) -> None:
        index, lock = self.locks[reference]
        cell = self.cells[index]
        files = self.store.cell(cell.problem, cell.method, cell.seed)
        try:
            verdict, contents = self.ray.get(reference)
            for name in FILES:
                if name in contents:
                    write_atomic(files.folder / name, contents[name])
            result = CellResult(cell, verdict, files.record())
        except self.ray.exceptions.RayError as error:
            result = self._lost(cell, files, error)
        finally:
            del self.locks[reference]
            lock.release()
        self._settle(index, result)

    def _lost(self, cell: Cell, files: CellStore, error: Exception) -> CellResult:
        """The record of a cell whose process or node was lost once too often."""
        problem, _ = self.problems[cell.problem]
        device = torch.device("cuda" if self.cluster.gpus else "cpu")
        machine = Machine(device, {"kind": device.type}, describe_software(device), describe_commit())
        record = new_record(cell, problem.space.names, problem.steps_per_epoch, machine)
        record.status, record.finished = "failed", now()
        record.reason = f"lost on the cluster: {in_a_line(error)}"
        files.write_error(str(error))
        files.write_record(record)
        return CellResult(cell, "failed", record)

    def _settle(self, index: int, result: CellResult) -> None:
        self.results[index] = result
        self.watch.end(result)


def _packed(problem: Problem, test: TestData) -> dict[str, Any]:
    """A problem as arrays, which all processes of a node share."""
    tensors = {"x_train": problem.x, "y_train": problem.y, "x_test": test.x, "y_test": test.y}
    if problem.black is not None:
        tensors["black"] = problem.black
    return {
        "name": problem.name,
        "config": problem.config,
        "classes": problem.classes,
        "arrays": {name: tensor.cpu().numpy() for name, tensor in tensors.items()},
    }


def _unpacked(packed: Mapping[str, Any], device: torch.device) -> tuple[Problem, TestData]:
    # Ray's arrays are read-only, which torch's tensors cannot be: what is written to must be a copy.
    arrays: dict[str, np.ndarray[Any, Any]] = packed["arrays"]
    tensors = {name: torch.from_numpy(np.array(array)).to(device) for name, array in arrays.items()}
    dataset = Dataset(
        name=packed["config"].dataset,
        x_train=tensors["x_train"],
        y_train=tensors["y_train"],
        x_test=tensors["x_test"],
        y_test=tensors["y_test"],
        classes=packed["classes"],
        black=tensors.get("black"),
    )
    return Problem(packed["config"], dataset, packed["name"]), TestData(dataset.x_test, dataset.y_test)


def _adapter_file(cell: Cell) -> bytes | None:
    """The file of an adapter that is given by its path; None of one with a name."""
    path = Path(cell.adapter.rpartition(":")[0])
    if path.suffix != ".py":
        return None
    if path.is_absolute():
        problem = f"{cell.adapter!r}: on a cluster an adapter's path is relative to its suite"
        raise InputError(problem, key="adapter")
    found = next(base / path for base in (cell.base, Path()) if (base / path).is_file())
    return found.read_bytes()


def _run_remotely(
    cell: Cell, packed: Mapping[str, Any], adapter: bytes | None, threads: int, commit: str | None
) -> tuple[Verdict, dict[str, bytes]]:
    """On a node: run the cell in a folder there; the verdict and the files."""
    torch.set_num_threads(threads)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    machine = replace(describe_machine(device, jobs=_neighbours(threads)), commit=commit)
    problem, test = _unpacked(packed, device)
    warm_up(problem)
    with tempfile.TemporaryDirectory(prefix="hpobench-") as folder:
        if adapter is not None:
            cell = replace(cell, base=_place(Path(folder), cell.adapter.rpartition(":")[0], adapter))
        files = CellStore(Path(folder) / "cell")
        result = run_cell(cell, _OneCell(files), problem, test, machine)
        contents = {name: files.folder / name for name in FILES}
        return result.verdict, {name: path.read_bytes() for name, path in contents.items() if path.exists()}


def _place(folder: Path, path: str, content: bytes) -> Path:
    """Put an adapter's file into ``folder``, and say from where its relative path leads to it."""
    base = folder / "adapter"
    for part in Path(path).parts:
        if part == "..":  # deep enough that it stays inside
            base = base / "below"
    base.mkdir(parents=True)
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


class _OneCell(Store):
    """A store of one cell."""

    def __init__(self, files: CellStore) -> None:
        self._files = files

    def cell(self, problem: str, method: str, seed: int) -> CellStore:
        return self._files
