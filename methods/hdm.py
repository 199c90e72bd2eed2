"""HDM-HB: hypergradient descent with heavy-ball momentum, step size and momentum learnt online (2024-25)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hpobench_fds.hypergradient.interface import no_windows
from hpobench_fds.hypergradient.online import OnlineResult, one_value_space, validation_order
from hpobench_fds.hypergradient.outer import Array, Outer, OuterOptions
from hpobench_fds.hypergradient.trajectory import Trajectory
from hpobench_fds.method import Method, OnlineLoop, Task
from hpobench_fds.schedule import ScheduleSpace
from hpobench_fds.training.inner_step import Hypers
from hpobench_fds.training.optimisers import Step
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Ended
from hpobench_fds.training.trainer import Trainer

EPS = 1e-12  # of AdaGrad, in the authors' code


class HDM(OnlineLoop):
    """Greedy: the hypergradient of one step, relative to the gradient's square, moves both by AdaGrad.

    The papers' (Chu et al.; Gao et al., arXiv:2411.01803 and 2509.11007), with x- the weights before x::

        x+ = x - P g + beta (x - x-),    g = grad f(x)
        h(P, beta) = (phi(x+, x) - phi(x, x-)) / (|g|^2 + tau / 2 |x - x-|^2)
        phi(x, x-) = f(x) + omega / 2 |x - x-|^2

    and P and beta step along dh/dP and dh/dbeta by AdaGrad, each projected onto its range. P is a number
    here, as the trainer's learning rate is. omega = tau = 0 is the authors' first heavy-ball code; later ones
    have tau in units of a smoothness constant, which nobody is told here.

    What had to be chosen, since theirs is deterministic:

    - f is the loss of a batch, with weight decay. grad f(x+) is that of the next step's batch, at no cost: on
      the same batch longer steps would seem better than they are, and a fresh one leaves dh/dP without that
      bias. ``feedback = "validation"`` takes it on a validation batch instead, as HD does here, on the clock.
    - The trainer's rule has v' = m v + g, x+ = x - lr v': lr = P and m = beta lr- / lr, cut to momentum's
      range, with lr- that of the step before. Where momentum is not learned, lr's derivative is that of the
      whole step, along v'.
    - No null step, which holds x back where f(x+) is no better, and no gradient step from x+ ("lookahead"):
      neither is a step of the trainer's rule, so that no schedule would give these weights.
    - P and beta begin where the space does, move by its first steps first, on log ranges in logarithms, and
      keep to its bounds. Other hyperparameters keep their first initial value.

    feedback : whose f(x+) they are moved by. omega, tau : see above, in units of f / |x|^2 and (f / |x|^2)^2.
    step_scale : factor on AdaGrad's step sizes. validation_batch : examples; None: the training batch size.
    trainings : stop after so many; None: start over while budget is left.
    """

    name = "hdm"
    label = "HDM-HB"
    paper = (
        "Chu, Gao, Ye & Udell, Provable and Practical Online Learning Rate Adaptation with Hypergradient "
        "Descent, ICML 2025"
    )

    class Options(Method.Options):
        frozen: ClassVar[bool] = False
        feedback: Literal["training", "validation"] = "training"
        omega: float = Field(default=0.0, ge=0.0)
        tau: float = Field(default=0.0, ge=0.0)
        step_scale: float = Field(default=1.0, gt=0.0)
        validation_batch: int | None = Field(default=None, ge=1)
        trainings: int | None = Field(default=None, ge=1)

    def skip(self, problem: Problem) -> str | None:
        if problem.rule.name != "sgd":
            return f"heavy ball is a step of sgd, not of {problem.rule.name}"
        if not {"lr", "momentum"} & set(problem.space.learned):
            return "it learns lr and momentum, and the problem neither"
        return no_windows(problem)

    def _outer(self, task: Task) -> Outer:
        return AdaGrad(one_value_space(task.space), self.options.step_scale, task.problem.device)

    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        run = _HeavyBall(self.options, task.trainer, outer, trial)
        for index in range(task.problem.horizon):
            if (ended := run.step(index)) is not None:
                return run.finish(ended)
        return run.finish(Ended("ok"))


class AdaGrad(Outer):
    """lambda -= s h / sqrt(sum of h^2 so far) (Duchi et al., JMLR 2011), s the space's first steps scaled."""

    def __init__(self, space: ScheduleSpace, scale: float = 1.0, device: torch.device | None = None) -> None:
        super().__init__(OuterOptions(), space, device)
        self.steps = self.steps * scale
        self._sum = self.array(np.zeros(space.size))

    def _move(self, gradient: Array) -> Array:
        self._sum = self._sum + gradient**2
        return self.steps * gradient / (self._xp.sqrt(self._sum) + EPS)


