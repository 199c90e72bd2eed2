"""Models that draw while they train, by trial and step alone: replays and hypergradients are exact."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from oracles import autograd_hypergradient, relative_error, some_schedule, tiny_trainer
from torch import Tensor

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.nn.draws import drawn
from hpobench_fds.nn.layers import Dropout
from hpobench_fds.nn.network import LayeredNetwork
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.trainer import Trainer

MODELS = """
import torch
import torch.nn.functional as F
from torch import nn

import hpobench_fds.nn as ours

def layers(shape, classes):
    block = ours.Residual(ours.Sequential(ours.Dropout(0.2), ours.Linear(6, 6, "c"), ours.SiLU()))
    return ours.Sequential(
        ours.Flatten(), ours.Dropout(0.3), ours.Linear(64, 6, "a"), ours.SiLU(), block, ours.Dropout(0.4),
        ours.Linear(6, classes, "b"),
    )

def flat(*layers):
    def build(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), *layers, nn.Tanh(), nn.Linear(6, classes))
    return build

dropout = flat(nn.Dropout(0.4), nn.SiLU(), nn.Dropout(0.2, inplace=True))
alpha_dropout = flat(nn.AlphaDropout(0.3))

def dropout_1d(shape, classes):
    return nn.Sequential(nn.Flatten(1, 2), nn.Dropout1d(0.3), nn.Flatten(), nn.Linear(64, classes), nn.Tanh())

def dropout_2d(shape, classes):
    conv = nn.Conv2d(1, 4, 3)
    return nn.Sequential(conv, nn.Dropout2d(0.3), nn.Tanh(), nn.Flatten(), nn.Linear(144, classes))

def encoder(shape, classes):
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.2, batch_first=True, activation="gelu")
    body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    return nn.Sequential(nn.Flatten(1, 2), body, nn.Flatten(), nn.Linear(64, classes))

class Read(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.read = nn.LSTM(8, 5, num_layers=2, dropout=0.3, batch_first=True)
        self.out = nn.Linear(5, classes)

    def forward(self, x):
        return self.out(self.read(x[:, 0])[0].mean(1))

def lstm(shape, classes):
    return Read(classes)

class Noisy(nn.Module):
    '''A path that is left out in every second step, functional dropout, and noise.'''
    def __init__(self, classes):
        super().__init__()
        self.up, self.beside, self.out = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, classes)

    def forward(self, x):
        h = torch.tanh(self.up(x.flatten(1)))
        if self.training:
            h = h + (torch.rand(()) < 0.5).to(h) * self.beside(h) + 0.1 * torch.randn_like(h)
        return self.out(F.dropout(h, 0.3, self.training))

def noise(shape, classes):
    return Noisy(classes)
