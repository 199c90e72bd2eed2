"""The best schedule that there is, of a problem whose expected losses are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from hpobench_fds.schedule import Schedule, ScheduleSpace, window_index
from hpobench_fds.seeds import derive
from hpobench_fds.training.expected import ORDER, ExpectedTraining, window_lengths
from hpobench_fds.training.problem import Problem

STARTS = 4  # points that the search is begun from, the first the space's initial one
ROUNDS = 60  # of Newton's method, behind L-BFGS
SOLVED = 1e-14  # gain that a Newton step promises, as a share of the loss, at which it is done
WORST = 1e6  # stands for a loss that is larger or overflows, which a line search cannot use

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Optimum:
    """A schedule of the least expected loss, as far as a search from several starts can tell.

    vector : the space's flat view, [size]. slope : the largest derivative of the loss in a coordinate of
    the unit cube that is free to move; 0 at an optimum. starts : the least loss found from each, in order.
    """

    schedule: Schedule
    vector: Vector
    loss: float
    slope: float
    starts: tuple[float, ...]


def optimum_of(problem: Problem) -> Optimum | None:
    """The best schedule of a problem's space; None where there is no closed form, or a curve is searched.

    L-BFGS-B from several starts, then Newton's method in the coordinates that are at no bound.
    """
    training = ExpectedTraining.of(problem)
    if training is None or any(one.is_curve for one in problem.space.spaces.values()):
        return None
    landscape = _Landscape(training, problem.space, problem.horizon)
    starts = _starts(problem.space)
    descended = (_descended(landscape, _sound(landscape, start, starts[0])) for start in starts)
    found = sorted((_polished(landscape, point) for point in descended), key=landscape.value)
    best = found[0]
    vector = landscape.vector(best)
    return Optimum(
        schedule=problem.space.from_vector(vector),
        vector=vector,
        loss=landscape.value(best),
        slope=float(np.max(np.abs(landscape.slope(best)[landscape.free(best)]), initial=0.0)),
        starts=tuple(landscape.value(point) for point in found),
    )


def least_expected_loss(problem: Problem) -> float | None:
    """The loss of ``optimum_of``, from which regret is counted; None where that is."""
    optimum = optimum_of(problem)
    return None if optimum is None else optimum.loss


class _Landscape:
    """The expected loss over the unit cube, in whose coordinates ranges and scales are alike."""

    def __init__(self, training: ExpectedTraining, space: ScheduleSpace, horizon: int) -> None:
        self._training = training
        self._low, self._log = torch.from_numpy(space.low), torch.from_numpy(space.log)
        self._high = torch.from_numpy(space.high)
        widths = [len(one.starts) for one in space.spaces.values()]
        begins, self._counts = window_lengths(widths, horizon)
        starts, place = dict[str, tuple[bool, int]](), 0
        for name, one in space.spaces.items():
            starts[name] = one.learn, place
            place += len(one.starts) if one.learn else 0
        # Of each part of the horizon and hyperparameter: where its value stands in the flat vector, which
        # the fixed ones are appended to.
        fixed, rows = list[float](), list[list[int]]()
        for begin in begins:
            row = []
            for name in ORDER:
                one, (learned, first) = space.spaces[name], starts[name]
                window = window_index(len(one.starts), begin, horizon)
                row.append(first + window if learned else place + len(fixed))
                if not learned:
                    fixed.append(one.starts[window])
            rows.append(row)
        self._fixed = torch.tensor(fixed, dtype=torch.float64)
        self._places = torch.tensor(rows)

    def vector(self, unit: Vector) -> Vector:
        """The space's flat vector of a point of the cube."""
        with torch.no_grad():
            found: Vector = self._flat(torch.from_numpy(unit)).numpy()
        return found

    def _flat(self, unit: Tensor) -> Tensor:
        linear = self._low + unit * (self._high - self._low)
        low, ratio = (torch.where(self._log, one, 1.0) for one in (self._low, self._high / self._low))
        return torch.where(self._log, low * ratio**unit, linear)

    def _loss(self, unit: Tensor) -> Tensor:
        values = torch.cat([self._flat(unit), self._fixed])[self._places]
        return self._training.loss_of(values, self._counts)

    def value(self, unit: Vector) -> float:
        with torch.no_grad():
            found = float(self._loss(torch.from_numpy(unit)))
        return found if found < WORST else WORST

    def value_and_slope(self, unit: Vector) -> tuple[float, Vector]:
        at = torch.tensor(unit, requires_grad=True)
        loss = self._loss(at)
        if not float(loss.detach()) < WORST:
            return WORST, np.zeros_like(unit)
        (slope,) = torch.autograd.grad(loss, at)
        return float(loss.detach()), slope.numpy()

    def slope(self, unit: Vector) -> Vector:
        return self.value_and_slope(unit)[1]

    def curvature(self, unit: Vector) -> Vector:
        """The Hessian [size, size]."""
        hessian: Callable[..., Tensor] = torch.autograd.functional.hessian
        found: Vector = hessian(self._loss, torch.from_numpy(unit)).numpy()
        return found

    def free(self, unit: Vector) -> NDArray[np.bool_]:
        """Coordinates that are at no bound, or would leave it downhill."""
        slope = self.slope(unit)
        return ~((unit <= 0) & (slope >= 0) | (unit >= 1) & (slope <= 0))


def _starts(space: ScheduleSpace) -> list[Vector]:
    """The initial schedule and points drawn about it, the same every time."""
    first = np.clip(space.to_unit(space.initial), 0.0, 1.0)
    rng = np.random.default_rng(derive(0, "optimum"))
    others = [np.clip(first + 0.2 * rng.standard_normal(space.size), 0.0, 1.0) for _ in range(STARTS - 1)]
    return [first, *others]


def _sound(landscape: _Landscape, start: Vector, first: Vector) -> Vector:
    """A start, moved towards the first until its loss is one to go on from."""
    for _ in range(20):
        if landscape.value(start) < WORST:
            break
        start = (start + first) / 2
    return start


def _descended(landscape: _Landscape, start: Vector) -> Vector:
    """L-BFGS-B from a start, to within reach of Newton's method."""
    options = {"maxiter": 1000, "ftol": 1e-9, "gtol": 1e-7}
    found = minimize(
        landscape.value_and_slope, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(start),
        options=options,
    )  # fmt: skip
    point: Vector = np.clip(found.x, 0.0, 1.0)
    return point


def _polished(landscape: _Landscape, point: Vector) -> Vector:
    """Newton's steps in the coordinates that are free, halved until they gain, to the last digits."""
    for _ in range(ROUNDS):
        value, slope = landscape.value_and_slope(point)
        free = landscape.free(point)
        if not free.any():
            break
        roots, axes = np.linalg.eigh(landscape.curvature(point)[np.ix_(free, free)])
        along = axes.T @ slope[free]
        step = np.zeros_like(point)
        step[free] = -axes @ (along / np.maximum(np.abs(roots), 1e-9 * np.abs(roots).max()))
        if -slope @ step <= SOLVED * value:
            break
        for _ in range(40):
            tried = np.clip(point + step, 0.0, 1.0)
            if landscape.value(tried) < value:
                break
            step = step / 2
        else:
            break
        point = tried
    return point
