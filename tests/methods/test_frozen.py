"""Greedy methods held to the problem's initial schedule: what hypergradient they would have moved by."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hpobench_fds.methods.hd import HD
from hpobench_fds.methods.one_pass import OnePass
from hpobench_fds.methods.rtho import RTHO

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.online import one_value_space
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import Method, Report, Task
from hpobench_fds.method.registry import parse_options
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

HORIZON = 12
LR = tuple(np.linspace(0.3, 0.05, HORIZON).tolist())
EVERYTHING = 10**6  # validation examples for a move: all there are


def problem_of(lr: HyperparameterSpace, momentum: HyperparameterSpace) -> Problem:
    """The digits in float64."""
    config = ProblemConfig(
        dataset="digits",
        horizon=HORIZON,
        batch_size=32,
        dtype="float64",
        space={"lr": lr, "momentum": momentum},
    )
    return load_problem(config)[0]


TWO_MOMENTA = HyperparameterSpace(windows=2, initial=(0.5, 0.9), learn=False)


@cache
def problem() -> Problem:
    """A learning rate that falls from step to step, a momentum that is fixed in two pieces."""
    return problem_of(HyperparameterSpace(windows=HORIZON, initial=LR), TWO_MOMENTA)


class Ears:
    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.last = state


def run(method: Method, on: Problem, restored: dict[str, Any] | None = None) -> tuple[str, Ears, Trainer]:
    clock = Clock()
    trainer, ears = Trainer(on, 3, clock, Budget(clock, steps=10 * HORIZON)), Ears()
    return method.run(Task(trainer, ears, method_name=method.name, restored=restored)), ears, trainer


def frozen(kind: type[Method], **options: Any) -> Method:
    return kind(parse_options(kind, {"frozen": True, "validation_batch": EVERYTHING, **options}))


def test_the_schedule_is_the_problems_and_so_is_the_training() -> None:
    on = problem()
    stopped, ears, trainer = run(frozen(HD), on)
    assert stopped == "done"
    (report,) = ears.reports
    assert report.schedule == on.space.initial
    state = trainer.start(0)
    trainer.train(state, on.space.initial)
    assert report.state is not None
    np.testing.assert_allclose(report.state.w.numpy(), state.w.numpy(), rtol=1e-12, atol=1e-14)
    assert report.evaluation.loss == pytest.approx(trainer.evaluate(state).loss, rel=1e-12)
    np.testing.assert_allclose(np.ravel(np.array(report.values)), LR, rtol=1e-12)


def test_the_hypergradient_of_each_step_is_that_of_the_loss_right_after_it() -> None:
    """Reverse mode through the last of t + 1 steps, of the same schedule cut off there."""
    on = problem()
    _, ears, _ = run(frozen(HD), on)
    found = ears.reports[0].hypergradient
    assert found is not None
    for t in (0, 4, HORIZON - 1):
        short = ProblemConfig.model_validate(
            on.config.model_dump()
            | {
                "horizon": t + 1,
                "space": {
                    "lr": {"windows": t + 1, "initial": LR[: t + 1]},
                    "momentum": {
                        "windows": t + 1, "learn": False,
                        "initial": [0.5 if 2 * s < HORIZON else 0.9 for s in range(t + 1)],
                    },
                },
            }
        )  # fmt: skip
        cut = load_problem(short)[0]
        exact = ReverseMode(last=1)(Trainer(cut, 3, Clock()), cut.space.initial, 0).gradient
        assert exact is not None
        assert found[t] == pytest.approx(exact[t], rel=1e-8)


def test_a_window_has_the_sum_over_its_steps() -> None:
    values = np.array([0.3, 0.2, 0.1])
    coarse = problem_of(HyperparameterSpace(windows=3, initial=tuple(values)), TWO_MOMENTA)
    fine = problem_of(HyperparameterSpace(windows=HORIZON, initial=tuple(values.repeat(4))), TWO_MOMENTA)
    windows, steps = (run(frozen(HD), on)[1].reports[0].hypergradient for on in (coarse, fine))
    np.testing.assert_allclose(windows, np.reshape(steps, (3, 4)).sum(1), rtol=1e-9)


def test_with_full_discount_the_last_step_sees_all_of_the_training() -> None:
    """RTHO's hypergradient after the last step is forward mode's, shared over the horizon."""
    on = problem()
    _, ears, trainer = run(frozen(RTHO), on)
    found = ears.reports[0].hypergradient
    exact = ForwardMode()(trainer, on.space.initial, 0).gradient
    assert found is not None
    assert exact is not None
    assert found[-1] == pytest.approx(exact.sum(), rel=1e-8)


def test_a_diverged_training_has_no_hypergradient() -> None:
    wild = HyperparameterSpace(windows=2, low=0.0, high=1e200, initial=(1e100, 1e200))
    stopped, ears, _ = run(frozen(HD), problem_of(wild, TWO_MOMENTA))
    assert stopped == "done"
    assert ears.reports[0].hypergradient is None
    assert "diverged_at" in ears.reports[0].extra


def test_it_is_not_run_twice_when_it_is_gone_on_with() -> None:
    assert run(frozen(HD), problem(), restored={"trial": 1})[0] == "done"
    assert not run(frozen(HD), problem(), restored={"trial": 1})[1].reports


def test_moving_methods_report_no_hypergradient_and_start_from_the_first_window() -> None:
    on = problem()
    _, ears, _ = run(HD(), on)
    assert len(ears.reports) > 1
    for report in ears.reports:
        assert report.hypergradient is None
        assert np.array(report.values)[0].tolist() == [LR[0]]


def test_moving_methods_stop_after_the_trainings_they_are_given() -> None:
    method = HD(parse_options(HD, {"trainings": 2}))
    stopped, ears, _ = run(method, problem())
    assert (stopped, len(ears.reports)) == ("done", 2)
    stopped, ears, _ = run(method, problem(), restored={"trial": 1})
    assert (stopped, len(ears.reports)) == ("done", 1)


@pytest.mark.parametrize(("kind", "every"), [(HD, 2), (OnePass, 10)])
def test_every_step_is_needed(kind: type[Method], every: int) -> None:
    with pytest.raises(InputError, match=f"frozen needs every = 1.*not {every}"):
        parse_options(kind, {"frozen": True, "every": every})


def test_one_value_space_begins_where_the_schedule_does_and_leaves_the_rest_alone() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=2, initial=(0.3, 0.1)),
            "momentum": HyperparameterSpace(windows=2, initial=(0.5, 0.9), learn=False),
        }
    )
    assert one_value_space(space).initial == Schedule.of({"lr": 0.3, "momentum": [0.5, 0.9]})
