"""Controls that isolate the gradient: the prior and step sizes of FDS, without its hypergradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from closed_form import SPACE, bowl, gone_on, run, vectors
from hpobench_fds.methods.es import ES
from hpobench_fds.methods.random_signs import RandomSigns
from hpobench_fds.methods.spsa import SPSA

from hpobench_fds.method import Method
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace, Vector

CONTROLS: dict[str, Callable[[], Method]] = {"es": ES, "random_signs": RandomSigns, "spsa": SPSA}
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
    assert len(task.trained) == 20


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
