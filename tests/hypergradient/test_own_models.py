"""Any torch.nn.Module is differentiated through a training, whatever layers torch has are in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from oracles import autograd_hypergradient, relative_error, some_schedule, tiny_trainer

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.nn.module_network import ModuleNetwork
from hpobench_fds.training.trainer import Trainer

MODELS = """
import torch
from torch import nn

def flat(*layers, to=6):
    def build(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), *layers, nn.Linear(to, classes))
    return build

def convolved(*layers, to=144):
    def build(shape, classes):
        return nn.Sequential(nn.Conv2d(1, 4, 3), *layers, nn.Flatten(), nn.Linear(to, classes))
    return build

batch_norm = convolved(nn.BatchNorm2d(4), nn.ReLU())
batch_norm_1d = flat(nn.BatchNorm1d(6), nn.ReLU())
instance_norm = convolved(nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.ReLU())
group_norm = convolved(nn.GroupNorm(2, 4), nn.SiLU(), nn.AvgPool2d(2), to=36)
layer_norm = flat(nn.LayerNorm(6), nn.GELU())
rms_norm = flat(nn.RMSNorm(6), nn.SiLU())

def conv1d(shape, classes):
    return nn.Sequential(
        nn.Flatten(1, 2), nn.Conv1d(8, 6, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(6, 4, 3, stride=2, bias=False), nn.GELU(), nn.Flatten(), nn.Linear(4, classes),
    )

class Read(nn.Module):
    '''The rows of an image one after another; what is left at the end decides.'''
    def __init__(self, kind, classes, **options):
        super().__init__()
        self.layer = getattr(nn, kind)(8, 5, **options)
        side = (options.get("proj_size") or 5) * (2 if options.get("bidirectional") else 1)
        self.out = nn.Linear(side, classes)
        self.start = nn.Parameter(torch.zeros(1)) if options.get("nonlinearity") else None

    def forward(self, x):
        rows = x[:, 0] if self.layer.batch_first else x[:, 0].transpose(0, 1)
        begun = () if self.start is None else (self.start.expand(1, len(x), 5),)
        read, last = self.layer(rows, *begun)
        mean = read.mean(1 if self.layer.batch_first else 0)
        return self.out(mean) + (last[-1] if isinstance(last, tuple) else last).mean()

def read(kind, **options):
    return lambda shape, classes: Read(kind, classes, **options)

lstm = read("LSTM", batch_first=True)
lstm_both_ways = read("LSTM", num_layers=2, bidirectional=True, bias=False)
lstm_projected = read("LSTM", batch_first=True, bidirectional=True, proj_size=3)
gru = read("GRU", batch_first=True)
gru_both_ways = read("GRU", num_layers=2, bidirectional=True)
rnn = read("RNN", num_layers=2)
rnn_from_a_learned_start = read("RNN", nonlinearity="relu", batch_first=True)

class Swish(torch.autograd.Function):
    '''As people wrote their own before torch.func, which does not take it.'''
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.sigmoid() * (1 + x * (1 - x.sigmoid()))

class Own(nn.Module):
    def forward(self, x):
        return Swish.apply(x)

own_function = flat(Own())

class Halts(nn.Module):
    '''Goes round until the values say so.'''
    def forward(self, x):
        for _ in range(5):
            if x.abs().max().item() < 0.9:
                break
            x = torch.tanh(x)
        return x

halts = flat(Halts())

class Tokens(nn.Module):
    def __init__(self, places, classes):
        super().__init__()
        self.embed, self.norm = nn.Embedding(11, 6, padding_idx=0), nn.LayerNorm(6)
        self.register_buffer("position", torch.linspace(-1, 1, 6 * places).view(places, 6))
        self.mix = torch.tril(torch.ones(places, places)) / places
        self.out = nn.Linear(6, classes)

    def forward(self, codes):
        return self.out(torch.tanh(self.mix @ self.norm(self.embed(codes) + self.position)).mean(1))

def tokens(shape, classes):
    return Tokens(shape[0], classes)

class Bag(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.bag, self.out = nn.EmbeddingBag(11, 6, mode="mean"), nn.Linear(6, classes)

    def forward(self, codes):
        return self.out(torch.tanh(self.bag(codes)))

def bag(shape, classes):
    return Bag(classes)
"""
OF_IMAGES = [
    "batch_norm", "batch_norm_1d", "instance_norm", "group_norm", "layer_norm", "rms_norm", "conv1d",
    "lstm", "lstm_both_ways", "lstm_projected", "gru", "gru_both_ways", "rnn", "rnn_from_a_learned_start",
    "own_function", "halts",
]  # fmt: skip
OF_CODES = ["tokens"]


def codes_dataset() -> Dataset:
    """Sequences of eight codes below 11, with labels that depend on them."""
    x = torch.randint(11, (30, 8), generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] + x[:, 3]) % 4
    return Dataset("codes", x, y, x[:10], y[:10], 4)


def trainer_of(folder: Path, function: str) -> Trainer:
    path = folder / "own.py"
    path.write_text(MODELS)
    data = codes_dataset() if function in (*OF_CODES, "bag") else None
    name = f"{path}:{function}"
    return tiny_trainer(name, windows=(2, 1, 1), horizon=4, batch_size=5, examples=30, dataset=data)


@pytest.mark.parametrize("mode", [ForwardMode(), ReverseMode()], ids=["forward", "reverse"])
@pytest.mark.parametrize("function", [*OF_IMAGES, *OF_CODES])
def test_its_hypergradient_is_autograd_through_the_whole_unrolled_training(
    tmp_path: Path, function: str, mode: Mode
) -> None:
    trainer = trainer_of(tmp_path, function)
    assert trainer.problem.network.no_products is None
    schedule = some_schedule(trainer)
    found = mode(trainer, schedule, 0).gradient
    assert found is not None
    assert relative_error(found, autograd_hypergradient(trainer, schedule)) < 1e-8


@pytest.mark.parametrize(
    ("function", "rule"), [("own_function", False), ("halts", True), ("lstm", True), ("tokens", True)]
)
def test_what_has_no_forward_rule_is_differentiated_twice_in_reverse(
    tmp_path: Path, function: str, rule: bool
) -> None:
    network = trainer_of(tmp_path, function).problem.network
    assert isinstance(network, ModuleNetwork)
    assert network.reverse_twice
    assert network.forward_rules is rule


def test_a_layer_that_torch_differentiates_only_once_is_named(tmp_path: Path) -> None:
    problem = trainer_of(tmp_path, "bag").problem
    said = ForwardMode().uncovered(problem)
    assert said is not None
    told = "the model has no Hessian-vector products: the layer 'bag' (EmbeddingBag): "
    assert said.startswith(told)
    assert re.search(r"Error: .* \(allowed: operations that torch differentiates twice\)$", said)
