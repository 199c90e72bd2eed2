"""Cells on a real Ray cluster of two nodes on this machine, one of which is lost in mid-run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_run import SUITE, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.folder import ResultsFolder
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.backends import ray_cluster as cluster
from hpobench_fds.run.backends.ray_cluster import Cluster
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite

ray = pytest.importorskip("ray", reason="Ray is not installed: the extra 'cluster'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

METHODS = """
import os, signal, time
from hpobench_fds.method import AskTell, Method, Proposal

class Slow(AskTell):
    # Leaves a line for each time that it is run.
    name = "slow"
    class Options(AskTell.Options):
        file: str = os.devnull
    def setup(self, task):
        with open(self.options.file, "a") as file:
            file.write(f"seed {task.trainer.seed}\\n")
    def ask(self, task):
        time.sleep(0.5)
        return Proposal(task.space.sample(task.rng))

class Fails(Method):
    name = "fails"
    def run(self, task):
        raise ValueError("on purpose")

class Dies(Method):
    name = "dies"
    def run(self, task):
        os.kill(os.getpid(), signal.SIGKILL)

class Hangs(Method):
    name = "hangs"
    def run(self, task):
        time.sleep(3600)

class Hoards(Method):
    name = "hoards"
    def run(self, task):
        self.hoard = [bytearray(os.urandom(1)) * 2**20 for _ in range(4000)]
        time.sleep(3600)
