"""Derivatives along directions are the hypergradient's parts, and forward gradients its mean."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import some_schedule, tiny_trainer

from hpobench_fds.hypergradient.directional import ForwardGradientMode, along
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.seeds import derive
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.trainer import Trainer

EXACT = 1e-8


def trainer_of(optimiser: str, **config: object) -> Trainer:
    return tiny_trainer(windows=(3, 2, 1, 1, 1)[: 3 if len(RULES[optimiser].defaults) == 3 else 5],
                        horizon=10, optimiser=optimiser, **config)  # fmt: skip


def truth_of(trainer: Trainer, trial: int = 0, horizon: int | None = None) -> np.ndarray:
    truth = ForwardMode()(trainer, some_schedule(trainer, lr=0.01), trial, horizon).gradient
    assert truth is not None
    return truth


@pytest.mark.parametrize("optimiser", RULES)
def test_along_a_direction_it_is_the_hypergradient_times_the_direction(optimiser: str) -> None:
    trainer = trainer_of(optimiser, gradient_clip=0.1)
    truth = truth_of(trainer, 1)
    directions = np.random.default_rng(0).standard_normal((3, len(truth)))
    found = along(trainer, some_schedule(trainer, lr=0.01), 1, None, directions)
    np.testing.assert_allclose(found.gradient, directions @ truth, rtol=EXACT)
    assert found.products == 3 * 9


def test_summed_over_an_orthonormal_set_it_is_the_hypergradient() -> None:
    trainer = trainer_of("sgd")
    truth = truth_of(trainer, horizon=7)
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(truth), len(truth))))
    found = along(trainer, some_schedule(trainer, lr=0.01), 0, 7, basis)
    assert found.gradient is not None
    np.testing.assert_allclose(found.gradient @ basis, truth, rtol=EXACT)


@pytest.mark.parametrize("drawn", ["normal", "signs"])
def test_each_estimate_is_the_hypergradient_projected_on_its_directions(drawn: str) -> None:
    """In units of the first steps: E[z z^T] = I makes it the hypergradient in expectation."""
    trainer, mode = trainer_of("sgd"), ForwardGradientMode(directions=4, drawn=drawn)  # type: ignore[arg-type]
    truth, unit = truth_of(trainer, 2), trainer.problem.space.steps
    found = mode(trainer, some_schedule(trainer, lr=0.01), 2)
    assert found.gradient is not None
    draws = mode.draw(derive(trainer.seed, "directions", 2), len(truth))
    np.testing.assert_allclose(found.gradient * unit, draws.T @ (draws @ (truth * unit)) / 4, rtol=EXACT)
    assert found.loss == ForwardMode()(trainer, some_schedule(trainer, lr=0.01), 2).loss
    assert found.conditioning.norm == pytest.approx(float(np.linalg.norm(found.gradient)))


@pytest.mark.parametrize("drawn", ["normal", "signs"])
def test_directions_are_uncorrelated_with_variance_one_and_of_the_seed_alone(drawn: str) -> None:
    mode = ForwardGradientMode(directions=40_000, drawn=drawn)  # type: ignore[arg-type]
    draws = mode.draw(1, 4)
    np.testing.assert_allclose(draws.T @ draws / len(draws), np.eye(4), atol=0.03)
    assert (draws == mode.draw(1, 4)).all()
    assert (draws != mode.draw(2, 4)).any()


def test_directions_of_another_length_are_refused() -> None:
    trainer = trainer_of("sgd")
    with pytest.raises(ValueError, match="space of 6"):
        along(trainer, some_schedule(trainer), 0, None, np.ones((1, 5)))


def test_a_training_that_diverges_is_told() -> None:
    trainer = tiny_trainer(horizon=40)
    found = ForwardGradientMode()(trainer, some_schedule(trainer, lr=1e150), 0)
    assert (found.ending, found.gradient) == ("diverged", None)
