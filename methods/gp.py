"""Bayesian optimisation with a Gaussian process (Jones et al. 1998; Snoek et al., NeurIPS 2012)."""

from __future__ import annotations

import scipy.optimize
import scipy.stats  # noqa: F401 - both are what the sampler would else import on the clock
from optuna.samplers import BaseSampler, GPSampler
from pydantic import Field

from hpobench_fds.method import PriorOptions, Task

from ._optuna import OptunaMethod


class GP(OptunaMethod):
    """optuna.samplers.GPSampler: Matern 5/2 kernel, log expected improvement.

    Its own time, which is on the clock, falls to a third where the package greenlet is installed.

    deterministic_objective : fit without noise; trials differ in their draw, so the default is False.
    """

    name = "gp"
    paper = (
        "Snoek, Larochelle & Adams, Practical Bayesian Optimization of Machine Learning Algorithms, "
        "NeurIPS 2012; optuna's GPSampler"
    )

    class Options(PriorOptions):
        n_startup_trials: int = Field(default=10, ge=1)
        deterministic_objective: bool = False

    def sampler(self, task: Task, seed: int) -> BaseSampler:
        return GPSampler(
            seed=seed,
            n_startup_trials=self.options.n_startup_trials,
            deterministic_objective=self.options.deterministic_objective,
        )
