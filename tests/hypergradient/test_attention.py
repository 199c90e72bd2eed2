"""Models with torch's attention: differentiated through a training as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import autograd_hypergradient, relative_error, some_schedule, tiny_trainer

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode

MODELS = """
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

class Layered(nn.Module):
    '''nn.MultiheadAttention over the rows of an image.'''
    def __init__(self, side, classes):
        super().__init__()
        self.up, self.out = nn.Linear(side, 6), nn.Linear(6, classes)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        rows = self.up(x[:, 0])
        return self.out(self.attention(rows, rows, rows, need_weights=False)[0].mean(1))

class ByHand(nn.Module):
    def __init__(self, side, classes):
        super().__init__()
        self.up, self.out = nn.Linear(side, 12), nn.Linear(4, classes)

    def forward(self, x):
        q, k, v = self.up(x[:, 0]).unsqueeze(1).chunk(3, -1)
        return self.out(scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0].mean(1))

def layered(shape, classes):
    return Layered(shape[2], classes)

def encoder(shape, classes):
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, activation="gelu")
    body = nn.TransformerEncoder(layer, 1)
    return nn.Sequential(nn.Flatten(1, 2), body, nn.Flatten(), nn.Linear(64, classes))

def by_hand(shape, classes):
    return ByHand(shape[2], classes)
"""


@pytest.mark.parametrize("mode", [ForwardMode(), ReverseMode()], ids=["forward", "reverse"])
@pytest.mark.parametrize("function", ["layered", "encoder", "by_hand"])
def test_its_hypergradient_is_autograd_through_the_whole_unrolled_training(
    tmp_path: Path, function: str, mode: Mode
) -> None:
    path = tmp_path / "attention.py"
    path.write_text(MODELS)
    trainer = tiny_trainer(f"{path}:{function}", windows=(2, 1, 1), horizon=4, batch_size=5, examples=30)
    schedule = some_schedule(trainer)
    found = mode(trainer, schedule, 0).gradient
    assert found is not None
    assert relative_error(found, autograd_hypergradient(trainer, schedule)) < 1e-8
