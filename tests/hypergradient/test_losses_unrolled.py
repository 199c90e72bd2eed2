"""Hypergradients of every loss, in every exact mode, against autograd through the unrolled run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import autograd_hypergradient, relative_error, some_schedule

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.nn.losses import CrossEntropy
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer, evaluate_on

SPACE = {
    name: HyperparameterSpace(windows=windows, low=-2, high=2)
    for name, windows in (("lr", 2), ("momentum", 1), ("weight_decay", 1))
}
MODULES = """
from torch import nn

def numbers(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 6), nn.Tanh(), nn.Linear(6, outputs))

def tokens(shape, outputs):
    return nn.Sequential(nn.Embedding(outputs, 5), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, outputs))
"""
MODES = pytest.mark.parametrize("mode", [ForwardMode(), ReverseMode()], ids=["forward", "reverse"])


def numbers(targets: int = 2) -> Dataset:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=g, dtype=torch.float64)
    y = torch.tanh(x @ torch.randn(5, targets, generator=g, dtype=torch.float64))
    return Dataset("numbers", x, y, x[:10], y[:10], targets)


def classes() -> Dataset:
    data = numbers(4)
    y, y_test = data.y_train.argmax(1), data.y_test.argmax(1)
    return Dataset("classes", data.x_train, y, data.x_test, y_test, 4)


def tokens() -> Dataset:
    text = torch.randint(7, (40, 6), generator=torch.Generator().manual_seed(0))
    text[:, 1::2] = (text[:, ::2] + 1) % 7  # half of the tokens can be told
    x, y = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    return Dataset("tokens", x, y, x[:10], y[:10], 7)


def trainer(data: Dataset, model: str, **config: object) -> Trainer:
    settings = ProblemConfig(
        dataset=data.name, model=model, horizon=6, batch_size=5, space=SPACE, dtype="float64",
        validation_fraction=0.2, **config,
    )  # fmt: skip
    return Trainer(Problem(settings, data), 0, Clock())


@MODES
@pytest.mark.parametrize("case", ["squared error", "squared error of a module", "next token", "smoothed"])
def test_its_hypergradient_is_autograd_through_the_unrolled_run(
    tmp_path: Path, case: str, mode: Mode
) -> None:
    (tmp_path / "net.py").write_text(MODULES)
    made = {
        "squared error": lambda: trainer(numbers(), "mlp", loss="squared_error"),
        "squared error of a module": lambda: trainer(
            numbers(), f"{tmp_path}/net.py:numbers", loss="squared_error"
        ),
        "next token": lambda: trainer(tokens(), f"{tmp_path}/net.py:tokens", loss="next_token"),
        "smoothed": lambda: trainer(classes(), "mlp", label_smoothing=0.2),
    }[case]()
    schedule = some_schedule(made)
    found = mode(made, schedule, 0)
    assert found.gradient is not None
    assert relative_error(found.gradient, autograd_hypergradient(made, schedule)) < 1e-8


def test_weights_are_validated_without_smoothing() -> None:
    smooth, plain = trainer(classes(), "mlp", label_smoothing=0.5), trainer(classes(), "mlp")
    state = plain.start(0)
    assert smooth.evaluate(state) == plain.evaluate(state)
    assert smooth.problem.objective.plain == CrossEntropy()
    smooth.train(one := smooth.start(0), some_schedule(smooth))
    plain.train(other := plain.start(0), some_schedule(plain))
    assert not torch.allclose(one.w, other.w)


@pytest.mark.parametrize(
    ("data", "model", "loss", "metric"),
    [(numbers, "numbers", "squared_error", "R²"), (tokens, "tokens", "next_token", "bits a token")],
)
def test_training_makes_the_metric_better(
    tmp_path: Path, data: object, model: str, loss: str, metric: str
) -> None:
    (tmp_path / "net.py").write_text(MODULES)
    made = trainer(data(), f"{tmp_path}/net.py:{model}", loss=loss)  # type: ignore[operator]
    of = made.problem.objective.metric
    assert of.name == metric
    before = made.evaluate(made.start(0))
    state = made.start(0)
    space = made.problem.space
    made.train(state, space.from_vector(np.array([0.1, 0.1, 0.5, 0.0])))
    x, y = made.problem.x, made.problem.y
    seen = evaluate_on(made.problem, state, x, y)
    assert seen.loss < before.loss
    assert (seen.metric > before.metric) == of.higher_is_better
