"""Gradient-based methods, each through a task: what they report, where they go, and how they go on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hpobench_fds.methods.fds import FDS
from hpobench_fds.methods.forward_gradient import ForwardGradient
from hpobench_fds.methods.hd import HD
from hpobench_fds.methods.hdm import HDM
from hpobench_fds.methods.implicit import Implicit
from hpobench_fds.methods.ladder import Ladder
from hpobench_fds.methods.marthe import MARTHE
from hpobench_fds.methods.one_pass import OnePass
from hpobench_fds.methods.reverse import Reverse
from hpobench_fds.methods.reverse_sharing import ReverseSharing
from hpobench_fds.methods.rtho import RTHO
from hpobench_fds.methods.sliding_reverse import SlidingReverse
from hpobench_fds.methods.truncated_reverse import TruncatedReverse

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.reverse import ReverseMode, kept_bytes, segment_length, state_bytes
from hpobench_fds.method import Method, OuterLoop, Report, Task
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.training.clock import Budget, Clock, Cost
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

HORIZON = 30
SPACE = {
    "lr": HyperparameterSpace(windows=3, low=-1.0, high=1.0, step=0.1),
    "momentum": HyperparameterSpace(low=-1.5, high=1.5, step=0.1),
    "weight_decay": HyperparameterSpace(low=-4e-3, high=4e-3, step=3e-4),
}
DECAY_ONLY = {
    "lr": HyperparameterSpace(initial=0.1, learn=False),
    "weight_decay": HyperparameterSpace(low=0.0, high=0.1, initial=1e-3, step=3e-4),
}

Make = Callable[[], Method]
OUTER_LOOPS: dict[str, Make] = {
    "reverse_sharing": ReverseSharing,
    "reverse": Reverse,
    "truncated_reverse": lambda: TruncatedReverse(TruncatedReverse.Options(last=5)),
    "sliding_reverse": lambda: SlidingReverse(SlidingReverse.Options(steps=8)),
    "ladder": lambda: Ladder(Ladder.Options(inner_fractions=(1.0,), average=0)),
    "implicit": lambda: Implicit(Implicit.Options(terms=3)),
    "forward_gradient": lambda: ForwardGradient(ForwardGradient.Options(directions=2)),
}
GREEDY: dict[str, Make] = {
    "hd": HD,
    "hdm": HDM,
    "rtho": RTHO,
    "marthe": lambda: MARTHE(MARTHE.Options(discount=0.9)),
    "one_pass": lambda: OnePass(OnePass.Options(every=3, terms=2)),
}
METHODS = OUTER_LOOPS | GREEDY


@cache
def digits(decay_only: bool = False, horizon: int = HORIZON) -> Problem:
    space = DECAY_ONLY if decay_only else SPACE
    return load_problem(ProblemConfig(dataset="digits", horizon=horizon, batch_size=32, space=space))[0]


def problem_of(name: str) -> Problem:
    return digits(decay_only=name == "implicit")


@dataclass
class Ears:
    """A runner's side that remembers what it hears, and dies after some checkpoints if asked to."""

    clock: Clock
    dies_after: int | None = None
    reports: list[Report] = field(default_factory=list)
    checkpoints: list[tuple[bytes, Cost]] = field(default_factory=list)

    def report(self, report: Report) -> None:
        state = None if report.state is None else report.state.clone()
        self.reports.append(replace(report, state=state))

    def checkpoint(self, state: dict[str, Any]) -> None:
        stored = io.BytesIO()
        torch.save(state, stored)
        self.checkpoints.append((stored.getvalue(), replace(self.clock.cost)))
        if len(self.checkpoints) == self.dies_after:
            raise KeyboardInterrupt


def run(
    method: Method,
    problem: Problem,
    *,
    trainings: float = 4,
    dies_after: int | None = None,
    after: Ears | None = None,
) -> Ears:
    """Run a method for some trainings' worth of inner steps; with ``after``, on from its last checkpoint."""
    restored, cost = None, None
    if after is not None:
        stored, cost = after.checkpoints[-1]
        restored = torch.load(io.BytesIO(stored), weights_only=True)
    clock = Clock(cost=cost)
    trainer = Trainer(problem, 0, clock, Budget(clock, steps=round(trainings * problem.horizon)))
    ears = Ears(clock, dies_after)
    try:
        assert method.run(Task(trainer, ears, method_name=method.name, restored=restored)) == "budget"
    except KeyboardInterrupt:
        assert dies_after is not None
    return ears


