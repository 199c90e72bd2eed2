"""CMA-ES is that of the package cmaes, in units of the space's first steps about the initial schedule."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_form import SPACE, ClosedForm, bowl, gone_on, run, vectors
from cmaes import CMA
from hpobench_fds.methods.cmaes import CMAES

from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace, Vector


def problem(space: ScheduleSpace) -> Any:
    return SimpleNamespace(space=space)


UNIT = np.array([0.05 * np.log(1e3)] * 3 + [0.15])  # lr in logarithms
CENTRE = np.array([np.log(0.1)] * 3 + [0.0])


def flat(vector: Vector, step: int) -> float:
    return 1.0


def plain_search(seed: int, popsize: int | None) -> CMA:
    low, high = np.array([np.log(1e-3)] * 3 + [-1.5]), np.array([0.0] * 3 + [1.5])
    bounds = np.stack([(low - CENTRE) / UNIT, (high - CENTRE) / UNIT], 1)
    return CMA(mean=np.zeros(4), sigma=1.0, bounds=bounds, seed=seed, population_size=popsize)


def in_space(x: Vector) -> tuple[float, ...]:
    at = CENTRE + UNIT * x
    return tuple(np.clip(np.append(np.exp(at[:3]), at[3]), SPACE.low, SPACE.high).tolist())


def plain(seed: int, count: int, popsize: int | None = None) -> list[tuple[float, ...]]:
    """The package's own loop on the bowl."""
    search = plain_search(seed % 2**32, popsize)
    points: list[tuple[float, ...]] = []
    while len(points) < count:
        asked = [search.ask() for _ in range(search.population_size)]
        told = []
        for x in asked:
            points.append(in_space(x))
            told.append((x, bowl(np.array(points[-1]), 0)))
        search.tell(told)
    return points[:count]


def test_it_says_what_it_lacks() -> None:
    line = ScheduleSpace({"lr": HyperparameterSpace(low=0, high=1, initial=0)})
    assert CMAES().skip(problem(SPACE)) is None
    assert "two hyperparameters" in str(CMAES().skip(problem(line)))


@pytest.mark.parametrize("popsize", [None, 5])
def test_it_proposes_what_the_package_does(popsize: int | None) -> None:
    ours = run(CMAES(CMAES.Options(start_from_initial=False, popsize=popsize)), 40)
    np.testing.assert_allclose(vectors(ours), plain(ours.seed, 40, popsize), rtol=1e-12)


def test_the_initial_schedule_comes_first_and_is_no_draw_of_its_own() -> None:
    ours = vectors(run(CMAES(CMAES.Options(popsize=5)), 21))
    assert ours[0] == tuple(SPACE.to_vector(SPACE.initial))
    assert ours[1:] == vectors(run(CMAES(CMAES.Options(popsize=5, start_from_initial=False)), 20))


def test_its_first_draws_are_a_first_step_away_in_each_hyperparameter() -> None:
    drawn = np.array(vectors(run(CMAES(CMAES.Options(popsize=400, start_from_initial=False)), 400)))
    spread = np.std([SPACE.to_coordinates(v) for v in drawn], axis=0) / SPACE.steps
    assert spread == pytest.approx([1.0] * 4, abs=0.15)  # four standard errors of 400 draws


def test_an_interrupted_run_goes_on() -> None:
    gone_on(lambda: CMAES(CMAES.Options(popsize=4)), 16, 11)  # in the third generation


def test_it_closes_in_on_the_bottom_of_a_bowl() -> None:
    task = run(CMAES(CMAES.Options(start_from_initial=False)), 160)
    losses = [trained.loss for trained in task.trained]
    assert max(losses[-10:]) < 0.31 < max(losses[:20])


@pytest.mark.parametrize("ipop", [True, False])
def test_a_stalled_search_begins_again_with_twice_the_population(ipop: bool) -> None:
    """On a plateau the package stops for want of differences after some generations."""
    ours = vectors(run(CMAES(CMAES.Options(popsize=4, ipop=ipop, start_from_initial=False)), 400, loss=flat))
    task = ClosedForm(CMAES())
    searches = [plain_search(task.seed % 2**32, 4)]
    points: list[tuple[float, ...]] = []
    while len(points) < 400:
        asked = [searches[-1].ask() for _ in range(searches[-1].population_size)]
        points += [in_space(x) for x in asked]
        searches[-1].tell([(x, 1.0) for x in asked])
        if ipop and searches[-1].should_stop():
            twice = 2 * searches[-1].population_size
            searches.append(plain_search(int(task.rng.integers(2**32)), twice))
    np.testing.assert_allclose(ours, points[:400], rtol=1e-12)
    assert [s.population_size for s in searches][:2] == ([4, 8] if ipop else [4])


def test_a_restarted_search_goes_on_where_it_was_interrupted() -> None:
    gone_on(lambda: CMAES(CMAES.Options(popsize=4)), 300, 280, loss=flat)
