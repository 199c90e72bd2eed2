"""An inner problem that can be solved by hand: a quadratic loss, whose hypergradient is a formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import tiny_trainer
from torch import Tensor

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient, Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.nn.network import Network, Tape
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.trainer import Trainer

CURVATURE = np.array([0.3, 1.0, 2.5])
CENTRE = np.array([1.0, -2.0, 0.5])
START = np.array([3.0, 1.0, -1.0])

MODES: dict[str, Mode] = {
    "forward": ForwardMode(),
    "reverse": ReverseMode(),
    "reverse, full": ReverseMode(full=True),
}


class Quadratic(Network):
    """loss(w) = sum_i a_i (w_i - b_i)^2 / 2 whatever the batch, for training and validation alike."""

    shapes = [(2,), (1,)]  # noqa: RUF012
    size = 3
    a, b = torch.tensor(CURVATURE), torch.tensor(CENTRE)

    def initial(self, generator: torch.Generator) -> Tensor:
        return torch.tensor(START)

    def logits(self, w: Tensor, x: Tensor, buffers: Tensor | None = None, draw: int | None = None) -> Tensor:
        return w.new_zeros(len(x), 4)

    def gradient(
        self,
        w: Tensor,
        x: Tensor,
        y: Tensor,
        buffers: Tensor | None = None,
        plain: bool = False,
        draw: int | None = None,
    ) -> Tape:
        away = w - self.b
        return Tape((self.a * away**2).sum() / 2, self.a * away, None)

    def products(self, w: Tensor, tape: Tape, directions: Tangents, out: Tangents) -> None:
        out.flat.copy_(directions.flat)
        out.mul_vector(self.a)


def quadratic(horizon: int, windows: tuple[int, int, int] = (1, 1, 1)) -> Trainer:
    trainer = tiny_trainer(windows=windows, horizon=horizon)
    trainer.problem.network = Quadratic()
    return trainer


def assert_is(result: Hypergradient, loss: float, gradient: dict[str, list[float]]) -> None:
    assert result.ending == "ok"
    assert result.gradient is not None
    assert result.loss == pytest.approx(loss, rel=1e-12)
    names = {"lr": 0, "momentum": 1, "weight_decay": 2}
    parts = np.split(result.gradient, np.cumsum([len(gradient.get(name, [0.0])) for name in names])[:-1])
    for name, truth in gradient.items():
        np.testing.assert_allclose(parts[names[name]], truth, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("horizon", [1, 2, 7, 60])
@pytest.mark.parametrize("lr", [0.1, 0.5, -0.01])
def test_the_learning_rate_of_gradient_descent(mode: str, horizon: int, lr: float) -> None:
    """e_T = (1 - lr a)^T e_0, so dL/dlr = - sum a^2 T (1 - lr a)^(2T - 1) e_0^2."""
    a, e0 = CURVATURE, START - CENTRE
    loss = float(np.sum(a * (1 - lr * a) ** (2 * horizon) * e0**2) / 2)
    slope = -float(np.sum(a**2 * horizon * (1 - lr * a) ** (2 * horizon - 1) * e0**2))
    schedule = Schedule.of({"lr": lr, "momentum": 0.0, "weight_decay": 0.0})
    assert_is(MODES[mode](quadratic(horizon), schedule, 0), loss, {"lr": [slope]})


@pytest.mark.parametrize("mode", MODES)
def test_a_learning_rate_in_three_windows(mode: str) -> None:
    """e_T = prod_i (1 - lr_i a)^(n_i) e_0: a window's share is its own factor's derivative."""
    lrs, counts, horizon = np.array([0.3, 0.2, 0.05]), np.array([4, 3, 3]), 10  # floor(3 t / 10)
    a, e0 = CURVATURE, START - CENTRE
    end = np.prod([(1 - lr * a) ** n for lr, n in zip(lrs, counts, strict=True)], axis=0) * e0
    slopes = [-float(np.sum(a * end**2 * n * a / (1 - lr * a))) for lr, n in zip(lrs, counts, strict=True)]
    schedule = Schedule.of({"lr": lrs.tolist(), "momentum": 0.0, "weight_decay": 0.0})
    result = MODES[mode](quadratic(horizon, (3, 1, 1)), schedule, 0)
    assert_is(result, float(np.sum(a * end**2) / 2), {"lr": slopes})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_weight_decay_moves_the_fixed_point_and_the_rate(mode: str, decay: float) -> None:
    """w_T = w* + r^T (w_0 - w*) with w* = a b / (a + d), r = 1 - lr (a + d)."""
    lr, horizon = 0.15, 12
    a, b, w0 = CURVATURE, CENTRE, START
    fixed, rate = a * b / (a + decay), 1 - lr * (a + decay)
    end = fixed + rate**horizon * (w0 - fixed)
    d_fixed = -a * b / (a + decay) ** 2
    d_end = d_fixed * (1 - rate**horizon) - lr * horizon * rate ** (horizon - 1) * (w0 - fixed)
    slope = float(np.sum(a * (end - b) * d_end))
    schedule = Schedule.of({"lr": lr, "momentum": 0.0, "weight_decay": decay})
    loss = float(np.sum(a * (end - b) ** 2) / 2)
    assert_is(MODES[mode](quadratic(horizon), schedule, 0), loss, {"weight_decay": [slope]})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("lr", "momentum"), [(0.1, 0.5), (0.05, 0.9), (0.3, -0.4)])
@pytest.mark.parametrize("horizon", [1, 8, 55])
def test_momentum_by_powers_of_a_two_by_two_matrix(
    mode: str, lr: float, momentum: float, horizon: int
) -> None:
    """(e, v)' = M (e, v) for each curvature; dM^T = sum_t M^(T - 1 - t) dM M^t."""
    power = np.linalg.matrix_power
    loss, d_lr, d_momentum = 0.0, 0.0, 0.0
    for a, e0 in zip(CURVATURE, START - CENTRE, strict=True):
        m = np.array([[1 - lr * a, -lr * momentum], [a, momentum]])
        by_lr = np.array([[-a, -momentum], [0.0, 0.0]])
        by_momentum = np.array([[0.0, -lr], [0.0, 1.0]])
        start = np.array([e0, 0.0])
        end = (power(m, horizon) @ start)[0]
        loss += a * end**2 / 2
        for t in range(horizon):
            after, before = power(m, horizon - 1 - t), power(m, t) @ start
            d_lr += a * end * (after @ by_lr @ before)[0]
            d_momentum += a * end * (after @ by_momentum @ before)[0]
    schedule = Schedule.of({"lr": lr, "momentum": momentum, "weight_decay": 0.0})
    result = MODES[mode](quadratic(horizon), schedule, 0)
    assert_is(result, loss, {"lr": [d_lr], "momentum": [d_momentum]})
