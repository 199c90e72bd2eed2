"""Controls that isolate the gradient: the prior and step sizes of FDS, without its hypergradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from closed_form import SPACE, bowl, gone_on, run, vectors
from hpobench_fds.methods.es import ES
from hpobench_fds.methods.fds import FDS
from hpobench_fds.methods.finite_differences import FiniteDifferences
from hpobench_fds.methods.random_signs import RandomSigns
from hpobench_fds.methods.spsa import SPSA

from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.method import Method, Report, Task
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace, Vector
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

CONTROLS: dict[str, Callable[[], Method]] = {
    "es": ES,
    "random_signs": RandomSigns,
    "spsa": SPSA,
    "finite_differences": FiniteDifferences,
}
UNIT, START = SPACE.steps, SPACE.to_coordinates(SPACE.to_vector(SPACE.initial))


def tries(method: Method, count: int, **keywords: object) -> list[Vector]:
    """Coordinates of what was trained."""
    task = run(method, count, **keywords)
    return [SPACE.to_coordinates(np.array(vector)) for vector in vectors(task)]


@pytest.mark.parametrize("name", CONTROLS)
def test_the_initial_schedule_comes_first(name: str) -> None:
    assert tries(CONTROLS[name](), 3)[0] == pytest.approx(START)


@pytest.mark.parametrize("name", CONTROLS)
def test_it_finds_the_bottom_of_a_bowl(name: str) -> None:
    """0.3 at lr = 0.1, where it starts, and momentum 0.5, more than three first steps away."""
    losses = [trained.loss for trained in run(CONTROLS[name](), 150).trained]
    assert losses[0] == pytest.approx(0.375)
    assert min(losses) < 0.31


@pytest.mark.parametrize("name", CONTROLS)
def test_an_interrupted_run_goes_on(name: str) -> None:
    gone_on(CONTROLS[name], 12, 7)


@pytest.mark.parametrize("name", CONTROLS)
def test_it_stays_in_the_box_and_survives_that_all_diverges(name: str) -> None:
    task = run(CONTROLS[name](), 20, loss=lambda v, step: math.inf)
    assert len(task.trained) == (
        6 if name == "finite_differences" else 20
    )  # its steps have shrunk to nothing


def test_an_es_child_is_a_normal_about_its_parent_in_units_of_first_steps() -> None:
    """As long as none succeeds, every child is one of the initial schedule; sigma shrinks by the rule."""
    loss = lambda v, step: 0.1 if np.allclose(v, SPACE.to_vector(SPACE.initial)) else 1.0  # noqa: E731
    task = run(ES(), 30, loss=loss)
    sigmas = np.array([report.extra["sigma"] for report in task.ears.reports[1:]])
    assert sigmas[0] == 1.0
    assert sigmas[1:] / sigmas[:-1] == pytest.approx(math.exp(-0.25 / math.sqrt(5)))
    away = np.array([SPACE.to_coordinates(np.array(v)) - START for v in vectors(task)[1:13]])
    scaled = away / (UNIT * sigmas[:12, None])
    assert 0.6 < scaled.std() < 1.4  # 48 normal numbers


def test_an_es_grows_its_step_with_a_success_and_moves_there() -> None:
    falling = iter(np.linspace(1, 0.5, 100))
    task = run(ES(), 30, loss=lambda v, step: float(next(falling)))
    sigmas = np.array([report.extra["sigma"] for report in task.ears.reports[1:]])
    assert sigmas[1:] / sigmas[:-1] == pytest.approx(math.exp(1 / math.sqrt(5)))


def test_an_es_is_the_rule_of_one_in_five_written_out() -> None:
    """Rechenberg's loop on the bowl, with factors a of a success and a^(-1/4) of a failure, a^(5/4) apart."""
    task = run(ES(ES.Options(sigma=0.7)), 60)
    rng, a = np.random.default_rng(task.seed), math.exp(1 / math.sqrt(SPACE.size + 1))
    low, high = SPACE.to_coordinates(SPACE.low), SPACE.to_coordinates(SPACE.high)
    parent, size, best = START, 0.7, bowl(SPACE.to_vector(SPACE.initial), 81)
    for trained in task.trained[1:]:
        child = np.clip(parent + size * UNIT * rng.standard_normal(4), low, high)
        assert SPACE.to_coordinates(np.array(trained.vector)) == pytest.approx(child)
        if trained.loss <= best:
            parent, best, size = child, trained.loss, size * a
        else:
            size *= a**-0.25


