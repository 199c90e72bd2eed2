"""AutoLRS: each stage's learning rate by Bayesian optimisation of forecast losses (Jin et al., ICLR 2021)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.interpolate import UnivariateSpline
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize, minimize_scalar

from hpobench_fds.hypergradient.interface import no_windows
from hpobench_fds.method import BlackBoxOptions, Method, Task
from hpobench_fds.schedule import Schedule, Vector, window_start
from hpobench_fds.seeds import derive
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import TrainState

GRID = np.linspace(0.0, 1.0, 1001)  # rates that are compared, as shares of the range
# Of logarithms of the process's variance, length and noise: scikit-optimize's, and where fits begin.
BOUNDS = np.log([(1e-2, 1e3), (1e-2, 1e2), (1e-5, 1e5)])
FIRST = np.log([(1.0, 1.0, 0.1), (1.0, 0.2, 0.1)])
SPIKES, ROUNDS = 0.03, 10  # share of losses left out in a round, and rounds
SHORTEST = 5  # losses that a parabola and an exponential are fitted to


class AutoLRS(Method):
    """Stage by stage: a few rates are tried for a tenth of it, and the one of the least forecast is applied.

    A stage is a window of lr, so that what a training has come by is a schedule of the space; windows to come
    have the last rate. Other hyperparameters stay at ``initial``. Candidates start from the weights and
    velocity that the stage begins with; a Gaussian process over the rate (on the space's scale) chooses them
    by the least lower confidence bound of the forecasts. At the horizon a new training begins.

    From the authors' code: ten candidates for tau / 10 steps, so that the search costs as much as the
    training; kappa = 1e6, which leaves the deviation alone to choose; no rate twice; the spline, the spikes
    left out of the first half and the exponential (see ``forecast``); training losses for stages as short as
    the suite's (theirs: below 8000 steps), else validation losses, 16 of them, and the last one in the
    forecast's place once they have been as high as at step 0. The process is scikit-optimize's.

    Chosen here: a candidate has ``SHORTEST`` steps at least; all see the stage's own batches, which theirs go
    past; the very first is the initial rate, where theirs, and a stage's first here, is drawn; a loss counts
    at most twice the first one, or that of guessing, and a divergence twice that; stages do not grow.

    candidates : a stage. explored : share of a stage that each is trained for. kappa : deviations below the
    mean. losses : which are forecast. looks : validations of a candidate, at most.
    """

    name = "autolrs"
    label = "AutoLRS"
    paper = (
        "Jin et al., AutoLRS: Automatic Learning-Rate Schedule by Bayesian Optimization on the Fly, ICLR 2021"
    )
    multi_fidelity = True

    class Options(BlackBoxOptions):
        candidates: int = Field(default=10, ge=1, le=len(GRID))
        explored: float = Field(default=0.1, gt=0.0, le=1.0)
        kappa: float = Field(default=1e6, ge=0.0)
        losses: Literal["training", "validation"] = "training"
        looks: int = Field(default=16, ge=SHORTEST)

    def skip(self, problem: Problem) -> str | None:
        return no_windows(problem) if "lr" in problem.space.learned else "it learns lr, which is not learned"

    def run(self, task: Task) -> str:
        course = _Course(task.space.to_vector(task.space.initial)) if task.restored is None else (
            _Course.of(task.restored)
        )  # fmt: skip
        while not task.budget.exhausted and self._stage(task, course):
            task.checkpoint(course.as_data())
        return "budget"

    def _stage(self, task: Task, course: _Course) -> bool:
        """Search and train the next stage. False: out of budget."""
        window, begin, end = stages(task.problem)[course.stage]
        if course.state is None:
            course.state = task.trainer.start(course.trial)
            course.first_loss = None
        rates, forecasts = np.empty(0), np.empty(0)
        for number in range(self.options.candidates):
            if number:
                rate = chosen(rates, forecasts, self.options.kappa)
            else:
                rate = self._first(task, course, window)
            found = self._tried(task, course, self._with(task, course, window, rate), begin, end)
            if found is None:
                return False
            rates, forecasts = np.append(rates, rate), np.append(forecasts, found)
        best = int(np.argmin(forecasts))
        schedule = self._with(task, course, window, rates[best])
        outcome = task.train(schedule, trial=course.trial, until=end, state=course.state)
        if outcome.ending == "out of budget":
            return False
        extra: dict[str, Any] = {"training": course.trial, "forecast": float(forecasts[best])}
        if outcome.diverged_at is not None:
            extra["diverged_at"] = outcome.diverged_at
        fidelity = outcome.step / task.problem.horizon
        task.report(schedule, outcome.evaluation, state=outcome.state, fidelity=fidelity, extra=extra)
        course.vector, course.stage = task.space.to_vector(schedule), course.stage + 1
        if outcome.ending != "ok" or course.stage == len(stages(task.problem)):
            initial = task.space.to_vector(task.space.initial)
            course.vector, course.trial, course.stage, course.state = initial, course.trial + 1, 0, None
        return True

    def _first(self, task: Task, course: _Course, window: int) -> float:
        """A stage's first candidate, as a share of the range."""
        if self.options.start_from_initial and course.trial == course.stage == 0:
            return float(task.space.to_unit(task.space.initial)[_places(task.problem)[window]])
        seed = derive(task.seed, "stage", course.trial, course.stage)
        return float(np.random.default_rng(seed).random())

    def _with(self, task: Task, course: _Course, window: int, rate: float) -> Schedule:
        """The schedule so far with a rate, a share of its range, from a window on."""
        to_come = _places(task.problem)[window:]
        vector = course.vector.copy()
        vector[to_come] = task.space.to_vector(task.space.from_unit(np.full(len(vector), rate)))[to_come]
        return task.space.from_vector(vector)

    def _tried(self, task: Task, course: _Course, schedule: Schedule, begin: int, end: int) -> float | None:
        """The loss at the stage's end, forecast by the first steps of it. None: out of budget."""
        assert course.state is not None
        training, tau, state = self.options.losses == "training", end - begin, course.state.clone()
        until = begin + min(tau, max(SHORTEST, round(self.options.explored * tau)))
        losses = self._training_losses if training else self._validation_losses
        if (series := losses(task, state, schedule, until)) is None:
            return None
        x, y = series
        first = float(y[0]) if training else self._first_loss(task, course)
        guessing = task.problem.objective.guessing(task.problem.classes)[0]
        most = 2 * max(guessing, first if math.isfinite(first) else 0.0)  # the same for all candidates
        if not np.isfinite(y).all():
            return 2 * most
        if not training and y.max() >= first:
            return float(min(y[-1], most))
        y = np.minimum(y, most)
        return min(forecast(x - begin, y, tau, ROUNDS if training else 1), most)

    def _first_loss(self, task: Task, course: _Course) -> float:
        """The validation loss at step 0."""
        if course.first_loss is None:
            course.first_loss = task.trainer.evaluate(task.trainer.start(course.trial)).loss
        return course.first_loss

    def _training_losses(
        self, task: Task, state: TrainState, schedule: Schedule, until: int
    ) -> tuple[Vector, Vector] | None:
        """Steps done [n] and the losses [n] of the batches that come then. None: out of budget."""
        inner, begin, seen, ended = task.trainer.inner(state, last=until), state.step, [], None
        for index in range(begin, until):
            step = inner.begin(index, inner.values(schedule, index, task.problem.horizon))
            seen.append(inner.tape.loss.clone())
            inner.take(step)
            if (ended := inner.check()) is not None:
                break
        if task.budget.exhausted or (ended is not None and ended.ending == "out of budget"):
            return None
        return np.arange(begin, begin + len(seen), dtype=float), np.array(torch.stack(seen).tolist())

    def _validation_losses(
        self, task: Task, state: TrainState, schedule: Schedule, until: int
    ) -> tuple[Vector, Vector] | None:
        """Steps done [n] and the validation losses [n] then. None: out of budget."""
        every = max(1, (until - state.step) // self.options.looks)
        x, y = [], []
        for stop in range(state.step + every, until + 1, every):
            outcome = task.train(schedule, trial=state.trial, until=stop, state=state)
            if outcome.ending == "out of budget" or task.budget.exhausted:
                return None
            x.append(float(stop))
            y.append(outcome.evaluation.loss)
            if outcome.ending == "diverged":
                break
        return np.array(x), np.array(y)


@dataclass
class _Course:
    """A training under way: the schedule so far [size], which draw it is, the next stage and its start."""

    vector: Vector
    trial: int = 0
    stage: int = 0
    state: TrainState | None = None
    first_loss: float | None = None  # of validation, at step 0

    @classmethod
    def of(cls, data: dict[str, Any]) -> _Course:
        state = None if data["state"] is None else TrainState(**data["state"])
        return cls(np.array(data["vector"]), data["trial"], data["stage"], state, data["first_loss"])

    def as_data(self) -> dict[str, Any]:
        state = None if self.state is None else vars(self.state)
        return vars(self) | {"vector": self.vector.tolist(), "state": state}


def stages(problem: Problem) -> list[tuple[int, int, int]]:
    """Windows of lr that steps fall into, with their first step and the one after their last."""
    count = problem.space.learned["lr"].windows
    edges = [window_start(count, i, problem.horizon) for i in range(count + 1)]
    return [(i, begin, end) for i, (begin, end) in enumerate(pairwise(edges)) if begin < end]


def _places(problem: Problem) -> list[int]:
    """Where lr's windows stand in a flat vector."""
    return [i for i, owner in enumerate(problem.space.owners) if owner == "lr"]


def chosen(rates: Vector, losses: Vector, kappa: float) -> float:
    """The rate of the least mean - kappa sd, after rates [n] with losses [n]; all as shares of the range."""
    tried = np.abs(GRID[:, None] - rates).min(axis=1) < 0.5 * GRID[1]
    mean, sd = Process(rates, losses).posterior(GRID)
    return float(GRID[np.argmin(np.where(tried, np.inf, mean - kappa * sd))])


class Process:
    """A Gaussian process of losses y [n], standardised, over rates x [n] in [0, 1]: Matern 5/2 and noise.

    theta : logarithms of variance, length and noise's variance; None: of the largest marginal likelihood.
    """

    def __init__(self, x: Vector, y: Vector, theta: Vector | None = None) -> None:
        self.x, self.y = x, (y - y.mean()) / (y.std() or 1.0)
        if theta is None:
            fits = [minimize(self.cost, one, jac=True, method="L-BFGS-B", bounds=BOUNDS) for one in FIRST]
            theta = min(fits, key=lambda fit: float(fit.fun)).x
        self.theta: Vector = np.asarray(theta, float)

    def _kernel(self, theta: Vector, x: Vector) -> tuple[Vector, Vector]:
        """[m, n] without noise, and its derivative in the logarithm of the length."""
        r = math.sqrt(5) * np.abs(x[:, None] - self.x) / math.exp(theta[1])
        scale = math.exp(theta[0]) * np.exp(-r)
        return scale * (1 + r + r**2 / 3), scale * r**2 * (1 + r) / 3

    def cost(self, theta: Vector) -> tuple[float, Vector]:
        """Minus the logarithm of the marginal likelihood, and its gradient [3]."""
        k, by_length = self._kernel(theta, self.x)
        noise = math.exp(theta[2]) * np.eye(len(self.y))
        factor = cho_factor(k + noise, lower=True)
        fit = cho_solve(factor, self.y)
        value = self.y @ fit / 2 + np.log(np.diag(factor[0])).sum() + len(fit) / 2 * math.log(2 * math.pi)
        left = cho_solve(factor, np.eye(len(fit))) - np.outer(fit, fit)
        return float(value), np.array([(left * part).sum() / 2 for part in (k, by_length, noise)])

    def posterior(self, at: Vector) -> tuple[Vector, Vector]:
        """Mean and standard deviation [m] of the loss without its noise, at rates [m]."""
        k = self._kernel(self.theta, at)[0]
        known = self._kernel(self.theta, self.x)[0] + math.exp(self.theta[2]) * np.eye(len(self.x))
        factor = cho_factor(known, lower=True)
        variance = math.exp(self.theta[0]) - np.einsum("mn,nm->m", k, cho_solve(factor, k.T))
        return k @ cho_solve(factor, self.y), np.sqrt(np.maximum(variance, 0.0))


def forecast(x: Vector, y: Vector, at: float, rounds: int = ROUNDS) -> float:
    """The loss after ``at`` steps by a exp(-b x) + c, fitted to losses y [n] after x [n] steps as theirs is.

    A quadratic smoothing spline tells spikes, which are left out of the first half: 3 % in each of ten rounds
    (rounds = 1: of validation losses one alone), 3 in 10 at most. The exponential goes through the spline of
    the others. Fewer than ``SHORTEST`` losses: the last one.
    """
    if len(x) < SHORTEST:
        return float(y[-1])
    half, kept = x[(len(x) - 1) // 2], (x, y)
    each = 1 if rounds == 1 else max(1, round(SPIKES * len(x)))
    for _ in range(rounds):
        if len(kept[0]) - each < (1 - SPIKES * ROUNDS) * len(x):
            break
        off = np.abs(kept[1] - _spline(*kept, kept[0]))
        worst = np.argsort(off, kind="stable")[-each:]
        stay = np.setdiff1d(np.arange(len(off)), worst[kept[0][worst] < half])
        kept = kept[0][stay], kept[1][stay]
    smooth = _spline(*kept, x)

    def fitted(log_rates: Vector) -> tuple[Vector, Vector, Vector]:
        """For rates b [k]: a and c [k] by least squares, and the sum [k] of squares that they leave."""
        e = np.exp(-np.exp(log_rates)[:, None] * (x - x[0]))
        centred = e - e.mean(axis=1, keepdims=True)
        a = centred @ smooth / (centred**2).sum(axis=1)
        c = smooth.mean() - a * e.mean(axis=1)
        return a, c, ((a[:, None] * e + c[:, None] - smooth) ** 2).sum(axis=1)

    # From a straight line over the whole stage to a step between two losses.
    rates = np.linspace(math.log(1e-2 / at), math.log(10 / (x[1] - x[0])), 100)
    near = int(np.argmin(fitted(rates)[2]))
    around = rates[max(0, near - 1)], rates[min(len(rates) - 1, near + 1)]
    best = minimize_scalar(
        lambda rate: float(fitted(np.array([rate]))[2][0]), bounds=around, method="bounded"
    ).x
    a, c, _ = fitted(np.array([best]))
    return float(a[0] * math.exp(-math.exp(best) * (at - x[0])) + c[0])


def _spline(x: Vector, y: Vector, at: Vector) -> Vector:
    """A quadratic smoothing spline at some places, whose squared residuals come to the number of losses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of losses of another order it comes less near
        found: Vector = UnivariateSpline(x, y, k=2)(at)
    return found
