"""Hyperopt's TPE, asked and told, proposes what hyperopt's fmin would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closed_form import SPACE, bowl, gone_on, initial, run, vectors
from hpobench_fds.methods.tpe import TPE, search_space
from hyperopt import Trials, fmin, tpe


def fmin_points(
    seed: int, count: int, points: list[dict[str, float]] | None = None
) -> list[tuple[float, ...]]:
    """The points of hyperopt's own loop on the bowl."""
    seen: list[tuple[float, ...]] = []

    def objective(point: dict[str, float]) -> float:
        vector = [float(point[name]) for name in SPACE.names]
        seen.append(tuple(SPACE.clip(np.array(vector)).tolist()))
        return bowl(np.array(vector), 0)

    given: dict[str, Any] = {"points_to_evaluate": points} if points else {"trials": Trials()}
    fmin(
        objective,
        search_space(SPACE),
        algo=tpe.suggest,
        max_evals=count,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
        verbose=False,
        **given,
    )
    return seen


def test_it_proposes_what_fmin_does() -> None:
    ours = run(TPE(TPE.Options(start_from_initial=False)), 35)  # 20 of them at random
    assert vectors(ours) == fmin_points(ours.seed, 35)


def test_the_initial_schedule_comes_first_and_is_learned_from() -> None:
    ours = run(TPE(), 30)
    assert vectors(ours)[0] == tuple(initial().values())
    assert vectors(ours) == fmin_points(ours.seed, 29, [initial()])  # which it counts apart


def test_an_interrupted_run_goes_on() -> None:
    gone_on(lambda: TPE(TPE.Options(n_startup_jobs=4)), 12, 8)


def test_diverged_trainings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    loss = lambda v, step: 0.5 if v[0] < 0.1 else float("inf")  # noqa: E731
    late = vectors(run(TPE(), 60, loss=loss))[30:]
    assert sum(v[0] < 0.1 for v in late) > 0.8 * len(late)  # random search: two thirds
    assert capsys.readouterr() == ("", "")
