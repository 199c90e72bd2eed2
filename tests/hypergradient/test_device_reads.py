"""No loop reads from the device but at looks, every ``look_every`` steps: on a GPU each read waits for it.

The loops run on tensors of a pretended GPU, which have shapes and a device but no values: reading one
raises, and so does an operation on tensors of two devices. Looks alone are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hpobench_fds.methods.hdm import HDM
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.hypergradient import carried, reverse
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.online import OnlineMode, one_value_space
from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import Task
from hpobench_fds.method.contract import Deaf
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.state import Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer

HORIZON, EVERY = 30, 10  # inner steps, and looks in an epoch of so many
LEARNED = {
    "sgd": ("lr", "momentum", "weight_decay"),
    "nesterov": ("lr", "momentum"),
    "adam": ("lr", "beta1", "eps"),
    "adamw": ("lr", "beta2", "weight_decay"),
}


def problem_of(model: str, shape: tuple[int, ...], optimiser: str) -> Problem:
    """With clipping, a log scale and a hyperparameter that is not learned; on the CPU so far."""
    space = {
        name: HyperparameterSpace(
            windows=3 if name == "lr" else 1,
            low=0.01,
            high=0.9,
            initial=0.1,
            scale="log" if name == "lr" else "linear",
        )
        for name in LEARNED[optimiser]
    }
    x, y = torch.randn(100, *shape), torch.randint(4, (100,))
    config = ProblemConfig(
        dataset="noise", model=model, horizon=HORIZON, batch_size=8, optimiser=optimiser, space=space,
        gradient_clip=1.0, validation_fraction=0.2,
    )  # fmt: skip
    return Problem(config, Dataset("noise", x, y, x[:4], y[:4], 4))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Step counts at which a loop looked; what comes after a loop is answered as well."""
    seen: list[int] = []

    def read(inner: InnerStep, watched: Tensor | None) -> tuple[list[float], bool]:
        if not inner._replay or watched is not None:  # a replay has no losses: nothing is read
            seen.append(inner.state.step)
        return [], True

    def validated(trainer: Trainer, state: TrainState) -> tuple[float, Tensor]:
        return 1.0, torch.ones_like(state.w)

    monkeypatch.setattr(InnerStep, "_read", read)
    monkeypatch.setattr(carried, "validation_gradient", validated)
    monkeypatch.setattr(reverse, "validation_gradient", validated)
    monkeypatch.setattr(Trainer, "evaluate", lambda trainer, state: Evaluation(1.0, 0.5))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**40, 2**40))
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)  # a pretended GPU's host has none
    monkeypatch.setattr(Tensor, "numpy", lambda tensor: np.zeros(tuple(tensor.shape)))
    return seen


@contextmanager
def on_pretended_gpu(problem: Problem, device: str = "cuda") -> Iterator[Trainer]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        problem.x = torch.empty(problem.x.shape, device=device)
        problem.y = torch.empty(problem.y.shape, dtype=torch.int64, device=device)
        problem.device, problem.look_every = problem.x.device, EVERY
        yield Trainer(problem, 0, Clock())


def online(trainer: Trainer, mode: OnlineMode, kind: str) -> object:
    p = trainer.problem
    options = OuterOptions.model_validate({"kind": kind})
    return mode(trainer, build_outer(options, one_value_space(p.space), p.device), 0)


LOOPS: dict[str, Callable[[Trainer], object]] = {
    "plain": lambda t: t.train(t.start(0), t.problem.space.initial),
    "forward": lambda t: ForwardMode()(t, t.problem.space.initial, 0),
    "forward, clipped": lambda t: ForwardMode(product_clip=1.0)(t, t.problem.space.initial, 0),
    "reverse": lambda t: ReverseMode()(t, t.problem.space.initial, 0),
    "reverse, full": lambda t: ReverseMode(full=True)(t, t.problem.space.initial, 0),
    "truncated": lambda t: ReverseMode(last=12)(t, t.problem.space.initial, 0),
    "greedy, adam": lambda t: online(t, OnlineMode(), "adam"),
    "discounted, sign": lambda t: online(t, OnlineMode(discount=0.9), "sign"),
    "discounted, plain": lambda t: online(t, OnlineMode(discount=1.0, every=3), "plain"),
}
MODELS: dict[str, tuple[int, ...]] = {
    "mlp": (1, 8, 8),
    "lenet": (1, 28, 28),
    "wrn-10-1": (3, 8, 8),
    "resnet-8": (1, 28, 28),
    "conv1d": (1, 40),
    "tab-mlp": (9,),
}


