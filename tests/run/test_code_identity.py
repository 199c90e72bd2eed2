"""Users' files enter the record by their digests: results of edited code are never taken for the new."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from hpobench_fds.cli import main
from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.schema import RunRecord
from hpobench_fds.records.verify import verify
from hpobench_fds.run import cell_run
from hpobench_fds.run.backends.ray_cluster import _sent
from hpobench_fds.run.retraining import referee_folder
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.run.watcher import Quiet, RunSummary
from hpobench_fds.suite.config import load_suite
from hpobench_fds.suite.plan import plan

ADAPTER = """
from hpobench_fds.method import AskTell, Proposal
from shares import SHARE

class Mine(AskTell):
    name = "mine"
    def ask(self, task):
        if task.space.size < 0:
            raise ValueError("woe")
        return Proposal(task.space.from_vector(task.space.low + SHARE * (task.space.high - task.space.low)))
"""
MODEL = """
import torch

def build(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))
"""
SUITE = """
name = "coded"
seeds = [0]
device = "cpu"
budget.steps = 30
methods.mine.adapter = "code/mine.py:Mine"
[problems.p]
dataset = "digits"
train_limit = 120
model = "net.py:build"
horizon = 10
batch_size = 8
space.lr = { low = 0.0, high = 0.5 }
"""
FILES = {"code/mine.py": ADAPTER, "code/shares.py": "SHARE = 0.5\n", "net.py": MODEL, "s.toml": SUITE}


class World:
    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        for name, content in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)

    def run(self, **keywords: Any) -> RunSummary:
        return run_suite(self.folder / "s.toml", self.out, **keywords)

    def edit(self, name: str) -> None:
        path = self.folder / name
        path.write_text(path.read_text() + "\n")

    def files(self, seed: int = 0) -> CellFiles:
        return CellFiles(self.out / "cells" / "p" / "mine" / f"seed-{seed}")

    def record(self, seed: int = 0) -> RunRecord:
        record = self.files(seed).record()
        assert record is not None
        return record

    def contents(self) -> dict[Path, bytes]:
        return {
            path: path.read_bytes() for path in self.out.rglob("*") if path.is_file() and path.name != "lock"
        }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # all paths lead from the suite
    return World(tmp_path)


CODE = ["code/mine.py", "code/shares.py", "net.py"]


@pytest.mark.parametrize("isolate", [False, True], ids=["here", "apart"])
def test_adapter_model_and_what_they_import_are_recorded_by_their_digests(
    world: World, isolate: bool
) -> None:
    assert world.run(isolate=isolate).count("complete") == 1
    assert world.record().sources == {name: hashlib.sha256(FILES[name].encode()).hexdigest() for name in CODE}
    assert verify(world.out).findings == []
    assert world.run(isolate=isolate).count("complete before") == 1


@pytest.mark.parametrize("name", CODE)
def test_a_run_with_an_edited_file_is_refused_with_the_choices_and_nothing_is_touched(
    world: World, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run()
    before = world.contents()
    world.edit(name)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(world.folder / "s.toml"), "--out", str(world.out), "--quiet", "--no-figures"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    old, new = (hashlib.sha256((FILES[name] + end).encode()).hexdigest()[:8] for end in ("", "\n"))
    assert "p/mine/seed-0 was run with other code or data, edited since: " in line
    assert f": {name} was sha256 {old}, is sha256 {new}" in line
    assert "choose another --out" in line
    assert world.contents() == before
    with pytest.raises(InputError, match="edited since"):
        plan(world.folder / "s.toml", world.out)
    (world.folder / name).write_text(FILES[name])
    assert world.run().count("complete before") == 1


def test_an_interrupted_run_does_not_go_on_with_other_code(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Quiet):
        def report(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.run(watch=Stop())
    before = world.contents()
    world.edit("code/mine.py")
    with pytest.raises(InputError, match="edited since"):
        world.run()
    assert world.contents() == before


def test_a_failed_run_is_tried_again_with_the_code_that_was_mended(world: World) -> None:
    path = world.folder / "code" / "mine.py"
    path.write_text(ADAPTER.replace("< 0", ">= 0"))
    assert world.run().count("failed") == 1
    path.write_text(ADAPTER)
    assert world.run().count("failed before") == 1
    assert world.run(retry_failed=True).count("complete") == 1
    assert world.record().sources["code/mine.py"] == hashlib.sha256(ADAPTER.encode()).hexdigest()


def test_a_retry_with_other_code_that_is_interrupted_before_it_begins_leaves_nothing_to_go_on_from(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next one would take the old code's checkpoint for its own."""
    world.run()
    run = json.loads((world.files().folder / "run.json").read_text())
    killed = run | {"status": "failed", "stopped": None, "reason": "its process died", "digest": None}
    (world.files().folder / "run.json").write_text(json.dumps(killed))
    (world.files().folder / "error.txt").unlink(missing_ok=True)
    world.edit("code/mine.py")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cell_run, "warm_up", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.run(retry_failed=True, isolate=False)
    assert world.files().reports() == []
    assert world.run(isolate=False).count("complete") == 1
    assert world.record().resumed == 0
    assert verify(world.out).findings == []


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("isolate", [False, True], ids=["here", "apart"])
def test_code_that_is_edited_while_the_suite_runs_is_not_run(world: World, name: str, isolate: bool) -> None:
    class Edits(Quiet):
        def end(self, *_: object) -> None:
            world.edit(name)

    summary = world.run(seeds=[0, 1], watch=Edits(), isolate=isolate)
    first, second = summary.results
    assert (first.verdict, second.verdict) == ("complete", "refused")
    assert second.why is not None
    assert second.why.startswith(f"edited while the suite runs: {name} was")
    assert world.files(1).record() is None
    assert summary.exit_code == 1