"""
FUNCTIONS = [
    "layers", "dropout", "alpha_dropout", "dropout_1d", "dropout_2d", "encoder", "lstm", "noise",
]  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(MODELS)
    return path


def trainer_of(model: Path, function: str, **options: object) -> Trainer:
    settings = {"windows": (2, 1, 1), "horizon": 5, "batch_size": 5, "examples": 30, **options}
    trainer = tiny_trainer(f"{model}:{function}", **settings)  # type: ignore[arg-type]
    assert trainer.problem.network.random
    assert trainer.problem.network.no_products is None
    return trainer


def gradient(trainer: Trainer, w: Tensor, draw: int | None) -> Tensor:
    x, y = trainer.data(0).batch(0)
    return trainer.problem.network.gradient(w, x, y, draw=draw).gradient.clone()


@pytest.mark.parametrize(
    "mode",
    [ForwardMode(), ReverseMode(), ReverseMode(full=True)],
    ids=["forward", "reverse", "reverse, full"],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_its_hypergradient_is_autograd_through_the_training_with_the_same_masks(
    model: Path, function: str, mode: Mode
) -> None:
    trainer = trainer_of(model, function)
    schedule = some_schedule(trainer)
    found = mode(trainer, schedule, 0).gradient
    assert found is not None
    assert relative_error(found, autograd_hypergradient(trainer, schedule)) < 1e-10


@pytest.mark.parametrize("function", FUNCTIONS)
def test_masks_are_of_trial_and_step_alone(model: Path, function: str) -> None:
    trainer, again = trainer_of(model, function), trainer_of(model, function)
    w = trainer.start(0).w
    draws = [trainer.data(trial).draw(step) for trial in (0, 1) for step in (0, 1, 2, 3)]
    assert draws == [again.data(trial).draw(step) for trial in (0, 1) for step in (0, 1, 2, 3)]
    gradients = [gradient(trainer, w, draw) for draw in draws]
    torch.rand(17)  # what others draw is of no account, and none of theirs
    for found, draw in zip(gradients, draws, strict=True):
        assert torch.equal(found, gradient(again, w, draw))
    assert not any(torch.equal(gradients[0], other) for other in gradients[1:])
    before = torch.default_generator.get_state()
    gradient(trainer, w, draws[0])
    assert torch.equal(before, torch.default_generator.get_state())


@pytest.mark.parametrize("function", ["layers", "encoder", "noise"])
def test_a_training_that_is_taken_up_from_a_copy_ends_as_one_that_never_stopped(
    model: Path, function: str
) -> None:
    trainer, other = trainer_of(model, function), trainer_of(model, function)
    schedule = some_schedule(trainer)
    whole, parts = trainer.start(0), other.start(0)
    trainer.train(whole, schedule)
    other.train(parts, schedule, until=2)
    copied = parts.clone()
    other.train(parts, schedule)
    trainer.train(copied, schedule)
    for state in (parts, copied):
        assert torch.equal(whole.w, state.w)
        assert torch.equal(whole.slots, state.slots)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_dropped_in_evaluation(model: Path, function: str) -> None:
    trainer = trainer_of(model, function)
    state, data = trainer.start(0), trainer.data(0)
    network = trainer.problem.network
    gradient(trainer, state.w, 3)  # what went before is of no account
    found = network.logits(state.w, data.x_validation)
    assert torch.equal(found, network.logits(state.w, data.x_validation))
    model.write_text(re.sub(r"0\.\d", "0.0", MODELS).replace("self.training", "False"))
    without = tiny_trainer(f"{model}:{function}", examples=30).problem.network
    assert not without.random
    torch.testing.assert_close(found, without.logits(state.w, data.x_validation), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(found, network.logits(state.w, data.x_validation, draw=3))


def test_the_layer_drops_its_share_and_keeps_the_mean(model: Path) -> None:
    network = trainer_of(model, "layers").problem.network
    assert isinstance(network, LayeredNetwork)
    ones = torch.ones(400, 50, dtype=torch.float64)
    with drawn(7, torch.device("cpu")):
        kept = Dropout(0.3).apply((), ones, None)
    assert set(kept.unique().tolist()) == {0.0, 1.0 / 0.7}
    assert float((kept == 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert Dropout(0.3).apply((), ones, None) is ones
    with pytest.raises(ValueError, match="less than 1"):
        Dropout(1.0)


def test_layers_that_drop_nothing_are_not_random() -> None:
    trainer = tiny_trainer("mlp")
    assert not trainer.problem.network.random
    assert trainer.data(0).draw(0) is None


def test_the_masks_of_a_replay_are_those_of_the_step(model: Path) -> None:
    trainer = trainer_of(model, "dropout")
    state = trainer.start(0)
    inner: InnerStep = trainer.inner(state)
    first = inner.begin(2, (0.1, 0.0, 0.0)).gradient.clone()
    replay = trainer.inner(state.clone(), role="replay", derived=True)
    assert torch.equal(first, replay.begin(2, (0.1, 0.0, 0.0)).gradient)
