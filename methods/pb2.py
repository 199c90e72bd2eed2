"""PB2: population based training whose exploration is a time-varying bandit (Parker-Holder et al., 2020)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from hpobench_fds.method import BlackBoxOptions, Task
from hpobench_fds.schedule import Vector, window_index

from .pbt import PBT

Matrix = NDArray[np.float64]
# Of logarithms of variance, length and noise, and of epsilon: for standardised gains, over the unit cube.
BOUNDS = [(np.log(0.05), np.log(20)), (np.log(0.05), np.log(5)), (np.log(1e-4), 0.0), (0.0, 0.9)]
FIRST = np.array([0.0, np.log(0.5), np.log(0.1), 0.1])


class PB2(PBT):
    """Where PBT moves a copied value at random, PB2 takes that of the largest upper confidence bound.

    A Gaussian process models what a training gains between two stops, by the values that it had and by the
    generation: exp(-|x - x'|^2 / 2 l^2) (1 - epsilon)^(|t - t'| / 2), fitted by marginal likelihood to the
    last ``memory`` trainings. The bound is mean + sqrt(beta) sd, beta = c1 + max(0, log(c2 n)) of n trainings
    as the authors have it, and its maximum that of ``candidates`` draws from the box. Those that were chosen
    already, and those who go on, count as seen in the sd, which spreads a generation's choices (GP-BUCB).
    A first generation's gain is counted from guessing.

    population : the paper has few, 4 and 8. exploit, interval : as for PBT.
    """

    name = "pb2"
    label = "PB2"
    paper = (
        "Parker-Holder, Nguyen & Roberts, Provably Efficient Online Hyperparameter Optimization with "
        "Population-Based Bandits, NeurIPS 2020"
    )

    class Options(BlackBoxOptions):
        population: int = Field(default=8, ge=2)
        exploit: float = Field(default=0.25, gt=0, le=0.5)
        interval: float = Field(default=0.05, ge=0, le=1)
        c1: float = Field(default=0.2, ge=0)
        c2: float = Field(default=0.4, gt=0)
        candidates: int = Field(default=1000, ge=1)
        memory: int = Field(default=200, ge=2)

    def setup(self, task: Task) -> None:
        super().setup(task)
        self._seen: list[tuple[Vector, float, float]] = []  # values, generation, gain
        self._fitted: tuple[int, TimeVaryingGP] | None = None

    def learn(
        self, task: Task, vector: Vector, generation: int, end: int, before: float, after: float
    ) -> None:
        start = before if before < np.inf else _guessing(task)
        self._seen.append((_values(task, vector, end), float(generation), start - after))

    def explore(self, task: Task, vector: Vector, generation: int, others: list[Vector]) -> Vector:
        begin, end = self._stops(task.space, task.problem.horizon)[generation : generation + 2]
        gp = self._model()
        x = task.rng.random((self.options.candidates, len(task.space.learned)))
        now, at = _values(task, vector, end), 0
        starts = task.space.starts(task.problem.horizon)
        for i, one in enumerate(task.space.learned.values()):
            if max(starts[at : at + one.windows]) < begin:  # nothing of it is to come: a fact, no choice
                x[:, i] = now[i]
            at += one.windows
        taken = np.array([_values(task, other, end) for other in others]).reshape(-1, x.shape[1])
        mean, sd = gp.posterior(x, float(generation), taken)
        beta = self.options.c1 + max(0.0, np.log(self.options.c2 * len(gp.y)))
        best = x[np.argmax(mean + np.sqrt(beta) * sd)]
        windows = [one.windows for one in task.space.learned.values()]
        return task.space.to_vector(task.space.from_unit(np.repeat(best, windows)))

    def _model(self) -> TimeVaryingGP:
        """Fitted once a generation."""
        if self._fitted is None or self._fitted[0] != len(self._seen):
            x, t, y = (np.array(column) for column in zip(*self._seen[-self.options.memory :], strict=True))
            self._fitted = len(self._seen), TimeVaryingGP(x, t, y)
        return self._fitted[1]


class TimeVaryingGP:
    """A Gaussian process of gains y [n] at points x [n, d] of the unit cube and times t [n].

    theta : logarithms of variance, length and noise's variance, and epsilon; None: fitted.
    """

    def __init__(self, x: Matrix, t: Vector, y: Vector, theta: Vector | None = None) -> None:
        self.x, self.t, self.y = x, t, (y - y.mean()) / (y.std() or 1.0)
        if theta is None:
            theta = minimize(self.cost, FIRST, method="L-BFGS-B", bounds=BOUNDS, options={"maxiter": 50}).x
        self.theta: Vector = np.asarray(theta, float)

    def kernel(self, theta: Vector, x: Matrix, t: Vector, others: Matrix, times: Vector) -> Matrix:
        """[n, m], the noise left out."""
        squares = ((x[:, None] - others) ** 2).sum(axis=2)
        apart = np.abs(t[:, None] - times)
        k: Matrix = np.exp(theta[0] - squares / (2 * np.exp(2 * theta[1])))
        k *= (1 - theta[3]) ** (apart / 2)
        return k

    def _covariance(self, theta: Vector, x: Matrix, t: Vector) -> Matrix:
        noise: Matrix = np.exp(theta[2]) * np.eye(len(t))
        return self.kernel(theta, x, t, x, t) + noise

    def cost(self, theta: Vector) -> float:
        """Minus the logarithm of the marginal likelihood."""
        factor = cho_factor(self._covariance(theta, self.x, self.t), lower=True)
        fit = self.y @ cho_solve(factor, self.y) / 2
        return float(fit + np.log(np.diag(factor[0])).sum() + len(self.y) * np.log(2 * np.pi) / 2)

    def posterior(self, x: Matrix, time: float, taken: Matrix) -> tuple[Vector, Vector]:
        """Mean and standard deviation [m] of x [m, d]; points taken [k, d] at that time lower the latter."""
        now = np.full(len(x), time)
        k = self.kernel(self.theta, x, now, self.x, self.t)
        mean = k @ cho_solve(cho_factor(self._covariance(self.theta, self.x, self.t), lower=True), self.y)
        known, times = np.vstack([self.x, taken]), np.append(self.t, np.full(len(taken), time))
        k = self.kernel(self.theta, x, now, known, times)
        solved = cho_solve(cho_factor(self._covariance(self.theta, known, times), lower=True), k.T)
        variance = np.exp(self.theta[0]) - np.einsum("mn,nm->m", k, solved)
        return mean, np.sqrt(np.maximum(variance, 0.0))


def _values(task: Task, vector: Vector, end: int) -> Vector:
    """The value [h] that each hyperparameter has at the last step before ``end``, as a share of its range."""
    unit, values, at = task.space.to_unit(task.space.from_vector(vector)), [], 0
    for one in task.space.learned.values():
        values.append(unit[at + window_index(one.windows, end - 1, task.problem.horizon)])
        at += one.windows
    return np.array(values)


def _guessing(task: Task) -> float:
    """The score of weights that have learned nothing."""
    loss, metric = task.problem.objective.guessing(task.problem.classes)
    return 1.0 - metric if task.problem.config.objective == "val_accuracy" else loss
