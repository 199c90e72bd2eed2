"""Runs one method in all the ways that the rules ask for."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from hpobench_fds.method.conformance.problems import LEARNED, tiny_problem
from hpobench_fds.method.conformance.watched_run import (
    FaultyTrainer,
    Listener,
    Runaway,
    Saved,
    Trace,
    WorkClock,
    global_streams,
    sound,
    watching_data,
)
from hpobench_fds.method.contract import Method, Task
from hpobench_fds.method.registry import parse_options
from hpobench_fds.training.clock import Budget
from hpobench_fds.training.problem import Problem

RUNAWAY = 4  # a method that spends this many times its budget is cut off


class Bench:
    """Runs one method in many ways and remembers the plain run."""

    def __init__(
        self, method: type[Method], options: Mapping[str, Any] | BaseModel | None, trainings: int
    ) -> None:
        self.method, self.trainings, self._options = method, trainings, options
        self._runs, self._learned = 0, LEARNED[0]

    def problem(self, kind: str) -> Problem:
        return tiny_problem(kind, self._learned)

    def skips(self) -> str | None:
        """Settle on a problem that the method does not skip; else why it skips the first one."""
        reasons = []
        for self._learned in LEARNED:
            reason = self.method(self.options()).skip(self.problem("plain"))
            if reason is None:
                return None
            reasons.append(reason)
        return reasons[0]

    def options(self) -> Any:
        given = self._options
        return (
            parse_options(self.method, given or {}) if given is None or isinstance(given, Mapping) else given
        )

    @functools.cached_property
    def plain(self) -> Trace:
        """The run that others are compared with."""
        return self.run()

    def run(
        self,
        kind: str = "plain",
        *,
        steps: int | None = None,
        seconds: float | None = None,
        method_seed: int | None = None,
        faulty: Callable[[int], bool] = sound,
        saved: Saved | None = None,
    ) -> Trace:
        """One run; an exception ends up in the trace."""
        problem, trace = self.problem(kind), Trace()
        if steps is None and seconds is None:
            steps = self.trainings * problem.horizon
        most = RUNAWAY * int(steps or seconds or 0) + problem.horizon
        clock = WorkClock(most, saved.clock if saved else None, saved.cost if saved else None)
        budget = Budget(clock, seconds, steps)
        trainer = FaultyTrainer(problem, 1, clock, budget, clock.making_data, faulty=faulty)
        restored = torch.load(io.BytesIO(saved.content), weights_only=True) if saved else None
        listener = Listener(trace, clock, trainer)
        task = Task(trainer, listener, method_name=self.method.name, restored=restored)
        if method_seed is not None:
            task.seed, task.rng = method_seed, np.random.default_rng(method_seed)
        self._runs += 1
        clock.start()
        with watching_data(trace), global_streams(self._runs), clock.watched(trace):
            self._spend(task, trace)
        trace.steps = clock.cost.inner_steps
        if trace.steps != clock.counted:
            trace.complain(
                "clock", f"{clock.counted} steps were counted, and {trace.steps} left on the clock"
            )
        return trace

    def _spend(self, task: Task, trace: Trace) -> None:
        try:
            self.method(self.options()).run(task)
        except Runaway as runaway:
            trace.error = f"it was cut off: {runaway}"
            trace.complain("budget", str(runaway))
        except (Exception, SystemExit) as error:
            trace.error = f"{type(error).__name__}: {error}"
