"""PriorBand: its shares against the paper's formulas, and how far it trusts a good and a misleading prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
from closed_form import SPACE, ClosedForm, bowl, gone_on, run, vectors
from hpobench_fds.methods.hyperband import Hyperband
from hpobench_fds.methods.priorband import PriorBand
from scipy import stats

from hpobench_fds.schedule import PRIOR_WIDTH, Vector

START = SPACE.to_coordinates(SPACE.to_vector(SPACE.initial))
WIDTH = PRIOR_WIDTH * SPACE.steps
ELSEWHERE = np.array([math.log(0.01), math.log(0.5), math.log(0.005), -1.2])


def taught(*rungs: tuple[int, list[tuple[float, Vector]]]) -> tuple[PriorBand, ClosedForm]:
    """A PriorBand that was told losses of points, in coordinates, at numbers of steps."""
    method = PriorBand()
    task = ClosedForm(method)
    method.setup(task)
    for steps, seen in rungs:
        for loss, at in seen:
            method.learn(task, task.space.from_vector(SPACE.from_coordinates(at)), steps, loss)
    return method, task


def shares(method: PriorBand, task: ClosedForm, trusted: float, incumbent: Vector, count: int) -> list[float]:
    """Of draws: those with a coordinate of the incumbent's, those near the start, others."""
    method._trusted = trusted
    kinds = [0, 0, 0]
    for _ in range(count):
        at = SPACE.to_coordinates(SPACE.to_vector(method.propose(task)))
        if np.isclose(at, incumbent).any():
            kinds[0] += 1
        elif (np.abs(at - START) < 4 * WIDTH).all():
            kinds[1] += 1
        else:
            kinds[2] += 1
    return [kind / count for kind in kinds]


@pytest.mark.parametrize("rung", range(4))
def test_without_an_incumbent_chance_has_one_in_1_plus_eta_to_the_r(rung: int) -> None:
    method, task = taught((27, [(1.0, ELSEWHERE)] * 9))  # nothing of the whole horizon
    p_uniform = 1 / (1 + 3**rung)
    found = shares(method, task, 3**rung / (1 + 3**rung), ELSEWHERE, 3000)
    box = np.minimum(8 * WIDTH, SPACE.to_coordinates(SPACE.high) - SPACE.to_coordinates(SPACE.low))
    assert found[0] == 0
    assert found[2] <= p_uniform + 0.035  # four standard errors
    near = np.prod(box / (SPACE.to_coordinates(SPACE.high) - SPACE.to_coordinates(SPACE.low)))
    assert found[2] >= p_uniform * (1 - near) - 0.035


def test_hyperband_s_brackets_have_the_rungs_that_the_shares_go_by() -> None:
    trusted = {}

    class Spied(PriorBand):
        def propose(self, task):  # type: ignore[no-untyped-def]
            trusted[round(self._trusted, 9)] = True
            return super().propose(task)

    run(Spied(), 30)
    assert list(trusted) == [pytest.approx(3**r / (1 + 3**r)) for r in range(5)]


def by_hand(best: list[Vector], incumbent: Vector) -> float:
    """S_incumbent / (S_incumbent + S_prior), with the weights n, n - 1 ... 1."""
    sums = []
    for centre in (START, incumbent):
        total = 0.0
        for weight, at in zip(range(len(best), 0, -1), best, strict=True):
            low = (SPACE.to_coordinates(SPACE.low) - centre) / WIDTH
            high = (SPACE.to_coordinates(SPACE.high) - centre) / WIDTH
            mass = stats.norm.cdf(high) - stats.norm.cdf(low)
            total += weight * float(np.prod(stats.norm.pdf(at, centre, WIDTH) / mass))
        sums.append(total)
    return sums[1] / sum(sums)


