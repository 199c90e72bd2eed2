"""BOHB: a density model of good schedules inside Hyperband (Falkner et al., ICML 2018)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import logsumexp, ndtri
from scipy.special import ndtr as normal_cdf

from hpobench_fds.method import Task
from hpobench_fds.schedule import Schedule, Vector

from .hyperband import Hyperband


class BOHB(Hyperband):
    """Hyperband whose new schedules come from a kernel density estimate of the best share of trainings.

    The model is that of the paper's section 3.2, on the unit cube: of the largest number of steps with
    enough trainings, the best ``top`` share makes the density l and the others g; of ``samples`` draws
    from a widened l the one with the largest l/g is proposed. A share ``random_fraction`` of schedules
    is drawn uniformly, which keeps Hyperband's guarantees. The kernel is a product of Gaussians with
    the bandwidths of the normal reference rule (as statsmodels has it, which the authors use).

    min_points : None: one more than there are hyperparameters.
    top : the best share of trainings that counts as good.
    bandwidth_factor : how much wider than l its draws are. min_bandwidth : in the unit cube.
    """

    name = "bohb"
    paper = (
        "Falkner, Klein & Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML 2018"
    )

    class Options(Hyperband.Options):
        min_points: int | None = Field(default=None, ge=2)
        top: float = Field(default=0.15, gt=0, lt=1)
        random_fraction: float = Field(default=1 / 3, ge=0, le=1)
        samples: int = Field(default=64, ge=1)
        bandwidth_factor: float = Field(default=3.0, gt=0)
        min_bandwidth: float = Field(default=1e-3, gt=0)

    def setup(self, task: Task) -> None:
        super().setup(task)
        self._seen: dict[int, list[tuple[float, Vector]]] = defaultdict(list)

    def learn(self, task: Task, schedule: Schedule, steps: int, loss: float) -> None:
        self._seen[steps].append((loss, task.space.to_unit(schedule)))

    def propose(self, task: Task) -> Schedule:
        parts = self._good_and_bad(task.space.size)
        if parts is None or task.rng.random() < self.options.random_fraction:
            return super().propose(task)
        good, bad = (Density(part, self.options.min_bandwidth) for part in parts)
        drawn = good.sample(task.rng, self.options.samples, self.options.bandwidth_factor)
        best = np.argmax(good.log_density(drawn) - bad.log_density(drawn))
        return task.space.from_unit(drawn[best])

    def _good_and_bad(self, dimensions: int) -> tuple[Vector, Vector] | None:
        """Points [n, d] of each part, at the most steps that enough were trained for; None without any."""
        least = self.options.min_points or dimensions + 1
        enough = [steps for steps, seen in self._seen.items() if len(seen) >= least + 2]
        if not enough:
            return None
        seen = sorted(self._seen[max(enough)], key=lambda one: one[0])  # stable: ties by age
        points = np.array([unit for _, unit in seen])
        good = max(least, int(self.options.top * len(seen)))
        bad = max(least, len(seen) - good)  # the parts overlap while there are few
        return points[:good], points[-bad:]


class Density:
    """A product kernel density estimate on the unit cube of points [n, d]."""

    def __init__(self, points: NDArray[np.float64], min_bandwidth: float) -> None:
        n, d = points.shape
        rule = 1.06 * points.std(axis=0) * n ** (-1.0 / (4 + d))
        self.points, self.bandwidth = points, np.maximum(rule, min_bandwidth)

    def log_density(self, x: NDArray[np.float64]) -> Vector:
        """log p(x) [m] for x [m, d]."""
        z = (x[:, None] - self.points) / self.bandwidth
        kernels = -0.5 * np.sum(z**2 + np.log(2 * np.pi * self.bandwidth**2), axis=2)
        density: Vector = logsumexp(kernels, axis=1) - np.log(len(self.points))
        return density

    def sample(self, rng: np.random.Generator, count: int, widened: float) -> NDArray[np.float64]:
        """Draws [count, d]: a point at random, a normal about it cut off at the cube's faces."""
        centre = self.points[rng.integers(len(self.points), size=count)]
        scale = widened * self.bandwidth
        low, high = normal_cdf((0.0 - centre) / scale), normal_cdf((1.0 - centre) / scale)
        drawn = centre + scale * ndtri(low + rng.random(centre.shape) * (high - low))
        inside: Vector = np.clip(drawn, 0.0, 1.0)
        return inside
