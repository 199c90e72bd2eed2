"""HDM-HB: held against its papers' loop, written out in weights and differentiated by autograd, and on
quadratics against what theory says of its step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hpobench_fds.methods.hdm import HDM, AdaGrad
from oracles import relative_error, tiny_dataset
from torch import Tensor

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.data.splits import BatchOrder, Split
from hpobench_fds.hypergradient.online import OnlineResult, one_value_space
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.hypergradient.trajectory import Trajectory
from hpobench_fds.method import Task
from hpobench_fds.method.contract import Deaf
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.seeds import derive
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer

EXACT = 1e-12  # relative error in float64
WIDE: dict[str, dict[str, Any]] = {  # so wide that nothing is cut
    "lr": {"windows": 2, "low": -50.0, "high": 50.0, "initial": 0.05, "step": 0.02},
    "momentum": {"low": -50.0, "high": 50.0, "initial": 0.6, "step": 0.05},
    "weight_decay": {"low": 0.0, "high": 1.0, "initial": 0.03},
}


def trainer_of(space: dict[str, dict[str, Any]], horizon: int = 12, **config: Any) -> Trainer:
    named = {name: HyperparameterSpace.model_validate(one) for name, one in space.items()}
    settings = ProblemConfig(
        dataset="tiny", horizon=horizon, batch_size=8, dtype="float64", validation_fraction=0.2,
        space=named, **config,
    )  # fmt: skip
    return Trainer(Problem(settings, tiny_dataset()), 0, Clock())


def trained(trainer: Trainer, **options: Any) -> OnlineResult:
    method = HDM(HDM.Options(**options))
    assert method.skip(trainer.problem) is None
    task = Task(trainer, Deaf(), method_name="hdm")
    return method.train_online(task, method._outer(task), 0)


def reference(
    trainer: Trainer, feedback: str = "training", omega: float = 0.0, tau: float = 0.0, scale: float = 1.0
) -> tuple[np.ndarray, Tensor]:
    """The papers' loop: x, x-, and the feedback as a function of P and beta that autograd differentiates.

    [P, beta] of each step [T, 2] and the last x.
    """
    p, data, space = trainer.problem, trainer.data(0), trainer.problem.space.spaces
    decay = space["weight_decay"].starts[0]
    order = BatchOrder(torch.arange(len(data.y_validation)), 8, derive(trainer.seed, "online", 0), p.device)

    def f(x: Tensor, step: int) -> Tensor:
        return p.network.loss(x, *data.batch(step)) + decay / 2 * x @ x

    def ahead(x: Tensor, step: int) -> Tensor:
        """What x+ of a step is judged by."""
        if feedback == "training":
            return f(x, step + 1)
        chosen = order.batch(step)
        return p.network.loss(x, data.x_validation[chosen], data.y_validation[chosen], plain=True)

    log = [space[name].scale == "log" for name in ("lr", "momentum")]
    eta = [scale * space[name].first_step for name in ("lr", "momentum")]
    values = [space[name].starts[0] for name in ("lr", "momentum")]
    squares, rows = [0.0, 0.0], []
    before = x = trainer.start(0).w
    for step in range(p.horizon):
        leaf = x.clone().requires_grad_()
        g = torch.autograd.grad(f(leaf, step), leaf)[0]
        rows.append(list(values))
        P, beta = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values)
        after = x - P * g + beta * (x - before)
        if step < p.horizon - 1:
            new, old = after - x, x - before
            change = ahead(after, step) + omega / 2 * new @ new - f(x, step) - omega / 2 * old @ old
            slopes = torch.autograd.grad(change / (g @ g + tau / 2 * old @ old), (P, beta))
            for i, slope in enumerate(map(float, slopes)):
                slope = slope * values[i] if log[i] else slope
                squares[i] += slope**2
                step_ = eta[i] * slope / (math.sqrt(squares[i]) + 1e-12)
                values[i] = values[i] * math.exp(-step_) if log[i] else values[i] - step_
        before, x = x, after.detach()
    return np.array(rows), x


LOGS = WIDE | {"lr": WIDE["lr"] | {"low": 1e-4, "scale": "log", "step": 0.3}}


@pytest.mark.parametrize("feedback", ["training", "validation"])
@pytest.mark.parametrize(("omega", "tau"), [(0.0, 0.0), (3.0, 16.0)])
@pytest.mark.parametrize("space", [WIDE, LOGS], ids=["linear", "log"])
def test_it_is_the_papers_loop(feedback: str, omega: float, tau: float, space: dict[str, Any]) -> None:
    options = {"feedback": feedback, "omega": omega, "tau": tau}
    trainer = trainer_of(space)
    result = trained(trainer, **options)
    rows, x = reference(trainer, **options)
    lr, momentum, decay = result.values.T
    assert relative_error(lr, rows[:, 0]) < EXACT
    # In the trainer's rule: beta (x - x-) = -lr m v, and x - x- = -lr- v.
    assert relative_error(momentum[1:] * lr[1:] / lr[:-1], rows[1:, 1]) < EXACT
    assert relative_error(result.state.w, x) < EXACT
    assert (decay == 0.03).all()
    assert np.ptp(lr) > 0.01
    assert np.ptp(rows[:, 1]) > 0.05


def test_of_a_momentum_that_is_not_learned_lr_s_derivative_is_along_the_whole_step() -> None:
    trainer = trainer_of(WIDE | {"momentum": {"initial": 0.6, "learn": False}}, horizon=6)
    result = trained(trainer, feedback="validation", validation_batch=10**6)
    data, loss = trainer.data(0), trainer.problem.network.loss
    w, v = trainer.start(0).w, torch.zeros(trainer.problem.network.size, dtype=torch.float64)
    found = []
    for step, (lr, decay) in enumerate(result.values.tolist()):
        leaf = w.clone().requires_grad_()
        g = torch.autograd.grad(loss(leaf, *data.batch(step)), leaf)[0] + decay * w
        v = 0.6 * v + g
        rate = torch.tensor(lr, dtype=torch.float64, requires_grad=True)
        judged = loss(w - rate * v, data.x_validation, data.y_validation, plain=True) / (g @ g)
        found.append(float(torch.autograd.grad(judged, rate)[0]))
        w = w - lr * v
    assert relative_error(result.hypergradients[:, 0], np.array(found)) < EXACT
    assert relative_error(result.state.w, w) < EXACT


def test_it_begins_where_the_space_does_and_moves_by_its_first_steps_first() -> None:
    result = trained(trainer_of(WIDE), step_scale=0.5)
    lr, momentum, _ = result.values.T
    assert lr[0] == 0.05
    assert momentum[0] == 0.6
    assert abs(lr[1] - lr[0]) == pytest.approx(0.5 * 0.02)
    # No velocity is to be had of the first step, so that beta's first move is the third step's.
    assert momentum[1] * lr[1] / lr[0] == pytest.approx(0.6)
    assert abs(momentum[2] * lr[2] / lr[1] - 0.6) == pytest.approx(0.5 * 0.05)


def test_it_keeps_to_the_bounds() -> None:
    space = WIDE | {
        "lr": {"low": 0.0, "high": 0.06, "initial": 0.05, "step": 0.005},
        "momentum": {"low": 0.5, "high": 0.65, "initial": 0.6, "step": 0.01},
    }
    lr, momentum, _ = trained(trainer_of(space, horizon=40)).values.T
    for values, low, high in ((lr, 0.0, 0.06), (momentum, 0.5, 0.65)):
        assert ((low <= values) & (values <= high)).all()
        assert (values == high).any() or (values == low).any()


@pytest.mark.parametrize("space", [WIDE, LOGS], ids=["linear", "log"])
@pytest.mark.parametrize("feedback", ["training", "validation"])
def test_hyperparameters_that_live_in_tensors_are_moved_alike(
    monkeypatch: pytest.MonkeyPatch, feedback: str, space: dict[str, Any]
) -> None:
    """As they do on a GPU."""
    numbers = trained(trainer_of(space), feedback=feedback, omega=0.1, tau=1.0)
    monkeypatch.setattr(Trajectory, "_host", property(lambda _: False, lambda *_: None), raising=False)
    monkeypatch.setattr(Outer, "_xp", property(lambda _: torch, lambda *_: None), raising=False)
    monkeypatch.setattr(Outer, "array", lambda _, values: torch.as_tensor(values))
    tensors = trained(trainer_of(space), feedback=feedback, omega=0.1, tau=1.0)
    assert tensors.state.trained is None  # nothing was read
    np.testing.assert_allclose(tensors.values, numbers.values, rtol=1e-9)
    assert relative_error(tensors.state.w, numbers.state.w) < EXACT


def test_it_says_what_it_cannot_run_on() -> None:
    assert "sgd" in str(HDM().skip(trainer_of(WIDE, optimiser="nesterov").problem))
    fixed = {name: {"initial": 0.1, "learn": False} for name in ("lr", "momentum")}
    assert "neither" in str(HDM().skip(trainer_of(WIDE | fixed).problem))
    curve = {"lr": {"family": "cosine", "low": 0.0, "high": 1.0, "initial": 0.1}}
    assert "cosine" in str(HDM().skip(trainer_of(WIDE | curve).problem))


def test_validation_is_counted_and_training_feedback_costs_nothing() -> None:
    for feedback, gradients in (("training", 12), ("validation", 24)):
        trainer = trainer_of(WIDE)
        trained(trainer, feedback=feedback)
        evaluation = trainer.problem.validation_size / 8 / 3
        assert trainer.clock.cost.gradient_equivalents == pytest.approx(gradients + evaluation)


def test_adagrad_is_torch_s() -> None:
    space = one_value_space(trainer_of(WIDE).problem.space)
    outer, vector = AdaGrad(space), space.to_vector(space.initial)
    leaves = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in vector]
    steps = space.steps.tolist()
    theirs = torch.optim.Adagrad([{"params": [one], "lr": s} for one, s in zip(leaves, steps, strict=True)])
    for gradient in np.random.default_rng(0).standard_normal((20, 3)):
        vector = outer.move(vector, gradient)
        for leaf, slope in zip(leaves, gradient.tolist(), strict=True):
            leaf.grad = torch.tensor([slope], dtype=torch.float64)
        theirs.step()
        with torch.no_grad():
            leaves[2].clamp_(0.0, 1.0)
    np.testing.assert_allclose(vector, [leaf.item() for leaf in leaves], rtol=1e-7)


# ------------------------------------------------------------------------------------------------ quadratics


def quadratic(spectrum: tuple[float, ...], horizon: int, lr: dict[str, Any]) -> tuple[Trainer, Tensor]:
    """Linear regression on all examples at once, and the Hessian of its loss, which has that spectrum."""
    signs = torch.ones(1, 1, dtype=torch.float64)
    while len(signs) <= len(spectrum):
        signs = torch.cat([torch.cat([signs, signs], 1), torch.cat([signs, -signs], 1)])
    x = signs[:, 1 : len(spectrum) + 1] * torch.tensor(spectrum, dtype=torch.float64).sqrt()
    y = x.sum(1, keepdim=True)
    data = Dataset("tiny", torch.cat([x, x]), torch.cat([y, y]), x, y, 1)  # one half for validation
    settings = ProblemConfig(
        dataset="tiny", model="linear", loss="squared_error", horizon=horizon, batch_size=len(x),
        dtype="float64", validation_fraction=0.5,
        space={
            "lr": HyperparameterSpace.model_validate(lr),
            "momentum": HyperparameterSpace(initial=0.0, learn=False),
            "weight_decay": HyperparameterSpace(initial=0.0, learn=False),
        },
    )  # fmt: skip
    trainer, half = Trainer(Problem(settings, data), 0, Clock()), torch.arange(len(x))
    trainer._split = lambda draw: Split(train=half, validation=half + len(x))
    loss = trainer.problem.network.loss
    hessian = torch.func.hessian(lambda w: loss(w, x, y))(trainer.start(0).w)
    return trainer, hessian


def test_where_curvature_is_one_number_its_step_tends_to_the_inverse_and_loss_falls_superlinearly() -> None:
    trainer, hessian = quadratic((1.0, 1.0, 1.0), 40, {"low": 0.0, "high": 2.0, "initial": 0.05, "step": 0.1})
    h = float(hessian[0, 0])
    assert torch.allclose(hessian, h * torch.eye(3, dtype=torch.float64))
    steps = trained(trainer).values[:, 0]
    off = np.abs(1 - h * steps[:21])  # what each step leaves of the distance; then it is a rounding
    assert off[0] == pytest.approx(0.9)
    assert (np.diff(off) < 0).all()  # so that any linear rate is passed
    assert off[-1] < 0.05


def test_where_it_is_not_its_regret_is_adagrad_s_and_it_stays_about_the_longest_stable_step() -> None:
    """Against the best constant step for the very points it came by, as the papers' theorems have it."""
    lr = {"low": 0.0, "high": 2.0, "initial": 0.0, "step": 0.1}
    trainer, hessian = quadratic((1.0, 0.5, 0.05), 150, lr)
    result = trained(trainer)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    most = float(eigenvalues[-1])
    data, w = trainer.data(0), trainer.start(0).w
    steps, bent = result.values[:, 0], []
    first = float(trainer.problem.network.loss(w, *data.batch(0)))
    for step, rate in enumerate(steps):
        leaf = w.clone().requires_grad_()
        g = torch.autograd.grad(trainer.problem.network.loss(leaf, *data.batch(step)), leaf)[0]
        bent.append(float(g @ hessian @ g / (g @ g)))
        w = w - rate * g
    q = np.array(bent)  # h(P) = -P + q P^2 / 2 at each point
    best = len(q) / q.sum()
    regret = float((-steps + q * steps**2 / 2).sum() + len(q) * best / 2)
    slopes = -1 + q * steps
    np.testing.assert_allclose(result.hypergradients[:, 0], slopes[:-1], rtol=1e-6, atol=1e-9)
    eta, widest = 0.1, float(np.abs(steps - best).max())
    assert regret <= (widest**2 / (2 * eta) + eta) * math.sqrt(float((slopes**2).sum()))
    late = float(steps[75:].mean())
    assert 1 / most < late < 1.2 * 2 / most  # the longest stable one is 2 / L: nothing holds it under that
    assert float(trainer.problem.network.loss(w, *data.batch(0))) < 1e-5 * first
