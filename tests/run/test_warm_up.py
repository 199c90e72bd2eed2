"""What is set up at first use is set up before the clock starts, whatever a method's mode needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hpobench_fds.methods.fds import FDS
from hpobench_fds.methods.hd import HD
from hpobench_fds.methods.one_pass import OnePass
from hpobench_fds.methods.random_search import RandomSearch
from hpobench_fds.methods.reverse_sharing import ReverseSharing
from hpobench_fds.methods.rtho import RTHO
from oracles import tiny_trainer

from hpobench_fds.method import Method
from hpobench_fds.run.cell_run import warm_up

METHODS: dict[str, type[Method]] = {
    "random_search": RandomSearch, "fds": FDS, "reverse_sharing": ReverseSharing, "hd": HD, "rtho": RTHO,
    "one_pass": OnePass,
}  # fmt: skip
NEEDS_PRODUCTS = {"fds", "reverse_sharing", "rtho"}


@pytest.mark.parametrize("name", METHODS)
def test_a_step_or_two_of_each_kind_of_work_is_done(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tiny_trainer(horizon=400).problem
    calls = {"gradient": 0, "products": 0, "logits": 0}

    def counted(kind: str, call: Callable[..., object]) -> Callable[..., object]:
        def one(*arguments: object, **keywords: object) -> object:
            calls[kind] += 1
            return call(*arguments, **keywords)

        return one

    for kind in calls:
        monkeypatch.setattr(problem.network, kind, counted(kind, getattr(problem.network, kind)))
    warm_up(METHODS[name](), problem)
    assert 2 <= calls["gradient"] <= 20
    assert calls["logits"] >= 1  # an evaluation
    assert (calls["products"] > 0) == (name in NEEDS_PRODUCTS)
    assert problem.look_every > 1  # as it was


def test_a_method_that_cannot_warm_up_says_so_on_its_own_time() -> None:
    class Broken(FDS):
        def hypergradient(self, *arguments: object) -> object:  # type: ignore[override]
            raise RuntimeError("not here")

    warm_up(Broken(), tiny_trainer(horizon=4).problem)


MODULE = """
from torch import nn

def build(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, classes))
"""
# What costs seconds at a first hypergradient is what torch imports for it: nothing may be left to import.
SCRIPT = """
import sys
from importlib import import_module
from hpobench_fds.run.cell_run import warm_up
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer
from hpobench_fds.method.contract import Deaf, Task
module, name = sys.argv[1].split(":")
method = getattr(import_module("hpobench_fds.methods." + module), name)()
problem, _ = load_problem(ProblemConfig(dataset="digits", model=sys.argv[2], horizon=8, batch_size=8))
warm_up(method, problem)
before = set(sys.modules)
clock = Clock()
trainer = Trainer(problem, 0, clock, Budget(clock, steps=16))
method.run(Task(trainer, Deaf(), method_name=method.name))
late = sorted(set(sys.modules) - before)
assert not late, late
"""


@pytest.mark.parametrize("method", ["fds:FDS", "reverse_sharing:ReverseSharing", "rtho:RTHO"])
@pytest.mark.parametrize("model", ["mlp", "module"])
def test_a_method_imports_nothing_on_its_clock(tmp_path: Path, method: str, model: str) -> None:
    if model == "module":
        path = tmp_path / "module.py"
        path.write_text(MODULE)
        model = f"{path}:build"
    done = subprocess.run([sys.executable, "-c", SCRIPT, method, model], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
