"""PES and ES-Single: over a complete set of perturbations their estimates are the hypergradient."""

from __future__ import annotations

import numpy as np
import pytest
from hpobench_fds.methods.es_single import ESSingle
from hpobench_fds.methods.pes import PES
from oracles import relative_error, some_schedule, tiny_trainer

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.outer import Outer, OuterOptions
from hpobench_fds.method import Report, Task
from hpobench_fds.method.contract import Deaf
from hpobench_fds.schedule import Vector
from hpobench_fds.training.clock import Budget, Clock
from hpobench_fds.training.trainer import Trainer

UNROLLS, SIZE = 3, 6


def smooth_trainer(horizon: int = 10) -> Trainer:
    """Without ReLU's kinks, at which a training jumps: differences of it are then no derivative."""
    return tiny_trainer("linear", (7,), horizon=horizon)


class Still(Outer):
    """Never moves, and remembers the estimates."""

    def step(self, vector: Vector, hypergradient: Vector) -> Vector:
        self.told = [*getattr(self, "told", []), hypergradient]
        return vector


class Heard(Deaf):
    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)


def complete(kind: type[PES], blocks: int) -> type[PES]:
    """The method with an orthonormal set of perturbations in place of draws: their mean is exact."""
    n = blocks * SIZE
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0] * np.sqrt(n)

    class Complete(kind):  # type: ignore[misc, valid-type]
        def draw(self, rng: np.random.Generator, unroll: int, size: int) -> Vector:
            found: Vector = basis[:, unroll * SIZE : (unroll + 1) * SIZE]
            return found

    return Complete


def estimates(kind: type[PES], trainer: Trainer, **options: object) -> tuple[np.ndarray, list[Report]]:
    task = Task(trainer, heard := Heard(), method_name="pes")
    vector = task.space.to_vector(some_schedule(trainer))
    outer = Still(OuterOptions(), task.space)
    blocks = UNROLLS if kind is PES else 1
    method = complete(kind, blocks)(kind.Options(pairs=blocks * SIZE, unrolls=UNROLLS, **options))
    moved = method.episode(task, 1, vector, outer)
    assert moved is vector
    return np.array(outer.told), heard.reports


@pytest.mark.parametrize("kind", [PES, ESSingle])
def test_summed_over_unrolls_the_estimate_is_the_hypergradient(kind: type[PES]) -> None:
    """In the limit of small perturbations, whose error is of second order in sigma."""
    trainer = smooth_trainer()
    truth = ForwardMode()(trainer, some_schedule(trainer), 1).gradient
    assert truth is not None
    errors = [
        relative_error(estimates(kind, trainer, sigma=sigma)[0].sum(0), truth) for sigma in (1e-2, 1e-3)
    ]
    assert errors[0] < 1e-4
    assert errors[1] == pytest.approx(errors[0] / 100, rel=0.01)


@pytest.mark.parametrize("kind", [PES, ESSingle])
def test_each_unroll_s_estimate_is_that_of_the_loss_at_its_end(kind: type[PES]) -> None:
    """Horizons of 4, 7 and 10 steps of one schedule, a third of the sum each."""
    trainer = smooth_trainer()
    space, schedule = trainer.problem.space, some_schedule(trainer)
    found, _ = estimates(kind, trainer, sigma=1e-3, objective="mean")
    vector = space.to_vector(schedule)
    for stop, one in zip((4, 7, 10), found, strict=True):
        slopes = []
        for i in range(space.size):
            losses = []
            for side in (1, -1):
                moved = vector.copy()
                moved[i] += side * 1e-5
                state = trainer.start(1)
                trainer.train(state, space.from_vector(moved), until=stop)
                losses.append(trainer.evaluate(state).loss)
            slopes.append((losses[0] - losses[1]) / 2e-5)
        assert relative_error(3 * one, np.array(slopes)) < 1e-3


@pytest.mark.parametrize("kind", [PES, ESSingle])
def test_every_training_is_reported_with_the_values_of_its_steps(kind: type[PES]) -> None:
    trainer = smooth_trainer()
    _, reports = estimates(kind, trainer, sigma=0.3)
    assert len(reports) == 2 * SIZE * (UNROLLS if kind is PES else 1)
    for report in reports[:4]:
        assert report.values is not None
        assert report.state is not None
        again = trainer.start(1)
        trainer.train(again, report.trained(trainer.problem.space))
        assert (again.w == report.state.w).all()
    constant = [len(np.unique(r.values[:, 2])) for r in reports if r.values is not None]
    assert set(constant) == {3 if kind is PES else 1}  # of the one with one window


def test_a_quadratic_s_estimate_is_without_bias_at_any_width() -> None:
    """Draws of perturbations, sums since step 0: the mean over many is the gradient, to its standard error.

    The loss is |sum of all unrolls' values|^2, whose gradient no normal perturbation smooths away.
    """
    rng, unrolls, n, theta = np.random.default_rng(0), 4, 3, np.array([0.5, -1.0, 2.0])
    e = rng.standard_normal((200_000, unrolls, n))
    loss = [((unrolls * theta + side * e.sum(1)) ** 2).sum(1) for side in (1, -1)]
    found = e.sum(1) * (loss[0] - loss[1])[:, None] / 2
    np.testing.assert_allclose(
        found.mean(0), 2 * unrolls**2 * theta, atol=5 * found.std(0).max() / 200_000**0.5
    )
    last = e[:, -1] * (loss[0] - loss[1])[:, None] / 2  # that of a truncated estimate: a share alone
    np.testing.assert_allclose(last.mean(0), 2 * unrolls * theta, atol=0.5)


def test_a_run_moves_and_goes_on_within_bounds() -> None:
    clock = Clock()
    trainer = Trainer(smooth_trainer(12).problem, 0, clock, Budget(clock, steps=12 * 2 * 3))
    task = Task(trainer, heard := Heard(), method_name="pes")
    assert PES(PES.Options(pairs=1, unrolls=4)).run(task) == "budget"
    assert len(heard.reports) == 6
    assert len({report.schedule for report in heard.reports}) == 6
    assert all(task.space.contains(report.schedule) for report in heard.reports)
    assert [report.extra["episode"] for report in heard.reports] == [0, 0, 1, 1, 2, 2]
