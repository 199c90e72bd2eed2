"""Rules of their own, step for step against their authors' packages; where they are evaluated, their cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dadaptation import DAdaptAdam as TheirDAdaptAdam
from dadaptation import DAdaptSGD as TheirDAdaptSGD
from prodigyopt import Prodigy as TheirProdigy
from schedulefree import AdamWScheduleFree, SGDScheduleFree
from torch import Tensor

from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.own_rules import (
    OWN_RULES,
    DAdaptAdam,
    DAdaptSGD,
    OwnRule,
    Prodigy,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    own_rule,
)
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

STEPS = 60
SHAPES = ((5, 4), (5,), (3, 5), (3,))  # of several parameters: an estimate is over all of them
SIZES = [torch.Size(shape).numel() for shape in SHAPES]

Theirs = Callable[[list[Tensor]], torch.optim.Optimizer]

ALIKE: list[tuple[OwnRule, Theirs]] = [
    (ScheduleFreeSGD(), lambda p: SGDScheduleFree(p)),
    (
        ScheduleFreeSGD(lr=0.3, momentum=0.95, weight_decay=0.1, warmup_steps=7, r=1.0, weight_lr_power=1.0),
        lambda p: SGDScheduleFree(
            p, 0.3, momentum=0.95, weight_decay=0.1, warmup_steps=7, r=1.0, weight_lr_power=1.0
        ),
    ),
    (ScheduleFreeAdamW(), lambda p: AdamWScheduleFree(p)),
    (
        ScheduleFreeAdamW(lr=0.05, beta1=0.8, beta2=0.99, weight_decay=0.1, warmup_steps=9, r=0.5),
        lambda p: AdamWScheduleFree(p, 0.05, (0.8, 0.99), weight_decay=0.1, warmup_steps=9, r=0.5),
    ),
    (Prodigy(), lambda p: TheirProdigy(p)),
    (
        Prodigy(
            weight_decay=0.1, use_bias_correction=True, safeguard_warmup=True, d_coef=2.0, lr=0.5, d0=0.01
        ),
        lambda p: TheirProdigy(
            p, 0.5, weight_decay=0.1, use_bias_correction=True, safeguard_warmup=True, d_coef=2.0, d0=0.01
        ),
    ),
    (
        Prodigy(weight_decay=0.1, decouple=False, growth_rate=1.5, beta3=0.9, d0=1e-3),
        lambda p: TheirProdigy(p, weight_decay=0.1, decouple=False, growth_rate=1.5, beta3=0.9, d0=1e-3),
    ),
    (DAdaptSGD(), lambda p: TheirDAdaptSGD(p)),
    (
        DAdaptSGD(momentum=0.9, weight_decay=0.1, growth_rate=1.5, lr=0.5, d0=1e-3),
        lambda p: TheirDAdaptSGD(p, 0.5, momentum=0.9, weight_decay=0.1, growth_rate=1.5, d0=1e-3),
    ),
    (DAdaptAdam(), lambda p: TheirDAdaptAdam(p)),
    (
        DAdaptAdam(
            weight_decay=0.1, decouple=True, use_bias_correction=True, growth_rate=1.5, lr=0.5, d0=0.01
        ),
        lambda p: TheirDAdaptAdam(
            p, 0.5, weight_decay=0.1, decouple=True, use_bias_correction=True, growth_rate=1.5, d0=0.01
        ),
    ),
    (DAdaptAdam(weight_decay=0.1), lambda p: TheirDAdaptAdam(p, weight_decay=0.1)),
]


def gradient_at(parts: list[Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Of a small network's cross-entropy, of each parameter."""
    leaves = [part.detach().requires_grad_() for part in parts]
    a, b, c, d = leaves
    loss = torch.nn.functional.cross_entropy(torch.tanh(x @ a.T + b) @ c.T + d, y)
    return torch.autograd.grad(loss, leaves)


def split(w: Tensor) -> list[Tensor]:
    return [part.view(shape) for part, shape in zip(w.split(SIZES), SHAPES, strict=True)]


