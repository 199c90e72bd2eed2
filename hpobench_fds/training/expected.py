"""The loss that a schedule comes to in expectation, in closed form: of linear regression on a stream.

Inputs x ~ N(0, H), H diagonal, targets y = c.x + noise of variance s^2, and a batch of B. With e = w - c the
batch's gradient is G e + n, where G = 2/B sum x x^T and n = -2/B sum x noise, and

    E[G] = 2 H,  E[n n^T] = 4 s^2 H / B,
    E[G A G] = 4 (1 + 1/B) H A H + 4/B tr(H A) H

since E[x x^T A x x^T] = 2 H A H + tr(H A) H of a Gaussian (Isserlis, Biometrika 1918). So the moments of
each weight's error e and velocity v, E[e^2], E[e v], E[v^2], E[e] and E[v], are linear in those of the step
before, whatever the hyperparameters were. They meet in tr(H A) alone, that is through the expected loss.
Wu et al. (ICLR 2018, section 3) work a noisy quadratic out like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from hpobench_fds.data.stream import GaussianStream
from hpobench_fds.schedule import Schedule, window_start
from hpobench_fds.training.inner_step import constant_segments
from hpobench_fds.training.problem import Problem

EE, EV, VV, E, V = range(5)  # the moments, of each weight; behind them stands the number 1
ORDER = ("lr", "momentum", "weight_decay")
MOST_PRODUCTS = 64  # steps alike that are taken one by one; of more the map's power is


@dataclass(frozen=True)
class ExpectedTraining:
    """Expected losses of trainings by SGD with momentum of a linear model on a stream; float64.

    batch_size : examples of a step. initial : variance of each weight before the first, about 0.
    """

    stream: GaussianStream
    batch_size: int
    initial: float

    @classmethod
    def of(cls, problem: Problem) -> ExpectedTraining | None:
        """Of a problem's trainings; None where what they come to is not known in closed form."""
        config, stream = problem.config, problem.stream
        known = config.model == "linear" and config.optimiser == "sgd" and config.gradient_clip is None
        if stream is None or not known:
            return None
        return cls(stream, config.batch_size, 2.0 / (stream.inputs + 1))  # Xavier's, of one output

    def loss(self, schedule: Schedule, horizon: int) -> float:
        """Of the weights after the horizon, a new draw of everything each time. Infinite if it overflows."""
        values, counts = [], []
        for begin, end in constant_segments(schedule, horizon, 0, horizon):
            values.append([schedule.at(name, begin, horizon) for name in ORDER])
            counts.append(end - begin)
        with torch.no_grad():
            found = float(self.loss_of(torch.tensor(values, dtype=torch.float64), counts))
        return found if found < float("inf") else float("inf")

    def loss_of(self, values: Tensor, counts: Sequence[int]) -> Tensor:
        """The same (0-d, differentiable) of values [n, 3] of lr, momentum and weight decay, each for so many
        steps.
        """
        moments = self.start()
        for step, count in zip(self.steps(values), counts, strict=True):
            if count > MOST_PRODUCTS:
                moments = torch.linalg.matrix_power(step, count) @ moments
                continue
            for _ in range(count):
                moments = step @ moments
        return self.loss_at(moments)

    def start(self) -> Tensor:
        """Moments [5 d + 1] before the first step: a velocity of 0, weights about 0."""
        c = self._signal
        zero = torch.zeros_like(c)
        return torch.cat([c.square() + self.initial, zero, zero, -c, zero, c.new_ones(1)])

    def loss_at(self, moments: Tensor) -> Tensor:
        """The expected loss (0-d) at moments: the error's share and the noise."""
        return self._spectrum @ moments[: self.stream.inputs] + self.stream.noise

    def steps(self, values: Tensor) -> Tensor:
        """One step's linear map of the moments [n, 5 d + 1, 5 d + 1] by lr, momentum and weight decay [n, 3].

        As the trainer has it: v' = momentum v + gradient + decay w, w' = w - lr v'.
        """
        lr, momentum, decay = (column[:, None] for column in values.unbind(1))
        return self._moved(lr) @ self._pushed(momentum, decay)

    def _pushed(self, momentum: Tensor, decay: Tensor) -> Tensor:
        """(e, v) to (e, v'): with u = momentum v + decay (e + c), v' = u + G e + n."""
        h, c, b = self._spectrum, self._signal, float(self.batch_size)
        pull, made = decay + 2 * h, _Maps(len(momentum), h)
        made.put(EE, EE, 1.0)
        made.put(E, E, 1.0)
        made.put(EV, EE, pull)
        made.put(EV, EV, momentum)
        made.put(EV, E, decay * c)
        made.put(VV, EE, pull**2 + 4 / b * h**2)
        made.add(VV, EE, 4 / b * torch.outer(h, h))
        made.put(VV, EV, 2 * momentum * pull)
        made.put(VV, VV, momentum**2)
        made.put(VV, E, 2 * decay * c * pull)
        made.put(VV, V, 2 * momentum * decay * c)
        made.shift(VV, decay**2 * c**2 + 4 / b * self.stream.noise * h)
        made.put(V, E, pull)
        made.put(V, V, momentum)
        made.shift(V, decay * c)
        return made.matrices

    def _moved(self, lr: Tensor) -> Tensor:
        """(e, v') to (e', v'): e' = e - lr v'."""
        made = _Maps(len(lr), self._spectrum)
        for moment in (EE, EV, VV, E, V):
            made.put(moment, moment, 1.0)
        made.put(EE, EV, -2 * lr)
        made.put(EE, VV, lr**2)
        made.put(EV, VV, -lr)
        made.put(E, V, -lr)
        return made.matrices

    @property
    def _spectrum(self) -> Tensor:
        return torch.tensor(self.stream.spectrum, dtype=torch.float64)

    @property
    def _signal(self) -> Tensor:
        return torch.tensor(self.stream.signal, dtype=torch.float64)


class _Maps:
    """Linear maps of moments [n, 5 d + 1, 5 d + 1], filled in block by block."""

    def __init__(self, count: int, like: Tensor) -> None:
        self.d = len(like)
        self.matrices = like.new_zeros(count, 5 * self.d + 1, 5 * self.d + 1)
        self.matrices[:, -1, -1] = 1.0

    def put(self, to: int, of: int, factor: Tensor | float) -> None:
        """Each weight's moment of its own other one, by a factor [n, d] or [n, 1]."""
        self.matrices[:, self._of(to), self._of(of)].diagonal(dim1=1, dim2=2).copy_(torch.as_tensor(factor))

    def add(self, to: int, of: int, block: Tensor) -> None:
        """The moments of those of all weights, by a block [d, d]."""
        self.matrices[:, self._of(to), self._of(of)] += block

    def shift(self, to: int, by: Tensor) -> None:
        """A moment of the number 1, by [n, d]."""
        self.matrices[:, self._of(to), -1] = by

    def _of(self, moment: int) -> slice:
        return slice(moment * self.d, (moment + 1) * self.d)


def window_lengths(windows: Sequence[int], horizon: int) -> tuple[list[int], list[int]]:
    """First steps and lengths of the parts of a horizon within which no hyperparameter changes its value.

    windows : of each hyperparameter.
    """
    cuts = {window_start(count, i, horizon) for count in windows for i in range(count)}
    edges = sorted(cuts | {horizon})
    return edges[:-1], [end - begin for begin, end in pairwise(edges)]