def test_the_share_of_the_incumbent_is_the_paper_s() -> None:
    rng = np.random.default_rng(0)
    middle = (START + ELSEWHERE) / 2
    points = [middle + 0.4 * WIDTH * rng.standard_normal(4) for _ in range(11)]
    losses = rng.random(11).tolist()
    low_rung = [(loss, START) for loss in losses]
    method, task = taught(
        (9, low_rung), (27, list(zip(losses, points, strict=True))), (81, [(0.4, middle), (0.6, START)])
    )
    ranked = [at for _, at in sorted(zip(losses, points, strict=True), key=lambda one: one[0])]
    expected = by_hand(ranked[:3], middle)  # the highest rung of three or more has eleven, of which 3 count
    assert method.share_of_incumbent(task) == pytest.approx(expected, rel=1e-9)
    assert 0.01 < expected < 1


def test_draws_have_the_shares_of_the_formulas() -> None:
    """A third rung's prior share, 9/10, is divided by how likely the best are under either."""
    good = [START + WIDTH * np.array(by) for by in ([1.6, 1.6, -1.6, 1.6], [1.5, 1.5, -1.5, 1.5])]
    seen = [(0.4, good[0]), (0.5, good[1]), *[(0.9, ELSEWHERE)] * 4]
    incumbent = START + WIDTH * np.array([2.2, 2.2, -2.2, 2.2])
    method, task = taught((27, seen), (81, [(0.3, incumbent), (0.8, START)]))
    share = by_hand(good, incumbent)
    found = shares(method, task, 0.9, incumbent, 4000)
    assert 0.5 < share < 1
    kept = 1 - 0.5**4  # one coordinate at least stays the incumbent's
    assert found[0] == pytest.approx(0.9 * share * kept, abs=0.035)
    assert found[2] == pytest.approx(0.1, abs=0.035)


def test_before_the_horizon_or_with_fewer_than_eta_there_is_no_incumbent() -> None:
    for rungs in ([(27, [(0.4, START)] * 5)], [(81, [(0.4, START)] * 2)], []):
        method, task = taught(*rungs)  # type: ignore[arg-type]
        assert method.share_of_incumbent(task) == 0
    method, task = taught((81, [(0.4, START)] * 3))
    assert method.share_of_incumbent(task) == pytest.approx(0.5)  # the incumbent is where the prior is


def test_an_incumbent_s_neighbour_has_half_of_its_hyperparameters_moved() -> None:
    method, task = taught((81, [(0.4, ELSEWHERE)] * 3))
    drawn = [SPACE.to_coordinates(SPACE.to_vector(method._near_incumbent(task))) for _ in range(1500)]
    moved = ~np.isclose(drawn, ELSEWHERE)
    assert moved.mean() == pytest.approx(0.5, abs=0.03)
    by = (np.array(drawn)[:, 0] - ELSEWHERE[0])[moved[:, 0]] / WIDTH[0]
    assert stats.kstest(by, "norm").pvalue > 1e-3


def test_a_misleading_prior_is_overcome() -> None:
    """The bottom is seven first steps from the initial schedule in each lr, at the far end in momentum."""

    def far(vector: Vector, step: int) -> float:
        at = (SPACE.to_coordinates(vector) - ELSEWHERE) / SPACE.steps
        return 0.3 + 0.005 * float(at @ at)

    def best(method: Hyperband) -> float:
        tasks = [run(method, 60, loss=far, seed=seed) for seed in range(3)]
        return float(np.median([min(t.loss for t in task.trained if t.over == 81) for task in tasks]))

    assert best(PriorBand()) < min(best(Hyperband()), best(Hyperband(Hyperband.Options(prior=True))))


def test_the_initial_schedule_comes_first_and_options_are_its_own() -> None:
    assert vectors(run(PriorBand(), 2))[0] == tuple(SPACE.to_vector(SPACE.initial))
    assert "prior" not in PriorBand.Options.model_fields


@pytest.mark.parametrize("at", [3, 125, 190])
def test_an_interrupted_run_goes_on(at: int) -> None:
    gone_on(PriorBand, 25, at, loss=lambda v, step: bowl(v, step) + 0.5 / step)
