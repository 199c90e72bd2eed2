"""A task without any training: the loss is a function of the schedule and of how far it was trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import torch
from optuna.samplers import BaseSampler

from hpobench_fds.method import Method, Outcome, Report, Task
from hpobench_fds.nn.losses import CrossEntropy
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace, Vector
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.state import DIVERGED, Evaluation, TrainState

SPACE = ScheduleSpace(
    {
        "lr": HyperparameterSpace(windows=3, low=1e-3, high=1.0, initial=0.1, scale="log"),
        "momentum": HyperparameterSpace(low=-1.5, high=1.5, initial=0.0),
        "weight_decay": HyperparameterSpace(initial=5e-4, learn=False),
    }
)
Loss = Callable[[Vector, int], float]


def bowl(vector: Vector, step: int) -> float:
    """Least, 0.3, at lr = 0.1 and momentum 0.5; everywhere below the ceiling of ``score``."""
    lr, momentum = np.log10(vector[:3]), vector[3]
    return 0.3 + 0.2 * float(((lr + 1) ** 2).sum()) / 3 + 0.3 * (float(momentum) - 0.5) ** 2


@dataclass(frozen=True)
class Trained:
    """One training that was asked for."""

    trial: int
    begin: int
    end: int
    vector: tuple[float, ...]
    loss: float
    draw: int  # the trial whose initialisation and data it has
    over: int  # the horizon that its schedule was stretched over


@dataclass
class Ears:
    """Keeps reports and the last checkpoint."""

    reports: list[Report] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.checkpoints.append(state)


class ClosedForm(Task):
    """A task that trains nothing. ``trained`` lists what was asked for."""

    def __init__(
        self,
        method: Method,
        *,
        loss: Loss = bowl,
        space: ScheduleSpace = SPACE,
        horizon: int = 81,
        steps: int | None = None,
        seed: int = 0,
        objective: str = "val_loss",
        optimiser: str = "sgd",
        restored: dict[str, Any] | None = None,
    ) -> None:
        clock, self.ears = Clock(), Ears()
        clock.start()
        config = SimpleNamespace(objective=objective)
        problem = SimpleNamespace(
            space=space, horizon=horizon, classes=10, config=config, objective=CrossEntropy(),
            rule=RULES[optimiser],
        )  # fmt: skip
        trainer: Any = SimpleNamespace(
            problem=problem, clock=clock, budget=Budget(clock, steps=steps), seed=seed
        )
        super().__init__(trainer, self.ears, method_name=method.name, restored=restored)
        self._loss, self.trained = loss, list[Trained]()

    def train(
        self,
        schedule: Schedule,
        *,
        trial: int,
        until: int | None = None,
        state: TrainState | None = None,
        horizon: int | None = None,
    ) -> Outcome:
        over = horizon or self.problem.horizon
        until = until or over
        assert state is None or over == self.problem.horizon, "a stretched training goes on from nothing"
        none = torch.zeros(1)
        state = state or TrainState(none, none, none, 0, trial)
        begin, vector = state.step, self.space.to_vector(schedule)
        assert begin < until <= self.problem.horizon
        assert self.space.contains(schedule)
        state.step = until
        self.clock.count(steps=until - begin)
        loss = self._loss(vector, until)
        self.trained.append(Trained(trial, begin, until, tuple(vector.tolist()), loss, state.trial, over))
        if math.isinf(loss):
            return Outcome(trial, until, "diverged", DIVERGED, begin, state)
        return Outcome(trial, until, "ok", Evaluation(loss, 1 / (1 + loss)), None, state)


def run(method: Method, trainings: float = 10, **keywords: Any) -> ClosedForm:
    """Let a method spend a budget of so many whole trainings."""
    horizon = keywords.get("horizon", 81)
    task = ClosedForm(method, steps=int(trainings * horizon), **keywords)
    method.run(task)
    return task


def vectors(task: ClosedForm) -> list[tuple[float, ...]]:
    return [trained.vector for trained in task.trained]


def study_of(
    sampler: BaseSampler, count: int, space: ScheduleSpace = SPACE, first: dict[str, float] | None = None
) -> list[tuple[float, ...]]:
    """The points of optuna's own loop on the bowl."""

    def objective(trial: optuna.Trial) -> float:
        vector = [
            trial.suggest_float(name, low, high, log=bool(log))
            for name, low, high, log in zip(space.names, space.low, space.high, space.log, strict=True)
        ]
        return bowl(np.array(vector), 0)

    study = optuna.create_study(sampler=sampler)
    if first is not None:
        study.enqueue_trial(first)
    study.optimize(objective, n_trials=count)
    return [tuple(trial.params[name] for name in space.names) for trial in study.trials]


def initial(space: ScheduleSpace = SPACE) -> dict[str, float]:
    """The initial schedule by flat names."""
    return dict(zip(space.names, space.to_vector(space.initial).tolist(), strict=True))


def gone_on(method: Callable[[], Method], trainings: float, at: int, **keywords: Any) -> None:
    """Assert that a run interrupted after its ``at``-th trial goes on as if it had not been."""
    whole = run(method(), trainings, **keywords)
    # Replayed to the same point, so that states are those of that moment.
    horizon = keywords.get("horizon", 81)
    spent = sum(t.end - t.begin for t in whole.trained[:at])
    part = ClosedForm(method(), steps=spent, **keywords)
    taught = method()
    taught.run(part)
    assert len(part.trained) == at
    rest = ClosedForm(
        method(), steps=int(trainings * horizon) - spent, restored=part.ears.checkpoints[-1], **keywords
    )
    method().run(rest)
    assert part.trained + rest.trained == whole.trained
