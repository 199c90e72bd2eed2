"""Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011; Akiba et al., KDD 2019)."""

from __future__ import annotations

from optuna.samplers import BaseSampler, TPESampler
from pydantic import Field

from hpobench_fds.method import PriorOptions, Task

from ._optuna import OptunaMethod, quiet


class OptunaTPE(OptunaMethod):
    """optuna.samplers.TPESampler, with the library's defaults.

    multivariate : one joint density instead of one a hyperparameter; None: as the library has it.
    """

    name = "optuna_tpe"
    paper = "Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; optuna's TPESampler"

    class Options(PriorOptions):
        n_startup_trials: int = Field(default=10, ge=1)
        n_ei_candidates: int = Field(default=24, ge=1)
        multivariate: bool | None = None

    def sampler(self, task: Task, seed: int) -> BaseSampler:
        given = self.options.model_dump(exclude={"start_from_initial", "prior"}, exclude_none=True)
        with quiet():
            return TPESampler(**given, seed=seed)
