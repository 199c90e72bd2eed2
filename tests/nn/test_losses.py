"""Losses: their written-out derivatives are autograd's, their metrics those of the libraries."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score
from torch import Tensor

from hpobench_fds.metrics import METRICS
from hpobench_fds.nn.losses import LOSSES, CrossEntropy, Loss, NextToken, SquaredError, loss_of

G = torch.Generator().manual_seed(0)
CLASSES = (torch.randn(7, 5, generator=G).double(), torch.arange(7) % 5)
NUMBERS = (torch.randn(7, 3, generator=G).double(), torch.randn(7, 3, generator=G).double())
TOKENS = (torch.randn(4, 6, 5, generator=G).double(), torch.randint(5, (4, 6), generator=G))

CASES = [
    pytest.param(CrossEntropy(), *CLASSES, id="cross-entropy"),
    pytest.param(CrossEntropy(0.1), *CLASSES, id="smoothed"),
    pytest.param(SquaredError(), *NUMBERS, id="squared error"),
    pytest.param(NextToken(), *TOKENS, id="next token"),
]


@pytest.mark.parametrize(("loss", "z", "y"), CASES)
def test_loss_and_gradient_are_autograds(loss: Loss, z: Tensor, y: Tensor) -> None:
    leaf = z.clone().requires_grad_()
    value = loss(leaf, y)
    (gradient,) = torch.autograd.grad(value, leaf)
    pulled = loss.pull(z.clone(), y)
    torch.testing.assert_close(pulled.loss, value.detach(), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(pulled.gradient, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("loss", "z", "y"), CASES)
def test_tangents_of_the_gradient_are_autograds(loss: Loss, z: Tensor, y: Tensor) -> None:
    directions = torch.randn(3, *z.shape, generator=G, dtype=torch.float64)
    gradient = torch.func.grad(lambda q: loss(q, y))
    expected = torch.stack([torch.func.jvp(gradient, (z,), (d,))[1] for d in directions], 1)
    found = loss.push(loss.pull(z.clone(), y).record, directions.transpose(0, 1).clone())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def summed(loss: Loss, z: Tensor, y: Tensor) -> tuple[float, float]:
    """In two batches of unequal size."""
    sums = loss.sums(z[:3], y[:3]) + loss.sums(z[3:], y[3:])
    return loss.told(sums, len(y))


def test_accuracy_is_scikit_learns() -> None:
    z, y = CLASSES
    loss, metric = summed(CrossEntropy(), z, y)
    assert metric == accuracy_score(y, z.argmax(1))
    assert loss == pytest.approx(log_loss(y, torch.softmax(z, 1), labels=range(5)))


def test_r_squared_is_scikit_learns() -> None:
    z, y = NUMBERS
    loss, metric = summed(SquaredError(), z, y)
    assert metric == pytest.approx(r2_score(y, z, multioutput="uniform_average"))
    assert loss == pytest.approx(mean_squared_error(y, z))


def test_a_target_that_does_not_vary_is_explained_by_nobody() -> None:
    z, y = torch.zeros(4, 1).double(), torch.ones(4, 1).double()
    assert summed(SquaredError(), z, y) == (1.0, 0.0)


def test_bits_a_token_are_the_loss_in_bits() -> None:
    loss, metric = summed(NextToken(), *TOKENS)
    assert loss == pytest.approx(float(NextToken()(*TOKENS)))
    assert metric == pytest.approx(loss / math.log(2))


def test_weights_are_validated_without_smoothing() -> None:
    assert CrossEntropy(0.1).plain == CrossEntropy()
    z, y = CLASSES
    assert summed(CrossEntropy(0.1), z, y) == summed(CrossEntropy(), z, y)


@pytest.mark.parametrize(
    ("loss", "outputs", "loss_of_it", "metric"),
    [
        (CrossEntropy(), 10, math.log(10), 0.1),
        (SquaredError(), 3, 1.0, 0.0),
        (NextToken(), 64, math.log(64), 6.0),
    ],
)
def test_guessing(loss: Loss, outputs: int, loss_of_it: float, metric: float) -> None:
    assert loss.guessing(outputs) == pytest.approx((loss_of_it, metric))


def test_every_name_has_a_loss_and_every_metric_a_direction() -> None:
    for name in LOSSES:
        assert loss_of(name).metric.name in METRICS
    assert [one.higher_is_better for one in METRICS.values()] == [True, True, False]
    assert loss_of("cross_entropy", 0.1) == CrossEntropy(0.1)