class _HeavyBall:
    """One training. Of the last step taken: gradient g [P], the velocity v before it [P], lr and lr-."""

    def __init__(self, options: HDM.Options, trainer: Trainer, outer: Outer, trial: int) -> None:
        self.options, self.trainer, self.problem = options, trainer, trainer.problem
        self.inner = trainer.inner(trainer.start(trial), last=self.problem.horizon)
        self.trajectory = Trajectory(self.problem, outer)
        self.learned = outer.space.learned
        self.seen, self.gradient, self.velocity = (torch.zeros_like(self.inner.state.w) for _ in range(3))
        self.lr: float | Tensor = 0.0
        self.lr_before: float | Tensor = 0.0
        self.values: list[Hypers] = []
        self._work = self._see  # one object: steps are alike by it
        self._order = validation_order(trainer, self.inner, trial, options.validation_batch)

    def step(self, index: int) -> Ended | None:
        """One inner step, and a move of P and beta: before it by its own batch, or after it by validation."""
        inner, state, training = self.inner, self.inner.state, self.options.feedback == "training"
        inner.through(index, self.trajectory.hypers(index), self._work, self.problem.horizon - index)
        if training and index:
            self.trajectory.move(self._slopes(self.seen))
        hypers = self._in_force(index)
        self.values.append(hypers)
        self.gradient.copy_(self.seen)
        self.velocity.copy_(state.slots[0])
        self.lr, self.lr_before = hypers[0], self.lr if index else hypers[0]
        self.problem.rule.update_(Step(state.w, state.slots, self.seen, _without_decay(hypers), index))
        state.took(index, hypers)
        if not training:
            self.trajectory.move(self._slopes(self._validation_gradient()))
        return inner.check()

    def _see(self, step: Step) -> None:
        """Keep the gradient of a step's batch, decay included."""
        self.seen.copy_(step.gradient)
        if isinstance(step.hypers, Tensor):
            self.seen.addcmul_(step.w, step.hypers[2].to(step.w.dtype))
        elif step.hypers[2]:
            self.seen.add_(step.w, alpha=step.hypers[2])

    def _in_force(self, index: int) -> Hypers:
        """lr, m and weight decay of a step [3], from P and beta as they are now."""
        found = self.trajectory.hypers(index)
        if "momentum" in self.learned and index:  # before the first step there is no velocity
            lr, beta, decay = torch.as_tensor(found, dtype=torch.float64)
            ratio = torch.where(lr == 0, 1.0, self.lr / torch.where(lr == 0, 1.0, lr))
            space = self.learned["momentum"]
            moved = torch.stack([lr, (beta * ratio).clamp(space.low, space.high), decay])
            return moved if isinstance(found, Tensor) else tuple(moved.tolist())
        return found

    def _slopes(self, ahead: Tensor) -> Tensor:
        """dh/dP and dh/dbeta [n] of the last step, from the gradient [P] at where it led; 0 of any other."""
        g, v, moved = self.gradient, self.velocity, self.inner.state.slots[0]  # x+ - x = -lr moved
        if self.options.omega:
            ahead = ahead - moved * (self.options.omega * self.lr)
        base = torch.dot(g, g).double() + self.options.tau / 2 * self.lr_before**2 * torch.dot(v, v).double()
        along = g if "momentum" in self.learned else moved
        slopes = {"lr": torch.dot(ahead, along).double()}
        slopes["momentum"] = self.lr_before * torch.dot(ahead, v).double()  # x - x- = -lr- v
        none = torch.zeros_like(base)
        found = torch.stack([slopes.get(name, none) for name in self.learned])
        return torch.where(base == 0, 0.0, -found / base)

    def _validation_gradient(self) -> Tensor:
        """The gradient [P] of a validation batch at the weights as they are."""
        data, indices = self.inner.data, self._order.batch(self.trajectory.moves)
        x, y = data.x_validation.index_select(0, indices), data.y_validation.index_select(0, indices)
        self.trainer.clock.count(gradients=len(indices) / self.problem.batch_size)
        return self.problem.network.gradient(self.inner.state.w, x, y, plain=True).gradient

    def finish(self, ended: Ended) -> OnlineResult:
        table = torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in self.values]).cpu().numpy()
        columns = [list(self.problem.rule.defaults).index(name) for name in self.learned]
        slopes = self.trajectory.history()[1]
        return OnlineResult.of(self.trainer, self.inner, ended, table[:, columns], slopes)


def _without_decay(hypers: Hypers) -> Hypers:
    """For a gradient that has it in it."""
    if isinstance(hypers, Tensor):
        return torch.cat([hypers[:2], torch.zeros_like(hypers[:1])])
    return (hypers[0], hypers[1], 0.0)
