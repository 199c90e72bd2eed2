"""OnlineLoop: the base of greedy methods, whose hyperparameters move while one training runs."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from hpobench_fds.hypergradient.online import OnlineMode, OnlineResult, one_value_space
from hpobench_fds.hypergradient.outer import Array, Outer, OuterOptions, build_outer
from hpobench_fds.method.contract import WARM_STEPS, Deaf, Method, Options, Task
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.trainer import Trainer


class OnlineOptions(Options):
    """Options of greedy methods.

    outer : the outer optimiser, moving after every ``every``-th inner step.
    step_scale : its first step sizes are multiplied by this, since it moves far more often than one
        that waits for the end of a training.
    validation_batch : validation examples for each move; None: the training batch size.
    frozen : hyperparameters do not move but follow the problem's initial schedule through one training,
        whose report has their greedy hypergradient, summed over each window.
    trainings : stop after so many trainings; None: start over while budget is left.
    """

    outer: OuterOptions = OuterOptions(kind="adam")
    step_scale: float = Field(default=0.02, gt=0.0)
    every: int = Field(default=1, ge=1)
    validation_batch: int | None = Field(default=None, ge=1)
    frozen: bool = False
    trainings: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _every_step_if_frozen(self) -> OnlineOptions:
        if self.frozen and self.every != 1:
            raise ValueError(f"frozen needs every = 1, the hypergradient of each step, not {self.every}")
        return self


class _Following(Outer):
    """Goes along the problem's initial schedule from step to step, whatever the hypergradient says."""

    def __init__(self, options: OuterOptions, problem: Problem) -> None:
        space, horizon = problem.space, problem.horizon
        super().__init__(options, one_value_space(space), problem.device)
        initial, learned = space.initial, space.learned
        steps = [[initial.at(name, step, horizon) for name in learned] for step in range(horizon)]
        self._steps, self._step = self.array(np.array(steps, float)), 0

    def move(self, vector: Array, hypergradient: Array) -> Array:
        self._step = min(self._step + 1, len(self._steps) - 1)
        return self._steps[self._step]


class OnlineLoop(Method):
    """Base of greedy methods: hyperparameters move while one training runs.

    Such a method is done after one training. While budget is left it starts over as another trial,
    and validation picks the best.
    """

    family = "gradient"
    greedy = True

    class Options(OnlineOptions):
        pass

    def mode(self) -> OnlineMode:
        """The engine's mode with these options: each step's own effect. A subclass says what else counts."""
        options: OnlineOptions = self.options
        return OnlineMode(every=options.every, validation_batch=options.validation_batch)

    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        """One training with moving hyperparameters."""
        return self.mode()(task.trainer, outer, trial)

    def skip(self, problem: Problem) -> str | None:
        return self.mode().uncovered(problem)

    def warm_up(self, task: Task) -> None:
        super().warm_up(task)
        problem = copy(task.problem)
        problem.look_every = 1  # and so the budget ends it there
        clock = Clock()
        trainer = Trainer(problem, task.trainer.seed, clock, Budget(clock, steps=WARM_STEPS))
        brief = Task(trainer, Deaf(), method_name=self.name)
        self.train_online(brief, self._outer(brief), 0)

    def run(self, task: Task) -> str:
        trial = 0 if task.restored is None else int(task.restored["trial"])
        while not task.budget.exhausted:
            if trial == (1 if self.options.frozen else self.options.trainings):
                return "done"
            result = self.train_online(task, self._outer(task), trial)
            if result.ending == "out of budget":
                break
            self._report(task, result)
            trial += 1
            task.checkpoint({"trial": trial})
        return "budget"

    def _outer(self, task: Task) -> Outer:
        options: OnlineOptions = self.options
        if options.frozen:
            return _Following(options.outer, task.problem)
        outer = build_outer(options.outer, one_value_space(task.space), task.problem.device)
        outer.steps = outer.steps * options.step_scale
        return outer

    def _report(self, task: Task, result: OnlineResult) -> None:
        frozen = self.options.frozen
        extra: dict[str, Any] = {} if result.diverged_at is None else {"diverged_at": result.diverged_at}
        if result.overflow_at is not None:
            extra["overflow_at"] = result.overflow_at
        sound = result.ending == "ok" and result.overflow_at is None
        task.report(
            task.space.initial if frozen else result.schedule(task.space, task.problem.horizon),
            result.evaluation,
            state=result.state,
            fidelity=result.state.step / task.problem.horizon,
            hypergradient=result.summed(task.space).tolist() if frozen and sound else None,
            extra=extra,
            values=result.values,
        )
