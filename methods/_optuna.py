"""What the adapters of optuna's samplers share."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler

from hpobench_fds.method import AskTell, BlackBoxOptions, Outcome, Proposal, Task, first_schedules, score
from hpobench_fds.schedule import ScheduleSpace


class OptunaMethod(AskTell):
    """A study that is asked and told; the ranges are optuna's own, linear or logarithmic."""

    class Options(BlackBoxOptions):
        pass

    def startup(self) -> int:
        """How many trials at random the sampler begins with."""
        startup: int = self.options.n_startup_trials
        return startup

    @abstractmethod
    def sampler(self, task: Task, seed: int) -> BaseSampler:
        """The sampler, with a seed that numpy's RandomState takes."""

    def setup(self, task: Task) -> None:
        with quiet():
            self._study = optuna.create_study(sampler=self.sampler(task, task.seed % 2**32))
        self._ended = False
        self._study.stop = self._stop  # type: ignore[method-assign]  # as a sampler does that has tried all
        self._distributions = distributions(task.space)
        for schedule in first_schedules(task, self.options, self.startup()):
            point = task.space.to_vector(schedule).tolist()
            self._study.enqueue_trial(dict(zip(task.space.names, point, strict=True)))

    def _stop(self) -> None:
        self._ended = True

    def ask(self, task: Task) -> Proposal | None:
        if self._ended:
            return None
        with quiet():  # the GP's complains at its first proposal where greenlet is missing
            self._trial = self._study.ask(self._distributions)
        vector = np.array([self._trial.params[name] for name in task.space.names])
        return Proposal(task.space.from_vector(task.space.clip(vector)))

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        self._study.tell(self._trial, score(task, outcome))


def distributions(space: ScheduleSpace) -> dict[str, BaseDistribution]:
    """The space's flat view as optuna's search space."""
    ranges = zip(space.names, space.low.tolist(), space.high.tolist(), space.log.tolist(), strict=True)
    return {name: FloatDistribution(low, high, log=log) for name, low, high, log in ranges}


@contextmanager
def quiet() -> Iterator[None]:
    """Without optuna's news and advice; its verbosity is then as before."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
