"""SMAC3: Bayesian optimisation with a random forest (Lindauer et al., JMLR 2022)."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from hpobench_fds.method import AskTell, Outcome, PriorOptions, Proposal, Task, first_schedules, score
from hpobench_fds.schedule import Schedule, ScheduleSpace
from hpobench_fds.wording import in_a_line


class SMAC(AskTell):
    """smac.HyperparameterOptimizationFacade, asked and told: a forest of logarithms, expected improvement.

    The package comes with the extra ``smac``. All is as it has it, but for the number of Sobol points before
    the first forest, which it takes from a number of trials that nobody knows here.

    n_startup_trials : Sobol points to begin with; with a prior its draws, in their place.
    """

    name = "smac"
    label = "SMAC3"
    paper = (
        "Lindauer et al., SMAC3: A Versatile Bayesian Optimization Package for Hyperparameter Optimization, "
        "JMLR 2022"
    )

    class Options(PriorOptions):
        n_startup_trials: int = Field(default=10, ge=1)

        @model_validator(mode="after")
        def _is_installed(self) -> SMAC.Options:
            try:
                import ConfigSpace  # noqa: F401
                import smac  # noqa: F401
            except Exception as error:  # it takes what it needs from the inside of other packages
                need = 'pip install "hpobench-fds[smac]"'
                raise ValueError(f"smac cannot be imported (allowed: {need}): {in_a_line(error)}") from error
            return self

    def setup(self, task: Task) -> None:
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        self._first = first_schedules(task, self.options, self.options.n_startup_trials)
        self._folder = TemporaryDirectory(prefix="hpobench-smac-")  # it writes down what it is asked for
        self._space = config_space(task.space)
        scenario = Scenario(
            self._space, deterministic=True, n_trials=10**9, seed=task.seed % 2**31,
            output_directory=self._folder.name,
        )  # fmt: skip
        relieved = len(self._first) if self.options.prior else 0
        sobol = max(0, self.options.n_startup_trials - relieved)
        design = Facade.get_initial_design(scenario, n_configs=sobol, max_ratio=1.0)
        self._smac = Facade(
            scenario, _no_objective, initial_design=design, logging_level=False, overwrite=True
        )

    def ask(self, task: Task) -> Proposal:
        self._trial = self._given(task, self._first.pop(0)) if self._first else self._smac.ask()
        vector = np.array([self._trial.config[name] for name in task.space.names])
        return Proposal(task.space.from_vector(task.space.clip(vector)))

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(self._trial, TrialValue(cost=score(task, outcome)), save=False)

    def _given(self, task: Task, schedule: Schedule) -> Any:
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo

        values = dict(zip(task.space.names, task.space.to_vector(schedule).tolist(), strict=True))
        return TrialInfo(Configuration(self._space, values=values), seed=0)


def config_space(space: ScheduleSpace) -> Any:
    """The space's flat view as ConfigSpace's."""
    from ConfigSpace import ConfigurationSpace, Float

    ranges = zip(space.names, space.low.tolist(), space.high.tolist(), space.log.tolist(), strict=True)
    found = ConfigurationSpace()
    found.add([Float(name, (low, high), log=log) for name, low, high, log in ranges])
    return found


def _no_objective(config: Any, seed: int = 0) -> float:
    raise AssertionError("the task trains, not SMAC")