"""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster as LocalCluster

    nodes = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 0})  # the head takes no cells
    nodes.first, nodes.second = nodes.add_node(num_cpus=1), nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def suite(folder: Path, **methods: Any) -> Suite:
    (folder / "mine.py").write_text(METHODS)
    named = {k: {"adapter": f"mine.py:{k}", **v} if k[0].isupper() else v for k, v in methods.items()}
    return Suite.from_dict({**SUITE, "methods": named}, base=folder)


def columns(folder: Path) -> Any:
    """All that does not depend on time."""
    return load_results(folder).drop(columns=["seconds"])


def test_results_are_those_of_a_run_on_this_machine(two_nodes: Any, tmp_path: Path) -> None:
    summary = run_suite(suite(tmp_path, random_search={}, fds={}), tmp_path / "out", cluster=Cluster())
    assert summary.exit_code == 0
    assert verify(tmp_path / "out").findings == []
    here = columns(copy_of_results(tmp_path / "here"))
    assert columns(tmp_path / "out").to_json() == here.to_json()


def test_a_method_in_a_file_is_sent_and_one_that_fails_costs_the_others_nothing(
    two_nodes: Any, tmp_path: Path
) -> None:
    made = suite(tmp_path, Slow={}, Fails={}, Dies={}, random_search={})
    summary = run_suite(made, tmp_path / "out", seeds=[0], cluster=Cluster())
    assert summary.exit_code == 1
    runs = load_runs(tmp_path / "out").set_index("method")
    assert runs["status"].to_dict() == {
        "Slow": "complete", "random_search": "complete", "Fails": "failed", "Dies": "failed",
    }  # fmt: skip
    assert runs.loc["Fails", "reason"] == "ValueError: on purpose"
    assert runs.loc["Dies", "reason"] == "the process died: SIGKILL (out of memory?)"
    assert verify(tmp_path / "out").sound
    again = run_suite(made, tmp_path / "out", seeds=[0], cluster=Cluster())
    assert (again.count("complete before"), again.count("failed before")) == (2, 2)


def test_limits_hold_on_the_cluster(two_nodes: Any, tmp_path: Path) -> None:
    made = suite(tmp_path, Hangs={}, Hoards={}, random_search={})
    summary = run_suite(
        made, tmp_path / "out", seeds=[0], cluster=Cluster(), cell_seconds=20, cell_memory=3.0
    )
    assert summary.exit_code == 1
    runs = load_runs(tmp_path / "out").set_index("method")
    assert runs.loc["random_search", "status"] == "complete"
    assert runs.loc["Hangs", "reason"] == "killed: over the wall limit of 20 s"
    assert runs.loc["Hoards", "reason"].startswith("killed: used ")
    error = tmp_path / "out" / "cells" / "tiny" / "Hangs" / "seed-0" / "error.txt"
    assert "mine.py" in error.read_text()  # where it was
    assert verify(tmp_path / "out").sound


def test_a_model_in_a_file_is_sent(two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where a model's path leads from
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.py").write_text(
        "import torch\n"
        "def build(shape, classes):\n"
        "    size = shape[0] * shape[1] * shape[2]\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, classes))\n"
    )
    (problem,) = SUITE["problems"].values()
    table = {**SUITE, "problems": {"tiny": {**problem, "model": "models/net.py:build"}}}
    made = Suite.from_dict({**table, "methods": {"fds": {}}}, base=tmp_path)
    assert run_suite(made, tmp_path / "out", seeds=[0], cluster=Cluster()).exit_code == 0
    run_suite(made, tmp_path / "here", seeds=[0])
    assert columns(tmp_path / "out").to_json() == columns(tmp_path / "here").to_json()


def test_more_than_any_node_has_is_refused_before_anything_runs(two_nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no node of the cluster has 64 CPUs"):
        run_suite(suite(tmp_path, fds={}), tmp_path / "out", cluster=Cluster(cpus=64))


def test_cells_of_a_lost_node_run_again_on_another(two_nodes: Any, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.touch()
    made = suite(tmp_path, Slow={"file": str(begun)})

    def lose() -> None:
        while len(begun.read_text().splitlines()) < 2:  # a cell on each node
            time.sleep(0.1)
        two_nodes.remove_node(two_nodes.second)

    thread = threading.Thread(target=lose)
    thread.start()
    summary = run_suite(made, tmp_path / "out", seeds="0-5", cluster=Cluster())
    thread.join()
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2  # the head and the first
    assert summary.exit_code == 0
    assert summary.count("complete") == 6
    assert len(begun.read_text().splitlines()) > len(set(begun.read_text().splitlines())) == 6
    assert verify(tmp_path / "out").findings == []


def test_a_node_that_cannot_run_a_cell_is_in_its_record(
    two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_packed", lambda problem, test: {"name": "half of a problem"})
    summary = run_suite(suite(tmp_path, random_search={}), tmp_path / "out", seeds=[0], cluster=Cluster())
    assert summary.exit_code == 1
    (run,) = load_runs(tmp_path / "out").to_dict("records")
    assert run["status"] == "failed"
    assert run["reason"] == "its node could not run it: KeyError: 'arrays'"
    assert verify(tmp_path / "out").sound


def test_a_cell_whose_files_cannot_be_written_costs_the_others_nothing(
    two_nodes: Any, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "out" / "cells" / "tiny" / "random_search" / "seed-0" / "trace.jsonl"
    made = suite(tmp_path, random_search={})
    ResultsFolder(tmp_path / "out", made.describe())
    in_the_way.mkdir(parents=True)
    summary = run_suite(made, tmp_path / "out", seeds=[0, 1], cluster=Cluster())
    assert [result.verdict for result in summary.results] == ["failed", "complete"]
    assert summary.results[0].record is not None
    assert "its files cannot be written" in (summary.results[0].record.reason or "")


def test_what_an_earlier_attempt_left_stays_until_there_is_better(two_nodes: Any, tmp_path: Path) -> None:
    made = suite(tmp_path, Slow={})
    folder = tmp_path / "out" / "cells" / "tiny" / "Slow" / "seed-0"
    ResultsFolder(tmp_path / "out", made.describe())
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"an earlier one")
    seen: list[bool] = []

    def look() -> None:
        time.sleep(1.0)  # into the cell, which takes at least 2 s
        seen.append((folder / "checkpoint.pt").exists())

    thread = threading.Thread(target=look)
    thread.start()
    run_suite(made, tmp_path / "out", seeds=[0], cluster=Cluster())
    thread.join()
    assert seen == [True]
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "run.json", "trace.jsonl"]


def test_locks_are_free_afterwards(two_nodes: Any, tmp_path: Path) -> None:
    made = suite(tmp_path, random_search={})
    run_suite(made, tmp_path / "out", seeds=[0], cluster=Cluster())
    (cell,) = made.cells(seeds=[0])
    CellFiles(tmp_path / "out" / "cells" / cell.problem / cell.method / "seed-0").lock().release()