@pytest.mark.parametrize(
    ("rule", "theirs"), ALIKE, ids=[f"{type(rule).__name__}-{i}" for i, (rule, _) in enumerate(ALIKE)]
)
def test_every_step_is_the_authors(rule: OwnRule, theirs: Theirs) -> None:
    stream = torch.Generator().manual_seed(3)
    w = torch.randn(sum(SIZES), generator=stream, dtype=torch.float64)
    parameters = [part.clone().requires_grad_() for part in split(w)]
    optimiser: Any = theirs(list(parameters))
    averages = hasattr(optimiser, "train")
    if averages:
        optimiser.train()
    course = rule.begin(w)
    largest, start = 0.0, w.clone()
    for _ in range(STEPS):
        x = torch.randn(8, 4, generator=stream, dtype=torch.float64)
        y = torch.randint(3, (8,), generator=stream)
        gradients = gradient_at(parameters, x, y)  # of both: a network would carry rounding away
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimiser.step()
        course.take(w, torch.cat([one.flatten() for one in gradients]))
        them = torch.cat([one.detach().flatten() for one in parameters])
        largest = max(largest, float((w - them).abs().max()))
    if averages:
        optimiser.eval()
    course.settle(w)
    them = torch.cat([one.detach().flatten() for one in parameters])
    largest = max(largest, float((w - them).abs().max()))
    moved = float((w - start).abs().max())
    print(f"{rule.rule}: {largest:.1e} of {moved:.1e}")
    assert moved > 1e-5
    assert largest < 1e-12 * max(1.0, moved)


@pytest.mark.parametrize(("rule", "theirs"), [ALIKE[i] for i in (0, 2, 4, 7, 9)], ids=list(OWN_RULES))
def test_defaults_are_the_packages(rule: OwnRule, theirs: Theirs) -> None:
    optimiser: Any = theirs([torch.zeros(1, requires_grad=True)])
    known = {"d0": optimiser.param_groups[0].get("d")} | optimiser.param_groups[0]
    known |= dict(zip(("beta1", "beta2"), known.get("betas", ()), strict=False))
    for name, value in rule.model_dump().items():
        expected = known[name]
        assert value == (None if expected == float("inf") else expected), name


@pytest.mark.parametrize("name", OWN_RULES)
def test_data_and_back(name: str) -> None:
    rule = OWN_RULES[name].model_validate({"lr": 0.25})
    assert own_rule(rule.as_data()) == rule
    assert hash(own_rule(rule.as_data())) == hash(rule)
    with pytest.raises(ValueError, match="no rule 'adagrad'"):
        own_rule({"rule": "adagrad"})


# ------------------------------------------------------------------------------------- on the trainer


def small(**more: Any) -> Problem:
    config = {"dataset": "digits", "train_limit": 200, "batch_size": 16, "horizon": 24, "dtype": "float64"}
    return load_problem(ProblemConfig.model_validate({**config, **more}))[0]


@pytest.mark.parametrize("name", OWN_RULES)
def test_trainings_are_alike_and_counted(name: str) -> None:
    problem, clock = small(), Clock()
    trainer = Trainer(problem, 0, clock)
    rule = OWN_RULES[name]()
    first, again = (trainer.train(trainer.start(0), rule) for _ in range(2))
    assert first.ending == "ok"
    assert torch.equal(first.state.w, again.state.w)
    assert (first.state.step, first.state.by) == (24, rule)
    assert clock.cost.inner_steps == 48
    assert clock.cost.gradient_equivalents == 48
    assert trainer.evaluate(first.state).loss < trainer.evaluate(trainer.start(0)).loss


