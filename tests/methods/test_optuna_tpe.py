"""Optuna's TPE proposes what optuna itself would."""

from __future__ import annotations

import logging
from typing import Any

import optuna
import pytest
from closed_form import ClosedForm, gone_on, initial, run, study_of, vectors
from hpobench_fds.methods.optuna_tpe import OptunaTPE
from optuna.samplers import TPESampler


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("multivariate", [None, True])
def test_it_proposes_what_a_plain_study_does(multivariate: bool | None) -> None:
    options = OptunaTPE.Options(start_from_initial=False, multivariate=multivariate)
    ours = run(OptunaTPE(options), 25)
    given: dict[str, Any] = {} if multivariate is None else {"multivariate": multivariate}
    assert vectors(ours) == study_of(TPESampler(seed=ours.seed % 2**32, **given), 25)


def test_the_initial_schedule_comes_first_and_is_learned_from() -> None:
    ours = run(OptunaTPE(), 20)
    assert vectors(ours)[0] == tuple(initial().values())
    assert vectors(ours) == study_of(TPESampler(seed=ours.seed % 2**32), 20, first=initial())


def test_an_interrupted_run_goes_on() -> None:
    gone_on(OptunaTPE, 18, 13)


def test_diverged_trainings_are_told() -> None:
    ours = run(OptunaTPE(), 30, loss=lambda v, step: 0.5 if v[0] < 0.1 else float("inf"))
    late = vectors(ours)[15:]
    assert sum(v[0] < 0.1 for v in late) > 0.8 * len(late)  # random search: two thirds


def test_optunas_own_verbosity_is_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.INFO):
            method = OptunaTPE()
            method.setup(ClosedForm(method))
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
        assert not caplog.records
    finally:
        optuna.logging.disable_propagation()