@cache
def heard(name: str) -> Ears:
    return run(METHODS[name](), problem_of(name))


# ----------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", METHODS)
def test_every_training_is_reported_with_a_finite_loss_and_the_state_that_has_it(name: str) -> None:
    ears, problem = heard(name), problem_of(name)
    assert METHODS[name]().skip(problem) is None
    assert METHODS[name]().name == name
    assert METHODS[name]().family == "gradient"
    assert len(ears.reports) == len(ears.checkpoints) == 4
    assert ears.clock.cost.inner_steps == 4 * HORIZON  # replays are no new steps
    judge = Trainer(problem, 0, Clock())
    for trial, report in enumerate(ears.reports):
        assert np.isfinite(report.evaluation.loss)
        assert report.fidelity == 1.0
        assert report.state is not None
        assert (report.state.trial, report.state.step) == (trial, HORIZON)
        assert judge.evaluate(report.state) == report.evaluation
        if name in OUTER_LOOPS:
            assert report.hypergradient is not None
            assert len(report.hypergradient) == problem.space.size
            assert np.isfinite(report.hypergradient).all()


@pytest.mark.parametrize("name", METHODS)
def test_every_schedule_stays_in_bounds_and_moves(name: str) -> None:
    ears, space = heard(name), problem_of(name).space
    schedules = [report.schedule for report in ears.reports]
    assert all(space.contains(schedule) for schedule in schedules)
    assert len(set(schedules)) == 4


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(name: str) -> None:
    whole, problem = heard(name), problem_of(name)
    first = run(METHODS[name](), problem, dies_after=2)
    rest = run(METHODS[name](), problem, after=first)
    together = first.reports + rest.reports
    assert len(together) == len(whole.reports)
    for one, other in zip(together, whole.reports, strict=True):
        assert (one.schedule, one.evaluation) == (other.schedule, other.evaluation)
        assert (one.hypergradient, one.extra) == (other.hypergradient, other.extra)
        assert one.state is not None
        assert other.state is not None
        assert torch.equal(one.state.w, other.state.w)
    assert rest.checkpoints[-1] == whole.checkpoints[-1]


# ------------------------------------------------------------------------- a hypergradient for each training


@pytest.mark.parametrize("name", ["reverse_sharing", "reverse", "truncated_reverse"])
def test_the_loss_improves_from_one_training_to_the_next(name: str) -> None:
    """They start at no learning rate at all."""
    losses = [report.evaluation.loss for report in heard(name).reports]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("name", ["reverse_sharing", "reverse"])
def test_reverse_mode_with_sharing_goes_where_forward_mode_with_sharing_goes(name: str) -> None:
    reports, others = heard(name).reports, run(FDS(), digits()).reports
    assert len(reports) == len(others) == 4
    for one, other in zip(reports, others, strict=True):
        assert one.schedule == other.schedule
        assert one.evaluation == other.evaluation
        assert one.extra["step_sizes"] == other.extra["step_sizes"]
        np.testing.assert_allclose(one.hypergradient, other.hypergradient, rtol=1e-3, atol=1e-5)


def test_reverse_stores_every_step_and_with_sharing_a_segment_of_them() -> None:
    """States at the segments' beginnings beside it; a step's tape and gradient go with its state."""
    names, state = ("reverse", "reverse_sharing"), state_bytes(digits())
    every, few = (heard(name).reports[0].extra["hypergradient_bytes"] for name in names)
    length = segment_length(digits(), HORIZON)
    assert 1 < length < HORIZON
    beside = (HORIZON - 1) // length * state
    assert every - few == (HORIZON - length) * (state + kept_bytes(digits())) - beside


def test_a_memory_limit_is_passed_on() -> None:
    memory = 20 * digits().network.size * 4
    few = run(ReverseSharing(ReverseSharing.Options(memory=memory)), digits(), trainings=1)
    assert few.reports[0].extra["hypergradient_bytes"] == memory
    assert few.reports[0].hypergradient == heard("reverse_sharing").reports[0].hypergradient
    with pytest.raises(InputError, match="memory"):
        run(ReverseSharing(ReverseSharing.Options(memory=10)), digits())


