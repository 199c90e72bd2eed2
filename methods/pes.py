"""Persistent evolution strategies (Vicol et al., ICML 2021): no products, unroll by unroll."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hpobench_fds.hypergradient.interface import no_windows
from hpobench_fds.hypergradient.outer import Outer, OuterOptions, build_outer
from hpobench_fds.method import Method, Task, score
from hpobench_fds.schedule import Vector, window_start
from hpobench_fds.seeds import derive
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import DIVERGED, Evaluation, TrainState


@dataclass
class _Particle:
    """A training on one side of the schedule, and the loss at its last stop."""

    state: TrainState
    loss: float | None = None
    evaluation: Evaluation = DIVERGED
    ended: str = "ok"


class PES(Method):
    """Pairs of trainings on both sides of one schedule, which moves at the end of each unroll.

    Each unroll perturbs what is in force in it anew, by e ~ N(0, sigma^2 I) in first steps of the space, up
    in one training of a pair and down in the other. The estimate is the paper's antithetic one: the mean
    over pairs of x (L+ - L-) / (2 sigma^2), with x the sum of the pair's perturbations since step 0. That
    makes it, without bias, the hypergradient of the loss over the whole training (with the perturbations'
    smoothing), where an unroll's own perturbation would be blind to what it does to later ones. What is not
    in force has no perturbation: it would be noise alone. All trainings of an episode have one draw of
    initialisation, split and order. Bounds cut perturbations off, and that is a bias.

    An episode moves as far as an outer step of FDS: first steps are divided by the number of unrolls.

    outer : the outer optimiser. pairs : of trainings, side by side. unrolls : in a training.
    sigma : of perturbations, in first steps.
    objective : "final", the validation loss at the horizon, as a telescoping sum of what each unroll changed;
        or its "mean" over the ends of unrolls.
    """

    name = "pes"
    label = "PES"
    paper = "Vicol et al., Unbiased Gradient Estimation with Persistent Evolution Strategies, ICML 2021"
    persistent: ClassVar[bool] = True

    class Options(Method.Options):
        outer: OuterOptions = OuterOptions(kind="adam")
        pairs: int = Field(default=2, ge=1)
        unrolls: int = Field(default=10, ge=1)
        sigma: float = Field(default=0.5, gt=0)
        objective: Literal["final", "mean"] = "final"

    def skip(self, problem: Problem) -> str | None:
        return no_windows(problem)

    def run(self, task: Task) -> str:
        outer = build_outer(self.options.outer, task.space)
        outer.steps = outer.steps / self.options.unrolls
        here, done = task.space.to_vector(task.space.initial), 0
        if task.restored is not None:
            here, done = np.array(task.restored["vector"]), int(task.restored["episode"])
            outer.load_state_dict(task.restored["outer"])
        while not task.budget.exhausted:
            moved = self.episode(task, done, here, outer)
            if moved is None:
                break
            here, done = moved, done + 1
            task.checkpoint({"vector": here.tolist(), "episode": done, "outer": outer.state_dict()})
        return "budget"

    def episode(self, task: Task, number: int, here: Vector, outer: Outer) -> Vector | None:
        """Train all pairs from step 0 to the horizon; where the schedule is then. None: out of budget."""
        space, horizon, sigma = task.space, task.problem.horizon, self.options.sigma
        rng = np.random.default_rng(derive(task.seed, "episode", number))
        starts, ends = np.array(space.starts(horizon)), np.array(space.ends(horizon))
        pairs = [[_Particle(task.trainer.start(number)) for _ in range(2)] for _ in range(self.options.pairs)]
        applied = since = np.zeros((len(pairs), space.size))
        stops = [window_start(self.options.unrolls, i, horizon) for i in range(self.options.unrolls + 1)]
        for unroll, (begin, end) in enumerate(pairwise(sorted(set(stops)))):
            if self.persistent:
                applied = sigma * self.draw(rng, unroll, space.size) * ((starts < end) & (ends > begin))
                since = since + applied
            else:
                applied = applied if unroll else sigma * self.draw(rng, unroll, space.size)
                since = applied * (starts < end)
            centre, changes = space.to_coordinates(here), np.zeros(len(pairs))
            for i, pair in enumerate(pairs):
                for side, particle in zip((1.0, -1.0), pair, strict=True):
                    vector = space.from_coordinates(centre + side * space.steps * applied[i])
                    change = self._train(task, particle, vector, number, end)
                    if change is None:
                        return None
                    changes[i] += side * change
            slope = changes @ since / (2 * sigma**2 * len(pairs)) / space.steps
            here = outer.step(here, slope / np.where(space.log, here, 1.0))  # derivatives by the value
        for i, pair in enumerate(pairs):
            for side, particle in zip((1, -1), pair, strict=True):
                self._report(task, particle, {"episode": number, "pair": i, "side": side})
        lost = all(particle.ended == "diverged" for pair in pairs for particle in pair)
        return outer.back_off(here) if lost else here

    def draw(self, rng: np.random.Generator, unroll: int, n: int) -> Vector:
        """Standard normal perturbations [pairs, n]."""
        return rng.standard_normal((self.options.pairs, n))

    def _train(self, task: Task, particle: _Particle, vector: Vector, trial: int, until: int) -> float | None:
        """Train on; what the unroll adds to the objective. None: out of budget."""
        before = particle.loss
        if particle.ended == "ok":
            if task.budget.exhausted:
                return None
            schedule = task.space.from_vector(vector)
            outcome = task.train(schedule, trial=trial, until=until, state=particle.state)
            if outcome.ending == "out of budget":
                return None
            particle.ended, particle.evaluation = outcome.ending, outcome.evaluation
            particle.loss = score(task, outcome)
        assert particle.loss is not None
        if self.options.objective == "mean":
            return particle.loss / int(self.options.unrolls)
        return particle.loss - (before or 0.0)  # what both of a pair begin with cancels

    def _report(self, task: Task, particle: _Particle, extra: dict[str, Any]) -> None:
        state, names = particle.state, list(task.problem.rule.defaults)
        columns = [names.index(name) for name in task.space.learned]
        pieces = [(end - begin, np.array(values)[columns]) for begin, end, values in state.trained or []]
        values = np.concatenate([np.tile(one, (steps, 1)) for steps, one in pieces])
        fidelity = state.step / task.problem.horizon
        task.report(
            task.space.over_windows(values, task.problem.horizon), particle.evaluation, state=state,
            fidelity=fidelity, extra=extra, values=values,
        )  # fmt: skip
