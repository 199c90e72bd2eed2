"""DEHB against a slow reading of the paper, a run of a planted function, and what holds of any run."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from closed_form import SPACE, bowl, gone_on, initial, run, vectors
from hpobench_fds.methods.dehb import DEHB
from hpobench_fds.methods.hyperband import Hyperband

from hpobench_fds.schedule import Vector

FIRST = SPACE.to_vector(SPACE.initial)


def by_step(vector: Vector, step: int) -> float:
    """Losses fall with training, and their order changes on the way."""
    return bowl(vector, step) + 0.5 / (1 + step) + 0.05 * math.sin(20 * float(vector[3]) + step)


def slow(seed: int, trainings: int, R: int = 9, eta: int = 3, F: float = 0.5, p: float = 0.5) -> list[Any]:
    """The algorithm with everything looked up in one list of records, for R a power of eta.

    A record is [budget, place, point, loss or None]. Random numbers are taken in DEHB's order: populations
    from the lowest budget up; of a child fill-ins, parents, crossover, the certain coordinate, repairs.
    """
    rng, done = np.random.default_rng(seed), []
    budgets = [R // eta**j for j in range(10) if R % eta**j == 0 and R // eta**j][::-1]
    rounds = []
    for lowest in range(len(budgets)):
        halvings = len(budgets) - 1 - lowest
        n = math.ceil(len(budgets) * eta**halvings / (halvings + 1))
        rounds.append([(budgets[lowest + i], n // eta**i) for i in range(halvings + 1)])
    size = {b: max(n for bracket in rounds for budget, n in bracket if budget == b) for b in budgets}
    records = [[b, place, rng.random(4), None] for b in budgets for place in range(size[b])]
    records[0][2] = SPACE.to_unit(SPACE.initial)
    counter: Counter[int] = Counter()

    def ranked(budget: int) -> list[Any]:
        return sorted((r for r in records if r[0] == budget and r[3] is not None), key=lambda r: r[3])

    for round_ in range(99):
        for bracket in rounds:
            for i, (budget, n) in enumerate(bracket):
                source = bracket[i - 1][0] if i else budget
                have = [r[2].tolist() for r in records if r[0] == budget]
                queue = [r[2] for r in ranked(source) if r[2].tolist() not in have][:n]
                for _ in range(n):
                    if len(done) == trainings:
                        return done
                    turn = counter[budget] % size[budget]
                    (target,) = (r for r in records if r[:2] == [budget, turn])
                    counter[budget] += 1
                    if round_ == 0 and i and queue:
                        x = queue.pop(0)
                    elif target[3] is None:
                        x = target[2]
                    else:
                        pool = [r[2] for r in ranked(source)[:n]]
                        if len(pool) < 3:
                            for at in rng.choice(len(records), 3 - len(pool), replace=False):
                                pool.append(records[at][2])
                        one, two, three = rng.choice(len(pool), 3, replace=False)
                        v = pool[one] + F * (pool[two] - pool[three])
                        mask = rng.random(4) < p
                        sure = rng.integers(4)
                        x = np.array([v[j] if mask[j] or j == sure else target[2][j] for j in range(4)])
                        outside = [j for j in range(4) if not 0 <= x[j] <= 1]
                        x[outside] = rng.random(len(outside))
                    loss = by_step(SPACE.to_vector(SPACE.from_unit(x)), budget)
                    done.append((budget, tuple(SPACE.to_vector(SPACE.from_unit(x)).tolist())))
                    if target[3] is None or loss <= target[3]:
                        target[2], target[3] = x, loss
    raise AssertionError


@pytest.mark.parametrize("seed", range(4))
def test_it_trains_what_a_slow_reading_of_the_paper_does(seed: int) -> None:
    task = run(DEHB(), 45, horizon=9, seed=seed, loss=by_step)
    expected = slow(task.seed, len(task.trained))
    assert [t.over for t in task.trained] == [budget for budget, _ in expected]
    np.testing.assert_allclose(vectors(task), [vector for _, vector in expected], rtol=1e-9)
    assert len(task.trained) > 100  # four rounds, three of them of children


def test_brackets_are_hyperband_s_and_the_first_promotes() -> None:
    task = run(DEHB(), 30, loss=by_step)
    found = [(report.extra["bracket"], report.extra["rung"]) for report in task.ears.reports]
    counts = Counter(found[:206])
    assert [counts[4, i] for i in range(5)] == [81, 27, 9, 3, 1]
    assert [counts[0, 0], counts[3, 0], counts[2, 0]] == [5, 34, 15]
    assert task.trained[0].vector == pytest.approx(tuple(initial().values()))
    first = task.trained[:121]
    for i, (begin, end) in enumerate([(81, 108), (108, 117), (117, 120)]):
        before = sorted(first[[0, 81, 108][i] : begin], key=lambda t: t.loss)[: end - begin]
        np.testing.assert_allclose([t.vector for t in first[begin:end]], [t.vector for t in before])


def test_a_recorded_run_of_a_planted_function() -> None:
    """0.3 is the bowl's bottom. Hyperband's random schedules do not come as near to it."""
    best: dict[str, list[float]] = {}
    for method in (DEHB, Hyperband):
        for seed in range(5):
            task = run(method(), 120, loss=bowl, seed=seed)
            whole = min(t.loss for t in task.trained if t.over == 81)
            best.setdefault(method.name, []).append(whole)
    assert np.median(best["dehb"]) < 0.303 < 0.31 < np.median(best["hyperband"])
    assert best["dehb"] == pytest.approx(RECORDED, abs=1e-9)


RECORDED = [
    0.30069353526017595, 0.30137013750282937, 0.30284349690307133, 0.3052562881338761, 0.30283027756662184,
]  # fmt: skip


@pytest.mark.parametrize("at", [3, 90, 130, 230])
def test_an_interrupted_run_goes_on(at: int) -> None:
    gone_on(DEHB, 30, at, loss=by_step)


def test_when_all_diverge_it_goes_on_and_a_horizon_of_one_step_will_do() -> None:
    task = run(DEHB(), 40, loss=lambda v, step: math.inf)
    assert len({report.extra["bracket"] for report in task.ears.reports}) == 5
    assert len(run(DEHB(), 12, horizon=1).trained) == 12
    assert len(run(DEHB(DEHB.Options(fidelity="prefix")), 12, horizon=2).trained) >= 12


def test_what_cannot_be_promoted_is_a_child() -> None:
    """Where every individual of the lower fidelity is there already."""
    method = DEHB(DEHB.Options(start_from_initial=False))
    task = run(method, 45, horizon=9, loss=by_step)
    found = Counter(vectors(task)[:22])
    assert max(found.values()) <= 3  # once a fidelity at most


def test_with_a_prior_half_of_the_first_population_is_near_the_initial_schedule() -> None:
    shares = []
    for prior in (True, False):
        drawn = np.array(vectors(run(DEHB(DEHB.Options(prior=prior)), 1))[1:81])
        away = np.abs([SPACE.to_coordinates(v) - SPACE.to_coordinates(FIRST) for v in drawn])
        shares.append((away < 6 * SPACE.steps).all(axis=1).mean())
    assert 0.3 < shares[0] < 0.8
    assert shares[1] < 0.15
