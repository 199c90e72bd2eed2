"""Tree-structured Parzen estimator, hyperopt's (Bergstra et al., NeurIPS 2011)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_NEW, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain
from hyperopt.fmin import generate_trials_to_calculate
from pydantic import Field

from hpobench_fds.method import AskTell, Outcome, PriorOptions, Proposal, Task, first_schedules, score
from hpobench_fds.schedule import ScheduleSpace


class TPE(AskTell):
    """hyperopt's tpe.suggest, asked and told one trial at a time, with the library's defaults.

    gamma : of n trials, gamma * sqrt(n) count as good.
    """

    name = "tpe"
    paper = "Bergstra, Bardenet, Bengio & Kegl, Algorithms for Hyper-Parameter Optimization, NeurIPS 2011"

    class Options(PriorOptions):
        n_startup_jobs: int = Field(default=20, ge=1)
        n_ei_candidates: int = Field(default=24, ge=1)
        gamma: float = Field(default=0.25, gt=0)
        prior_weight: float = Field(default=1.0, gt=0)

    def setup(self, task: Task) -> None:
        self._domain = Domain(_no_objective, search_space(task.space))
        self._trials = Trials()
        if first := first_schedules(task, self.options, self.options.n_startup_jobs):
            points = [task.space.to_vector(schedule).tolist() for schedule in first]
            self._trials = generate_trials_to_calculate(
                [dict(zip(task.space.names, point, strict=True)) for point in points]
            )
            self._trials.refresh()

    def ask(self, task: Task) -> Proposal:
        waiting = [trial for trial in self._trials.trials if trial["result"]["status"] == STATUS_NEW]
        self._trial = waiting[0] if waiting else self._suggest(task)
        values = self._trial["misc"]["vals"]
        vector = np.array([values[name][0] for name in task.space.names], float)
        return Proposal(task.space.from_vector(task.space.clip(vector)))

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        self._trial["result"] = {"status": STATUS_OK, "loss": score(task, outcome)}
        self._trial["state"] = JOB_STATE_DONE
        self._trials.refresh()

    def _suggest(self, task: Task) -> Any:
        seed = int(task.rng.integers(2**31 - 1))  # as fmin draws it from its rstate
        ids = self._trials.new_trial_ids(1)
        o = self.options
        found = tpe.suggest(
            ids,
            self._domain,
            self._trials,
            seed,
            prior_weight=o.prior_weight,
            n_startup_jobs=o.n_startup_jobs,
            n_EI_candidates=o.n_ei_candidates,
            gamma=o.gamma,
            verbose=False,
        )
        self._trials.insert_trial_docs(found)
        self._trials.refresh()
        return self._trials.trials[-1]


def search_space(space: ScheduleSpace) -> dict[str, Any]:
    """The space's flat view as hyperopt's: uniform, or uniform in the logarithm."""
    return {
        name: hp.loguniform(name, math.log(low), math.log(high)) if log else hp.uniform(name, low, high)
        for name, low, high, log in zip(space.names, space.low, space.high, space.log, strict=True)
    }


def _no_objective(point: object) -> float:
    raise AssertionError("the task trains, not hyperopt")