def test_an_es_comes_to_succeed_once_in_five() -> None:
    """On a round bowl, of which the steps stay a share of the way to the bottom."""
    wide = ScheduleSpace({"lr": HyperparameterSpace(windows=5, low=-1e6, high=1e6, initial=3, step=1.0)})
    task = run(ES(), 600, space=wide, loss=lambda v, step: 3.0 + 0.01 * math.log(float(v @ v)))
    losses = np.array([trained.loss for trained in task.trained])
    success = losses[1:] <= np.minimum.accumulate(losses)[:-1]
    assert 0.12 < success[100:].mean() < 0.28


def test_random_signs_move_every_hyperparameter_by_its_step_and_go_back_where_it_is_worse() -> None:
    task = run(RandomSigns(), 40, loss=bowl)
    here, best = START, task.trained[0].loss
    for trained, report in zip(task.trained[1:], task.ears.reports[1:], strict=True):
        at = SPACE.to_coordinates(np.array(trained.vector))
        moved, steps = np.abs(at - here), np.array(report.extra["step_sizes"])
        inside = (trained.vector > SPACE.low) & (trained.vector < SPACE.high)
        assert moved[inside] == pytest.approx(steps[inside])
        if trained.loss <= best:
            here, best = at, trained.loss


def test_spsa_tries_both_sides_and_steps_against_the_slope() -> None:
    found = tries(SPSA(), 13)
    here = START
    for plus, minus in zip(found[1::2], found[2::2], strict=True):
        assert (plus + minus) / 2 == pytest.approx(here)
        assert np.abs(plus - minus) == pytest.approx(UNIT)  # half a first step to each side
        sign = np.sign(plus - minus)
        ups = [bowl(SPACE.from_coordinates(at), 0) for at in (plus, minus)]
        if here is START:
            here = here - UNIT * np.sign((ups[0] - ups[1]) * sign)
        else:
            break


def test_spsa_s_slope_is_the_derivative_where_the_loss_is_linear() -> None:
    """One hyperparameter: no other's change is mixed in."""

    space = ScheduleSpace({"lr": HyperparameterSpace(low=-1, high=1, step=0.1)})
    options = SPSA.Options.model_validate({"outer": {"kind": "plain", "step": {"lr": 0.2}}})
    task = run(SPSA(options), 9, space=space, loss=lambda v, step: 1.0 + 0.5 * float(v[0]))
    pairs = zip(vectors(task)[1::2], vectors(task)[2::2], strict=True)
    centres = [(plus[0] + minus[0]) / 2 for plus, minus in pairs]
    assert np.diff(centres) == pytest.approx(-0.2 * 0.5)


# ------------------------------------------------------------------------------------- finite differences


def smooth(vector: Vector, step: int) -> float:
    """A loss with a known gradient, by the logarithm of lr and by the momentum."""
    return 1.0 + 0.1 * float((np.log(vector[:3]) + 3) @ np.arange(1, 4)) + 0.2 * float(vector[3] - 0.5) ** 2


def slopes(vector: Vector) -> Vector:
    return np.append(0.1 * np.arange(1, 4) / vector[:3], 0.4 * (vector[3] - 0.5))


def middles(task: object) -> list[Vector]:
    """What was trained unmoved, one an outer step."""
    pairs = zip(task.trained, task.ears.reports, strict=True)  # type: ignore[attr-defined]
    return [np.array(trained.vector) for trained, report in pairs if "moved" not in report.extra]