def assert_looks(name: str, seen: list[int]) -> None:
    """Every so many steps on the way, and on the way back where there is one."""
    expected = list(range(EVERY, HORIZON + 1, EVERY))
    if "reverse" in name:
        expected += range(HORIZON - EVERY, -1, -EVERY)
    elif name == "truncated":
        expected += [20, HORIZON - 12]
    assert seen == expected


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("optimiser", LEARNED)
def test_every_rule_and_mode_reads_at_looks_alone(looks: list[int], optimiser: str, name: str) -> None:
    with on_pretended_gpu(problem_of("mlp", MODELS["mlp"], optimiser)) as trainer:
        LOOPS[name](trainer)
    assert_looks(name, looks)


@pytest.mark.parametrize("name", ["plain", "forward", "reverse", "discounted, sign"])
@pytest.mark.parametrize("model", [model for model in MODELS if model != "mlp"])
def test_every_model_keeps_to_one_device(looks: list[int], model: str, name: str) -> None:
    with on_pretended_gpu(problem_of(model, MODELS[model], "sgd")) as trainer:
        LOOPS[name](trainer)
    assert_looks(name, looks)


@pytest.mark.parametrize("feedback", ["training", "validation"])
def test_heavy_ball_moves_without_a_read(looks: list[int], feedback: str) -> None:
    with on_pretended_gpu(problem_of("mlp", MODELS["mlp"], "sgd")) as trainer:
        method = HDM(HDM.Options(feedback=feedback, omega=0.1, tau=1.0))
        task = Task(trainer, Deaf(), method_name="hdm")
        method.train_online(task, method._outer(task), 0)
    assert_looks("hdm", looks)


MODULES = """
import torch
from torch import nn

class Placed(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.out = nn.Linear(8, classes)
        self.register_buffer("position", torch.randn(8, 8))
        self.register_buffer("later", torch.ones(8, 8).triu(1).bool(), persistent=False)
        self.shares = torch.full((8,), 0.125)  # a plain attribute, which torch leaves where it was

    def forward(self, x):
        rows = x[:, 0] + self.position
        seen = (rows @ rows.mT).masked_fill(self.later, -1e9).softmax(-1) @ rows
        return self.out(torch.einsum("t,btc->bc", self.shares, seen))

class Read(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.read, self.out = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, classes)

    def forward(self, x):
        return self.out(self.read(x[:, 0])[0][:, -1])

def placed(shape, classes):
    return Placed(classes)

def read(shape, classes):
    return Read(classes)
"""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        *(("placed", name) for name in ("plain", "forward", "reverse", "discounted, sign")),
        *(("read", name) for name in ("plain", "reverse")),
    ],
)
def test_a_module_keeps_to_one_device_with_its_buffers_and_tensors(
    looks: list[int], tmp_path: Path, function: str, name: str
) -> None:
    """autograd does not run on a pretended GPU; it does on the device of tensors without values."""
    (tmp_path / "own.py").write_text(MODULES)
    problem = problem_of(f"{tmp_path / 'own.py'}:{function}", (1, 8, 8), "sgd")
    with on_pretended_gpu(problem, "meta") as trainer:
        LOOPS[name](trainer)
    assert_looks(name, looks)


def test_a_read_outside_of_a_look_is_seen(looks: list[int]) -> None:
    with on_pretended_gpu(problem_of("mlp", MODELS["mlp"], "sgd")) as trainer:
        state = trainer.start(0)
        inner = trainer.inner(state)
        step = inner.begin(0, inner.values(trainer.problem.space.initial, 0, HORIZON))
        with pytest.raises(DataDependentOutputException):
            float(step.gradient.sum())
