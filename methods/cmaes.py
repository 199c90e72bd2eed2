"""Covariance matrix adaptation (Hansen & Ostermeier 2001; Hansen 2016)."""

from __future__ import annotations

from importlib.util import find_spec

from optuna.samplers import BaseSampler, CmaEsSampler
from pydantic import Field

from hpobench_fds.method import BlackBoxOptions
from hpobench_fds.training.problem import Problem

from ._optuna import OptunaMethod


class CMAES(OptunaMethod):
    """optuna.samplers.CmaEsSampler: starts in the middle of the space with a sixth of its width.

    popsize : None: 4 + floor(3 ln n).
    """

    name = "cmaes"
    paper = "Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772; optuna's CmaEsSampler"

    class Options(BlackBoxOptions):
        n_startup_trials: int = Field(default=1, ge=1)
        popsize: int | None = Field(default=None, ge=2)

    def skip(self, problem: Problem) -> str | None:
        if find_spec("cmaes") is None:
            return "optuna's CmaEsSampler needs the package cmaes: pip install cmaes"
        if problem.space.size < 2:  # optuna falls back on random search there
            return "CMA-ES needs at least two hyperparameters to learn"
        return None

    def sampler(self, seed: int) -> BaseSampler:
        return CmaEsSampler(
            seed=seed, n_startup_trials=self.options.n_startup_trials, popsize=self.options.popsize
        )