def test_a_schedule_free_training_ends_at_the_average() -> None:
    """x is the mean of z_1 ... z_T where the rate is constant; the gradients' point is another."""
    problem = small()
    trainer = Trainer(problem, 0, Clock())
    state = trainer.start(0)
    y, beta, lr = state.w.clone(), 0.9, 0.5
    z, mean = y.clone(), torch.zeros_like(y)
    for step in range(24):
        x_batch, y_batch = trainer.data(0).batch(step)
        z = z - lr * problem.network.gradient(y, x_batch, y_batch).gradient
        mean += (z - mean) / (step + 1)
        y = (1 - beta) * z + beta * mean
    trained = trainer.train(state, ScheduleFreeSGD(lr=lr)).state
    torch.testing.assert_close(trained.w, mean, rtol=0, atol=1e-12)
    assert not torch.allclose(trained.w, y, atol=1e-4)


@pytest.fixture
def normed(tmp_path: Path) -> str:
    """A small network with batch norm, as a model's name."""
    path = tmp_path / "normed.py"
    path.write_text(
        "from hpobench_fds.nn.layers import BatchNorm2d, Conv2d, GlobalAvgPool, Linear, ReLU, Sequential\n"
        "def build(shape, classes):\n"
        "    norm = BatchNorm2d(6), ReLU(), GlobalAvgPool(), Linear(6, classes)\n"
        "    return Sequential(Conv2d(shape[0], 6, 3), *norm)\n"
    )
    return f"{path}:build"


def test_batch_norm_sees_the_weights_that_are_evaluated(normed: str) -> None:
    problem, clock = small(model=normed, horizon=8, batch_size=8, train_limit=60), Clock()
    assert problem.network.buffer_size
    trainer = Trainer(problem, 0, clock)
    state = trainer.train(trainer.start(0), ScheduleFreeSGD()).state
    batches = min(50, problem.steps_per_epoch)
    assert clock.cost.gradient_equivalents == pytest.approx(8 + batches / 3)

    # the statistics of the training itself, then those of the next batches at x by a gradient's own forward
    again, buffers = trainer.start(0), trainer.start(0).buffers
    course = ScheduleFreeSGD().begin(again.w)
    for step in range(8):
        x, y = trainer.data(0).batch(step)
        course.take(again.w, problem.network.gradient(again.w, x, y, buffers).gradient)
    at_y = buffers.clone()
    course.settle(again.w)
    for step in range(8, 8 + batches):
        problem.network.gradient(again.w, *trainer.data(0).batch(step), buffers)
    torch.testing.assert_close(state.w, again.w)
    torch.testing.assert_close(state.buffers, buffers)
    assert not torch.allclose(at_y, buffers, rtol=1e-3)


def test_batch_norm_is_left_alone_by_rules_that_are_evaluated_where_they_train(normed: str) -> None:
    problem, clock = small(model=normed, horizon=8, batch_size=8, train_limit=60), Clock()
    trainer = Trainer(problem, 0, clock)
    trainer.train(trainer.start(0), Prodigy())
    assert clock.cost.gradient_equivalents == 8


def test_divergence_and_a_budgets_end_are_seen() -> None:
    problem = small(horizon=60, batch_size=8)
    trainer = Trainer(problem, 0, Clock())
    state = trainer.start(0)
    state.w.fill_(float("nan"))
    assert trainer.train(state, Prodigy()).ending == "diverged"
    clock = Clock()
    short = Trainer(problem, 0, clock, Budget(clock, steps=30))
    assert short.train(short.start(0), Prodigy()).ending == "out of budget"


def test_they_begin_at_step_0_alone_and_a_schedule_says_that_it_was_one() -> None:
    trainer = Trainer(small(), 0, Clock())
    state = trainer.train(trainer.start(0), trainer.problem.space.initial, until=2).state
    assert state.by is None
    with pytest.raises(ValueError, match="prodigy trains from step 0, not from 2"):
        trainer.train(state, Prodigy())
    assert isinstance(trainer.problem.space.initial, Schedule)


def test_a_gradient_that_is_zero_moves_nothing() -> None:
    for rule in (Prodigy(), DAdaptAdam(), ScheduleFreeSGD(), ScheduleFreeAdamW()):
        w = torch.ones(3, dtype=torch.float64)
        course = rule.begin(w)
        course.take(w, torch.zeros_like(w))
        course.settle(w)
        torch.testing.assert_close(w, torch.ones_like(w))
