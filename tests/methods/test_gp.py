"""Optuna's Gaussian process proposes what optuna itself would."""

from __future__ import annotations

import optuna
from closed_form import gone_on, initial, run, study_of, vectors
from hpobench_fds.methods.gp import GP
from optuna.samplers import GPSampler


def test_it_proposes_what_a_plain_study_does() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ours = run(GP(GP.Options(start_from_initial=False, n_startup_trials=5)), 9)
    assert vectors(ours) == study_of(GPSampler(seed=ours.seed % 2**32, n_startup_trials=5), 9)
    ours = run(GP(GP.Options(n_startup_trials=3)), 6)
    assert vectors(ours) == study_of(
        GPSampler(seed=ours.seed % 2**32, n_startup_trials=3), 6, first=initial()
    )


def test_an_interrupted_run_goes_on() -> None:
    gone_on(lambda: GP(GP.Options(n_startup_trials=3)), 8, 5)


def test_it_finds_the_bottom_of_a_bowl() -> None:
    task = run(GP(GP.Options(n_startup_trials=5)), 20)
    best = min(trained.loss for trained in task.trained)
    assert best < 0.32  # 0.3 is the least; the best of 20 random points has 0.37 in the median


def test_it_makes_its_way_around_divergence() -> None:
    task = run(
        GP(GP.Options(n_startup_trials=5)), 15, loss=lambda v, step: 0.5 if v[0] < 0.1 else float("inf")
    )
    assert sum(v[0] < 0.1 for v in vectors(task)[6:]) >= 7
