"""BOHB: its density estimate against scipy's distributions, its parts against the paper's, its gain."""

from __future__ import annotations

import numpy as np
import pytest
from closed_form import ClosedForm, bowl, gone_on, run
from hpobench_fds.methods.bohb import BOHB, Density
from hpobench_fds.methods.hyperband import Hyperband
from scipy import stats


def test_the_density_is_a_mean_of_products_of_normals() -> None:
    rng = np.random.default_rng(0)
    points, x = rng.random((7, 3)), rng.random((5, 3))
    density = Density(points, 1e-3)
    np.testing.assert_allclose(density.bandwidth, 1.06 * points.std(axis=0) * 7 ** (-1 / 7))
    expected = [np.mean([np.prod(stats.norm.pdf(one, p, density.bandwidth)) for p in points]) for one in x]
    np.testing.assert_allclose(np.exp(density.log_density(x)), expected)


def test_points_on_top_of_each_other_keep_the_least_bandwidth() -> None:
    density = Density(np.full((4, 2), 0.5), 1e-3)
    assert density.bandwidth.tolist() == [1e-3, 1e-3]
    far = density.log_density(np.array([[0.0, 1.0]]))
    assert np.isfinite(far).all()


def test_draws_follow_the_truncated_normal() -> None:
    density = Density(np.array([[0.1], [0.1], [0.1]]), 0.1)
    drawn = density.sample(np.random.default_rng(0), 4000, 3.0)[:, 0]
    truth = stats.truncnorm(-0.1 / 0.3, 0.9 / 0.3, 0.1, 0.3)
    assert stats.kstest(drawn, truth.cdf).statistic < 0.031  # 1.95 / sqrt(4000): false failure 1e-3


def seen(losses: dict[int, int]) -> BOHB:
    """A BOHB that was told so many trainings at each number of steps; the loss is the first coordinate."""
    method = BOHB()
    task = ClosedForm(method)
    method.setup(task)
    for steps, count in losses.items():
        for unit in np.linspace(1, 0, count):
            schedule = task.space.from_unit(np.array([unit, steps / 81, 0.5, 0.5]))
            method.learn(task, schedule, steps, float(unit))
    return method


@pytest.mark.parametrize(
    ("losses", "at", "good", "bad"),
    [
        ({1: 6}, None, 0, 0),  # N_min = 5, N_min + 2 are needed
        ({1: 7}, 1, 5, 5),  # the parts overlap
        ({1: 7, 3: 6}, 1, 5, 5),
        ({1: 81, 3: 27}, 3, 5, 22),
        ({1: 81}, 1, 12, 69),
        ({1: 81, 81: 7}, 81, 5, 5),
    ],
)
def test_the_model_is_of_the_most_steps_with_enough_points(
    losses: dict[int, int], at: int | None, good: int, bad: int
) -> None:
    parts = seen(losses)._good_and_bad(4)
    if at is None:
        assert parts is None
        return
    assert parts is not None
    assert [len(part) for part in parts] == [good, bad]
    np.testing.assert_allclose(np.vstack(parts)[:, 1], at / 81)  # the second coordinate tells the steps
    assert parts[0][:, 0].max() < 1
    assert np.all(np.diff(parts[0][:, 0]) > 0)
    assert parts[0][0, 0] == 0
    assert parts[1][-1, 0] == 1


def test_it_proposes_better_schedules_as_it_learns() -> None:
    def firsts(method: Hyperband) -> list[float]:
        task = run(method, 60)
        pairs = zip(task.trained, task.ears.reports, strict=True)
        return [t.loss for t, report in pairs if report.extra["rung"] == 0][150:]

    options = BOHB.Options(random_fraction=0.0)
    assert np.median(firsts(BOHB(options))) < np.quantile(firsts(Hyperband()), 0.25)


def test_a_third_is_drawn_at_random() -> None:
    everything = run(BOHB(BOHB.Options(random_fraction=1.0)), 30)
    units = [np.log10(np.array(t.vector[:3])) / 3 + 1 for t in everything.trained if t.end == 1]
    assert stats.kstest(np.concatenate(units), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("at", [5, 100, 150])
def test_an_interrupted_run_goes_on(at: int) -> None:
    gone_on(BOHB, 20, at, loss=lambda v, step: bowl(v, step) + 0.5 / step)
