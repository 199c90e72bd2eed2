"""With ``prior`` a share of random draws comes from the space's prior, the others from all of the box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from closed_form import SPACE, gone_on, run, vectors
from hpobench_fds.methods.asha import ASHA
from hpobench_fds.methods.bohb import BOHB
from hpobench_fds.methods.gp import GP
from hpobench_fds.methods.hyperband import Hyperband
from hpobench_fds.methods.optuna import Optuna
from hpobench_fds.methods.optuna_tpe import OptunaTPE
from hpobench_fds.methods.random_search import RandomSearch
from hpobench_fds.methods.tpe import TPE

from hpobench_fds.method import Method
from hpobench_fds.schedule import PRIOR_WIDTH, Vector

Make = Callable[..., Method]
METHODS: dict[str, Make] = {
    "random_search": lambda **o: RandomSearch(RandomSearch.Options(**o)),
    "tpe": lambda **o: TPE(TPE.Options(n_startup_jobs=60, **o)),
    "optuna_tpe": lambda **o: OptunaTPE(OptunaTPE.Options(n_startup_trials=60, **o)),
    "optuna": lambda **o: Optuna(Optuna.Options(arguments={"n_startup_trials": 60}, **o)),
    "gp": lambda **o: GP(GP.Options(n_startup_trials=60, **o)),
    "asha": lambda **o: ASHA(ASHA.Options(units=1, **o)),
    "hyperband": lambda **o: Hyperband(Hyperband.Options(units=1, **o)),
    "bohb": lambda **o: BOHB(BOHB.Options(units=1, random_fraction=1.0, **o)),
}


def is_near(vector: Vector) -> bool:
    """Within three standard deviations of the prior in every hyperparameter: 1 of 60 uniform draws is."""
    centre = SPACE.to_coordinates(SPACE.to_vector(SPACE.initial))
    away = np.abs(SPACE.to_coordinates(vector) - centre) / (PRIOR_WIDTH * SPACE.steps)
    return bool((away < 3).all())


def near(method: Method, count: int = 60) -> float:
    drawn = vectors(run(method, count))[1:]  # the first may be the initial schedule
    return float(np.mean([is_near(np.array(vector)) for vector in drawn]))


@pytest.mark.parametrize("name", METHODS)
def test_about_half_of_the_draws_are_near_the_initial_schedule(name: str) -> None:
    share = near(METHODS[name](prior=True))
    assert 0.25 < share < 0.85  # four standard errors about 0.5, and the uniform draws that are near


@pytest.mark.parametrize("name", METHODS)
def test_without_it_few_are(name: str) -> None:
    assert near(METHODS[name]()) < 0.25


def test_hyperband_trusts_it_the_more_the_dearer_a_first_training_is() -> None:
    task = run(Hyperband(Hyperband.Options(prior=True, units=27, eta=3)), 400, horizon=27)
    shares = {}
    for bracket in (3, 0):
        first = [
            is_near(np.array(t.vector))
            for t, report in zip(task.trained, task.ears.reports, strict=False)
            if (report.extra["bracket"], report.extra["rung"]) == (bracket, 0)
        ]
        shares[bracket] = np.mean(first)
    assert shares[3] < 0.75  # one half
    assert shares[0] > 0.9  # 27 in 28


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_run_goes_on(name: str) -> None:
    gone_on(lambda: METHODS[name](prior=True), 12, 7)
