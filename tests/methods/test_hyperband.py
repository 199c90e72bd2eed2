"""Hyperband: whole brackets, the best go on, from where they stopped."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from closed_form import ClosedForm, Trained, bowl, gone_on, run
from hpobench_fds.methods.hyperband import Hyperband

from hpobench_fds.schedule import Vector


def prefix(**options: Any) -> Hyperband:
    """Trains the first steps of schedules."""
    return Hyperband(Hyperband.Options(fidelity="prefix", **options))


def rungs(task: ClosedForm) -> dict[tuple[int, int], list[Trained]]:
    """Trainings of the first round by (bracket, rung)."""
    found: dict[tuple[int, int], list[Trained]] = defaultdict(list)
    left = False
    for report, trained in zip(task.ears.reports, task.trained, strict=True):
        at = report.extra["bracket"], report.extra["rung"]
        if left and at == (4, 0):
            return found
        left = left or at[0] < 4
        found[at].append(trained)
    raise AssertionError("the budget was too small for a round")


def by_step(vector: Vector, step: int) -> float:
    """Losses fall with training, and their order changes on the way."""
    return bowl(vector, step) + 0.5 / (1 + step) + 0.05 * math.sin(20 * float(vector[3]) + step)


@pytest.mark.parametrize("resume", [True, False])
def test_a_round_follows_the_papers_table(resume: bool) -> None:
    task = run(prefix(resume=resume), 25, loss=by_step)
    counts = {key: len(trained) for key, trained in rungs(task).items()}
    assert [counts[4, i] for i in range(5)] == [81, 27, 9, 3, 1]
    assert [counts[3, i] for i in range(4)] == [34, 11, 3, 1]
    assert [counts[2, i] for i in range(3)] == [15, 5, 1]
    ends = {key: {t.end for t in trained} for key, trained in rungs(task).items()}
    assert all(ends[s, i] == {3 ** (4 - s + i)} for s, i in ends)


def test_the_best_of_a_rung_go_on_from_their_state() -> None:
    found = rungs(run(prefix(), 25, loss=by_step))
    for s, i in found:
        if i == 0:
            assert all(t.begin == 0 and t.draw == t.trial for t in found[s, i])
            continue
        before, after = found[s, i - 1], found[s, i]
        best = sorted(before, key=lambda t: t.loss)[: len(after)]
        assert [t.vector for t in best] == [t.vector for t in after]
        assert [t.draw for t in best] == [t.draw for t in after]
        assert all(t.begin == before[0].end for t in after)


def test_without_resuming_they_start_over() -> None:
    task = run(prefix(resume=False), 25, loss=by_step)
    assert all(t.begin == 0 and t.draw == t.trial for t in task.trained)


def test_the_initial_schedule_is_the_first_of_the_first_bracket_alone() -> None:
    task = run(prefix(), 25)
    initial = tuple(task.space.to_vector(task.space.initial).tolist())
    assert task.trained[0].vector == initial
    later = [
        t for t, report in zip(task.trained, task.ears.reports, strict=True) if report.extra["rung"] == 0
    ]
    assert sum(t.vector == initial for t in later) == 1
    without = run(prefix(start_from_initial=False), 1)
    assert without.trained[0].vector != initial


def test_a_diverged_training_is_never_promoted() -> None:
    found = rungs(run(prefix(), 25, loss=lambda v, step: math.inf if v[3] > -1.2 else bowl(v, step)))
    assert any(math.isinf(t.loss) for t in found[4, 0])
    assert all(math.isfinite(t.loss) for (s, i), trained in found.items() for t in trained if i)
    # A tenth survives: fewer than there are places.
    survivors = sum(math.isfinite(t.loss) for t in found[4, 0])
    assert len(found[4, 1]) == survivors < 27


def test_when_all_diverge_it_goes_on_with_the_next_bracket() -> None:
    task = run(prefix(), 10, loss=lambda v, step: math.inf)
    assert {report.extra["rung"] for report in task.ears.reports} == {0}
    assert len({report.extra["bracket"] for report in task.ears.reports}) > 2


@pytest.mark.parametrize("resume", [True, False])
def test_states_are_kept_for_the_places_of_the_next_rung_alone(resume: bool) -> None:
    task = run(prefix(resume=resume), 25, loss=by_step)
    kept = [len(checkpoint["states"]) for checkpoint in task.ears.checkpoints]
    # 27 places, one training just told, and those that wait while the next rung's 9 are found.
    assert max(kept) <= (28 if resume else 1)


@pytest.mark.parametrize("at", [3, 90, 117, 140])
def test_an_interrupted_run_goes_on(at: int) -> None:
    gone_on(prefix, 15, at, loss=by_step)


def test_a_short_horizon_has_fewer_brackets_and_distinct_rungs() -> None:
    task = run(prefix(), 30, horizon=10)
    assert {report.extra["bracket"] for report in task.ears.reports} == {0, 1, 2}
    assert sorted({t.end for t in task.trained}) == [1, 3, 10]
    one = run(prefix(), 5, horizon=1)
    assert Counter(t.end for t in one.trained) == {1: 5}


def test_fidelity_is_the_share_of_the_horizon() -> None:
    task = run(prefix(), 5)
    for report, trained in zip(task.ears.reports, task.trained, strict=True):
        assert report.fidelity == trained.end / 81


def test_it_spends_less_on_bad_schedules_than_random_search() -> None:
    found = run(prefix(), 40)
    best = np.sort([t.loss for t in found.trained if t.end == 81])
    draws = np.random.default_rng(0).random((200, 40, 4))
    random = [min(bowl(found.space.to_vector(found.space.from_unit(u)), 81) for u in draw) for draw in draws]
    assert best[0] < np.median(random)


# ------------------------------------------------------------------------------------------------- stretched


def test_stretched_is_how_it_trains_unless_told_otherwise() -> None:
    task = run(Hyperband(), 25, loss=by_step)
    assert all(t.begin == 0 and t.end == t.over and t.draw == t.trial for t in task.trained)
    assert {t.over for t in task.trained} == {1, 3, 9, 27, 81}
    for report, trained in zip(task.ears.reports, task.trained, strict=True):
        assert report.extra.get("stretched_over") == (trained.over if trained.over < 81 else None)
        assert report.fidelity == trained.over / 81
    assert all(len(checkpoint["states"]) <= 1 for checkpoint in task.ears.checkpoints)  # that of the last


def test_the_best_stretched_ones_are_trained_again_over_more_steps() -> None:
    found = rungs(run(Hyperband(), 40, loss=by_step))
    for s, i in found:
        if i:
            best = sorted(found[s, i - 1], key=lambda t: t.loss)[: len(found[s, i])]
            assert [t.vector for t in best] == [t.vector for t in found[s, i]]


@pytest.mark.parametrize("at", [3, 90, 117])
def test_an_interrupted_stretched_run_goes_on(at: int) -> None:
    gone_on(Hyperband, 15, at, loss=by_step)