def test_truncated_it_sees_the_last_steps_alone() -> None:
    report = heard("truncated_reverse").reports[1]
    assert report.hypergradient is not None
    assert report.hypergradient[:2] == [0.0, 0.0]  # windows of steps 0 to 19
    truth = ReverseMode(last=5)(Trainer(digits(), 0, Clock()), report.schedule, 1).gradient
    assert truth is not None
    assert report.hypergradient == truth.tolist()


def test_the_implicit_method_skips_what_it_cannot_differentiate() -> None:
    reason = Implicit().skip(digits())
    assert reason is not None
    assert "lr, momentum" in reason


@pytest.mark.parametrize("name", ["reverse", "rtho", "marthe", "one_pass"])
def test_methods_that_carry_tangents_skip_a_model_that_has_no_products(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = digits()
    monkeypatch.setattr(problem.network, "no_products", "a layer without a second derivative")
    assert "a layer without a second derivative" in (METHODS[name]().skip(problem) or "")
    assert METHODS["hd"]().skip(problem) is None


@pytest.mark.parametrize("name", [*OUTER_LOOPS, *GREEDY])
def test_a_budget_that_ends_inside_a_training_is_no_report(name: str) -> None:
    problem = digits(decay_only=name == "implicit", horizon=120)
    assert run(METHODS[name](), problem, trainings=0.5).reports == []


@pytest.mark.parametrize("name", ["reverse_sharing", "reverse"])
def test_over_long_horizons_the_training_that_ends_with_the_budget_is_reported(name: str) -> None:
    assert len(run(METHODS[name](), digits(horizon=120), trainings=2).reports) == 2


def test_every_outer_loop_here_is_one() -> None:
    for make in OUTER_LOOPS.values():
        assert isinstance(make(), OuterLoop)


# ----------------------------------------------------------------------------------------------- greedy ones


@pytest.mark.parametrize("name", GREEDY)
def test_values_move_during_a_training_from_the_initial_ones(name: str) -> None:
    for report in heard(name).reports:
        values = np.array(report.values)
        assert values.shape == (HORIZON, 3)  # learned hyperparameters, one value each
        assert values[0].tolist() == [0.0, 0.0, 0.0]
        assert len(np.unique(values[:, 0])) > 5
        lr = report.schedule["lr"]
        np.testing.assert_allclose(lr, [values[i : i + 10, 0].mean() for i in (0, 10, 20)], rtol=1e-12)


@pytest.mark.parametrize("name", GREEDY)
def test_a_learning_rate_found_on_the_way_beats_none(name: str) -> None:
    problem = digits()
    trainer = Trainer(problem, 0, Clock())
    for trial, report in enumerate(heard(name).reports):
        assert report.evaluation.loss < 0.9 * trainer.evaluate(trainer.start(trial)).loss


def test_the_discount_is_passed_on() -> None:
    """MARTHE's ends are HD and RTHO."""
    for discount, name in ((0.0, "hd"), (1.0, "rtho")):
        end = run(MARTHE(MARTHE.Options(discount=discount)), digits(), trainings=2).reports
        for report, other in zip(end, heard(name).reports[:2], strict=True):
            np.testing.assert_array_equal(report.values, other.values)
    marthe, rtho = (np.array(heard(name).reports[0].values) for name in ("marthe", "rtho"))
    assert not np.array_equal(marthe, rtho)


def test_one_pass_moves_every_so_many_steps_with_so_many_terms() -> None:
    ears = heard("one_pass")
    assert ears.clock.cost.products == 4 * (HORIZON // 3) * 2
    values = np.array(ears.reports[0].values)
    moved = np.flatnonzero((np.diff(values, axis=0) != 0).any(1)) + 1
    assert moved.tolist() == list(range(3, HORIZON, 3))


def test_greedy_methods_pass_on_how_often_they_move_and_on_how_many_examples() -> None:
    for method in (HD, RTHO, MARTHE):
        options = method.Options(every=10, validation_batch=7)
        ears = run(method(options), digits(), trainings=1)
        assert len(np.unique(np.array(ears.reports[0].values)[:, 0])) == 3
        validation = 3 * 7 / 32 + digits().validation_size / 32 / 3
        products = ears.clock.cost.products * digits().network.product_cost
        assert ears.clock.cost.gradient_equivalents == pytest.approx(HORIZON + validation + products)
