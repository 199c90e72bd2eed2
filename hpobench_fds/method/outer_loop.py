"""OuterLoop: the base of methods that step along the hypergradient of one training after another."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpobench_fds.hypergradient.interface import Hypergradient, Mode
from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.method.contract import WARM_STEPS, Method, Options, Task
from hpobench_fds.schedule import Schedule, Vector
from hpobench_fds.training.problem import Problem

Fractions = Annotated[tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...], Field(min_length=1)]
"""Shares of the problem's horizon."""


class OuterOptionsMixin(Options):
    """Options that every gradient-based method takes.

    outer : the outer optimiser.
    inner_fractions : horizon of each outer step as a share of the problem's; the last one repeats.
        The paper's figure 1 is ``[0.1, 1.0]``: the schedule is stretched over a short run first.
    outer_steps : stop after that many outer steps; None: when converged or out of budget.
    trust : what is found out of a hypergradient's worth: "growth" comes at no cost; "perturbed" makes each a
        second time, from a start a rounding away, and records how far the two agree, on the method's time.
    """

    outer: OuterOptions = OuterOptions()
    inner_fractions: Fractions = (1.0,)
    outer_steps: int | None = Field(default=None, ge=1)
    trust: Literal["growth", "perturbed"] = "growth"


class OuterLoop(Method):
    """Base of gradient-based methods: a hypergradient through one training moves the schedule.

    Each outer step trains afresh (a new trial: initialisation, split and order). A training that
    diverges moves the schedule half way back to the last good one with smaller steps.
    """

    family = "gradient"

    class Options(OuterOptionsMixin):
        pass

    @abstractmethod
    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        """Train ``schedule`` as ``trial`` over ``horizon`` inner steps; differentiate its validation loss."""

    def warm_up(self, task: Task) -> None:
        super().warm_up(task)
        self.hypergradient(task, task.space.initial, 0, min(WARM_STEPS, task.problem.horizon))

    def run(self, task: Task) -> str:
        options: OuterOptionsMixin = self.options
        outer, horizons = build_outer(options.outer, task.space), self.horizons(task.problem.horizon)
        vector, done = task.space.to_vector(task.space.initial), 0
        if task.restored is not None:
            vector, done = np.array(task.restored["vector"]), int(task.restored["outer_step"])
            outer.load_state_dict(task.restored["outer"])
            self.resume(task.restored.get("more", {}))
        while not task.budget.exhausted:
            if options.outer_steps is not None and done >= options.outer_steps:
                return "done"
            if done >= len(horizons) and outer.has_converged(vector):
                return "converged"
            horizon = horizons[min(done, len(horizons) - 1)]
            result = self._trusted(task, task.space.from_vector(vector), done, horizon)
            if result.ending == "out of budget":
                break
            self._report(task, vector, result, outer.steps)
            gradient = self.followed(task, vector, result, horizon)
            vector = outer.step(vector, gradient) if gradient is not None else outer.back_off(vector)
            done += 1
            if not self.between(task, done):
                break
            state = {"vector": vector.tolist(), "outer_step": done, "outer": outer.state_dict()}
            task.checkpoint(state | {"more": self.more()})
        return "budget"

    def horizons(self, whole: int) -> list[int]:
        """Inner steps of each outer step; of all others, those of the last one."""
        return [max(1, round(fraction * whole)) for fraction in self.options.inner_fractions]

    def followed(
        self, task: Task, vector: Vector, result: Hypergradient, horizon: int
    ) -> NDArray[np.float64] | None:
        """The hypergradient [n] to step along; None: a step back. For a subclass that doubts some."""
        return result.gradient

    def between(self, task: Task, trial: int) -> bool:
        """What a subclass does between outer steps; ``trial`` is that of the next. False: out of budget."""
        return True

    def more(self) -> dict[str, Any]:
        """Plain state of a subclass, for ``resume``."""
        return {}

    def resume(self, more: dict[str, Any]) -> None:
        """Go on from ``more``."""

    def _trusted(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        """The hypergradient, held against another one if that is asked for."""
        result = self.hypergradient(task, schedule, trial, horizon)
        if self.options.trust != "perturbed" or result.gradient is None:
            return result
        with task.trainer.a_rounding_away():
            other = self.hypergradient(task, schedule, trial, horizon)
        if other.ending == "out of budget":
            return result
        return replace(result, conditioning=result.conditioning.held_against(result.gradient, other.gradient))

    def _report(self, task: Task, vector: Vector, result: Hypergradient, steps: Vector) -> None:
        extra: dict[str, Any] = {"step_sizes": steps.tolist(), "hypergradient_bytes": result.peak_bytes}
        extra["conditioning"] = result.conditioning.as_dict()
        if result.diverged_at is not None:
            extra["diverged_at"] = result.diverged_at
        task.report(
            task.space.from_vector(vector),
            result.evaluation,
            state=result.state,
            fidelity=result.state.step / task.problem.horizon,
            hypergradient=None if result.gradient is None else result.gradient.tolist(),
            extra=extra,
        )


class ModeLoop(OuterLoop):
    """Base of those whose hypergradient is one of the engine's modes."""

    @abstractmethod
    def mode(self) -> Mode:
        """The mode, with what the options say of it."""

    def skip(self, problem: Problem) -> str | None:
        return self.mode().uncovered(problem)

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        return self.mode()(task.trainer, schedule, trial, horizon)