@pytest.mark.parametrize("kind", ["sign", "adam", "plain"])
def test_finite_differences_step_where_the_derivative_would(kind: str) -> None:
    options = FiniteDifferences.Options.model_validate({"outer": {"kind": kind, "step": {"lr": 0.1}}})
    found = middles(run(FiniteDifferences(options), 8 * 9, loss=smooth))
    outer = build_outer(OuterOptions(kind=kind, step={"lr": 0.1}), SPACE)  # type: ignore[arg-type]
    at = SPACE.to_vector(SPACE.initial)
    for vector in found[:8]:
        assert vector == pytest.approx(at, rel=1e-9)
        at = outer.step(at, slopes(at))


@pytest.mark.parametrize(("sides", "each"), [("both", 9), ("one", 5)])
def test_a_step_costs_one_training_and_each_coordinate_s_sides_all_of_one_draw(sides: str, each: int) -> None:
    method = FiniteDifferences(FiniteDifferences.Options.model_validate({"sides": sides}))
    task = run(method, 4 * each, loss=smooth)
    assert [t.draw for t in task.trained] == [draw for draw in range(4) for _ in range(each)]
    step = task.trained[:each]
    away = [SPACE.to_coordinates(np.array(t.vector)) - START for t in step[1:]]
    assert [np.count_nonzero(np.abs(a) > 1e-12) for a in away] == [1] * (each - 1)
    assert np.abs(away).max(axis=0) == pytest.approx(UNIT / 2)


def test_where_the_range_ends_the_difference_is_of_one_side() -> None:
    space = ScheduleSpace({"lr": HyperparameterSpace(low=0, high=1, initial=0.0, step=0.1)})
    options = FiniteDifferences.Options.model_validate({"outer": {"kind": "plain"}})
    task = run(FiniteDifferences(options), 5, space=space, loss=lambda v, step: 2.0 - float(v[0]))
    assert np.ravel(vectors(task)) == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.05])


def test_finite_differences_back_off_as_fds_does() -> None:
    loss = lambda v, step: math.inf if v[3] > 0.05 else 1.0 - 0.5 * float(v[3])  # noqa: E731
    found = middles(run(FiniteDifferences(), 30, loss=loss))
    assert found[1][3] == pytest.approx(-0.15)  # diverged to one side: away from it
    options = FiniteDifferences.Options(width=1e-3)
    found = middles(run(FiniteDifferences(options), 30, loss=loss))
    assert found[1][3] == pytest.approx(0.15)
    assert found[2][3] == pytest.approx(0.075)  # half way back


class Kept:
    """Keeps reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def checkpoint(self, state: object) -> None:
        pass


def schedules(problem: Problem, method: Method, trainings: int) -> list[Vector]:
    clock, kept = Clock(), Kept()
    trainer = Trainer(problem, 0, clock, Budget(clock, steps=trainings * problem.horizon))
    clock.start()
    method.run(Task(trainer, kept, method_name=method.name))
    clean = [report for report in kept.reports if "moved" not in report.extra]
    return [problem.space.to_vector(report.schedule) for report in clean]


def test_with_small_widths_the_schedules_are_those_of_fds() -> None:
    """Real trainings, in double precision: differences of 1e-4 of a step come to FDS's hypergradients."""
    config = {
        "dataset": "digits", "train_limit": 120, "test_limit": 50, "batch_size": 16, "horizon": 12,
        "dtype": "float64",
        "space": {
            "lr": {"windows": 2, "low": 1e-3, "high": 0.3, "initial": 0.03, "scale": "log"},
            "momentum": {"low": 0.0, "high": 0.9, "initial": 0.5, "step": 0.05},
        },
    }  # fmt: skip
    problem = load_problem(ProblemConfig.model_validate(config))[0]
    outer = OuterOptions(kind="adam")
    fds = schedules(problem, FDS(FDS.Options(outer=outer)), 6)
    found = schedules(problem, FiniteDifferences(FiniteDifferences.Options(outer=outer, width=1e-4)), 22)
    assert len(found) == 4
    np.testing.assert_allclose(found, fds[:4], rtol=1e-5)
