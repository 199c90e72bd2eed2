"""Ladder: its rungs, what it does not follow, how it retreats, and its means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hpobench_fds.methods.ladder import Ladder
from test_gradient_methods import digits, run

from hpobench_fds.hypergradient.conditioning import Conditioning
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import Report, Task
from hpobench_fds.method.contract import Deaf
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.trainer import Trainer

T = 60


def hypergradients(reports: list[Report]) -> list[Report]:
    return [report for report in reports if report.hypergradient is not None]


def short(**options: Any) -> Ladder:
    """One whose rungs may be of a few steps."""
    return Ladder(Ladder.Options(shortest=1, **options))


def test_most_outer_steps_are_on_short_stretched_horizons() -> None:
    reports = run(short(), digits(horizon=T), trainings=5).reports
    assert [report.fidelity for report in hypergradients(reports)] == [0.1] * 6 + [0.3] * 3 + [1.0] * 3


@pytest.mark.parametrize(
    ("whole", "rungs"),
    [
        (1000, [100] * 6 + [300] * 3 + [1000]),
        (200, [50] * 3 + [60] * 3 + [200]),  # six of 20 steps are as many as three of 50, less a part of one
        (100, [50] * 2 + [50] * 2 + [100]),
        (50, [50, 50, 50]),
        (10, [10, 10, 10]),
    ],
)
def test_a_rung_of_very_few_steps_is_longer_and_has_fewer_outer_steps(whole: int, rungs: list[int]) -> None:
    assert Ladder().horizons(whole) == rungs


def test_a_short_training_s_hypergradient_is_that_of_the_whole_schedule_stretched() -> None:
    reports = run(short(), digits(horizon=T), trainings=2).reports
    trainer = Trainer(digits(horizon=T), 0, Clock())
    for trial, report in enumerate(reports):
        horizon = round(report.fidelity * T)
        truth = ReverseMode()(trainer, report.schedule, trial, horizon).gradient
        assert truth is not None
        assert report.hypergradient == truth.tolist()


def judged(
    ladder: Ladder, loss: float, horizon: int = T, *, gradient: bool = True, growth: float | None = None
) -> bool:
    """Whether it follows a hypergradient with that validation loss and growth."""
    problem = digits(horizon=T)
    trainer = Trainer(problem, 0, Clock())
    state = trainer.start(0)
    found = ReverseMode()(trainer, problem.space.initial, 0, 2)
    evaluation = type(found.evaluation)(loss, 0.5)
    slope = np.ones(problem.space.size) if gradient else None
    worth = Conditioning(growth=growth)
    result = Hypergradient("ok", slope, loss, evaluation, state, None, 0, 0, worth)
    task = Task(trainer, Deaf(), method_name="ladder")
    return ladder.followed(task, problem.space.to_vector(problem.space.initial), result, horizon) is not None


GUESSING = math.log(10)


@pytest.mark.parametrize(
    ("best", "most"),
    [
        (0.6, 0.9),  # by half of it
        (0.01, 0.01 + 0.1 * GUESSING),  # small losses vary by more: by a tenth of what guessing costs
        (1.7, (1.7 + GUESSING) / 2),  # large ones by less: by half of what was learnt
        (2.3, 2.3 + 0.1 * GUESSING),
    ],
)
def test_a_loss_far_above_the_best_so_far_is_not_followed(best: float, most: float) -> None:
    for loss, followed in ((most - 0.01, True), (most + 0.01, False)):
        ladder = Ladder()
        assert judged(ladder, best)  # the first is all that there is
        assert judged(ladder, loss) == followed


def test_an_overflow_is_not_followed() -> None:
    assert not judged(Ladder(), 0.1, gradient=False)


def test_a_hypergradient_whose_adjoint_has_grown_too_much_is_not_followed_however_good_the_loss() -> None:
    ladder = Ladder()
    assert judged(ladder, 1.0, growth=99.0)
    assert [judged(ladder, 0.5, growth=300.0) for _ in range(3)] == [False, False, True]  # 100, 200, 400
    assert not judged(ladder, 0.5, growth=101.0)


def test_a_longer_training_is_held_against_shorter_ones_and_not_the_other_way_round() -> None:
    ladder = Ladder()
    assert judged(ladder, 0.6, 6)
    assert not judged(ladder, 1.0, T)
    other = Ladder()
    assert judged(other, 0.6, T)
    assert judged(other, 1.0, 6)


def test_after_retreats_in_a_row_it_is_content_with_more() -> None:
    """Validation losses of longer horizons may be worse for good, as where a network learns by heart."""
    ladder = Ladder()
    assert judged(ladder, 0.4)
    assert [judged(ladder, 1.3) for _ in range(3)] == [False, False, True]  # 0.4 x 1.5^3
    assert not judged(ladder, 1.3)  # and strict again


def test_every_second_vector_over_the_whole_horizon_makes_a_mean_of_the_last_ones() -> None:
    method = Ladder(Ladder.Options(inner_fractions=(1.0,), average=2))
    space, reports = digits().space, run(method, digits(), trainings=8).reports
    means = [i for i, report in enumerate(reports) if report.hypergradient is None]
    assert means == [2, 5, 8]
    for i in means:
        last = [space.to_coordinates(space.to_vector(r.schedule)) for r in reports[i - 2 : i]]
        mean = space.to_coordinates(space.to_vector(reports[i].schedule))
        assert mean == pytest.approx(np.mean(last, axis=0), rel=1e-12, abs=1e-15)
        assert reports[i].extra["mean_of"] == 2
        assert reports[i].fidelity == 1.0


@pytest.mark.parametrize("dies_after", [2, 3, 5])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(dies_after: int) -> None:
    def made() -> Ladder:
        return short(inner_fractions=(0.2, 0.2, 1.0), average=2)

    whole = run(made(), digits(), trainings=8)
    first = run(made(), digits(), trainings=8, dies_after=dies_after)
    rest = run(made(), digits(), trainings=8, after=first)
    together = first.reports + rest.reports
    told = [(report.schedule, report.evaluation, report.extra) for report in together]
    assert told == [(report.schedule, report.evaluation, report.extra) for report in whole.reports]
    assert rest.checkpoints[-1] == whole.checkpoints[-1]


def test_it_learns_from_nothing_in_the_time_of_one_training_of_the_whole_horizon() -> None:
    """A tenth of the horizon six times: FDS would have made one outer step over the whole."""
    problem = digits(horizon=300)
    reports = run(short(), problem, trainings=0.6).reports
    trainer = Trainer(problem, 0, Clock())
    losses = []
    for schedule in (problem.space.initial, reports[-1].schedule):
        state = trainer.start(99)
        trainer.train(state, schedule)
        losses.append(trainer.evaluate(state).loss)
    assert losses[1] < 0.1 * losses[0]


def test_however_often_it_retreats_in_a_row_it_goes_on() -> None:
    ladder = Ladder()
    assert judged(ladder, 0.4)
    assert not any(judged(ladder, math.inf) for _ in range(1100))
