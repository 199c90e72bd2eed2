"""Optuna's CMA-ES proposes what optuna itself would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from closed_form import SPACE, gone_on, initial, run, study_of, vectors
from hpobench_fds.methods import cmaes
from hpobench_fds.methods.cmaes import CMAES
from optuna.samplers import CmaEsSampler

from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace


def problem(space: ScheduleSpace) -> Any:
    return SimpleNamespace(space=space)


def test_it_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ScheduleSpace({"lr": HyperparameterSpace(low=0, high=1, initial=0)})
    monkeypatch.setattr(cmaes, "find_spec", lambda name: object())
    assert CMAES().skip(problem(SPACE)) is None
    assert "two hyperparameters" in str(CMAES().skip(problem(line)))
    monkeypatch.setattr(cmaes, "find_spec", lambda name: None)
    assert "pip install cmaes" in str(CMAES().skip(problem(SPACE)))


def test_it_proposes_what_a_plain_study_does() -> None:
    pytest.importorskip("cmaes")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ours = run(CMAES(CMAES.Options(start_from_initial=False)), 40)
    assert vectors(ours) == study_of(CmaEsSampler(seed=ours.seed % 2**32), 40)
    ours = run(CMAES(CMAES.Options(popsize=5)), 20)
    assert vectors(ours) == study_of(CmaEsSampler(seed=ours.seed % 2**32, popsize=5), 20, first=initial())


def test_an_interrupted_run_goes_on() -> None:
    pytest.importorskip("cmaes")
    gone_on(lambda: CMAES(CMAES.Options(popsize=4)), 16, 11)  # in the third generation


def test_it_closes_in_on_the_bottom_of_a_bowl() -> None:
    pytest.importorskip("cmaes")
    task = run(CMAES(CMAES.Options(start_from_initial=False)), 120)
    losses = [trained.loss for trained in task.trained]
    assert max(losses[-10:]) < 0.4 < max(losses[:20])