def test_a_record_of_before_digests_were_kept_is_taken_as_it_is(world: World) -> None:
    world.run()
    path = world.files().folder / "run.json"
    old = json.loads(path.read_text())
    del old["sources"]
    path.write_text(json.dumps(old | {"digest": None}))
    world.edit("code/mine.py")
    assert world.run().count("complete before") == 1


def test_verify_names_the_cells_of_a_folder_that_ran_other_code(world: World) -> None:
    world.run(seeds=[0, 1])
    world.edit("code/mine.py")
    assert world.run(seeds=[2]).count("complete") == 1  # the others are not asked for
    result = verify(world.out)
    assert not result.sound
    (finding,) = result.findings
    assert "code/mine.py was edited between its runs: 2 cells ran with sha256" in finding.message
    other = world.record(2).sources["code/mine.py"][:8]
    assert finding.message.endswith(f"1 cell ran with {other} (p/mine/seed-2)")


def test_a_file_may_hold_several_methods_of_which_one_is_mended(world: World) -> None:
    other = ADAPTER.replace("Mine", "Other").replace('"mine"', '"other"').replace("< 0", ">= 0")
    path = world.folder / "code" / "mine.py"
    path.write_text(ADAPTER + other)
    with (world.folder / "s.toml").open("a") as file:
        file.write('[methods.other]\nadapter = "code/mine.py:Other"\n')
    assert world.run().exit_code == 1
    path.write_text(ADAPTER + other.replace(">= 0", "< 0"))
    assert world.run(methods="other", retry_failed=True).count("complete") == 1
    assert verify(world.out).findings == []


def test_verify_names_a_model_that_was_edited_between_methods(world: World) -> None:
    with (world.folder / "s.toml").open("a") as file:
        file.write("[methods.random_search]\n")
    world.run(methods="mine")
    world.edit("net.py")
    world.run(methods="random_search")
    (finding,) = verify(world.out).findings
    assert finding.message.startswith("net.py was edited between its runs: 1 cell ran with sha256")


def test_the_referee_retrains_no_other_model_than_the_one_that_ran(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    monkeypatch.chdir(world.folder)
    before = world.contents()
    world.edit("net.py")
    with pytest.raises(InputError, match=r"p/mine was run with other code or data, edited since: net\.py"):
        referee_folder(world.out, draws=2)
    assert world.contents() == before
    (world.folder / "net.py").write_text(MODEL)
    world.edit("code/mine.py")  # which has no part in it
    assert referee_folder(world.out, draws=2).retrained == 1


def test_a_cluster_is_sent_all_files_that_a_cell_s_code_consists_of(world: World) -> None:
    (cell,) = load_suite(world.folder / "s.toml").cells()
    assert _sent(cell) == {name: FILES[name].encode() for name in CODE}
