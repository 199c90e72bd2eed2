"""ASHA: whoever is in the best 1/eta of a rung, as it stands, is promoted; the highest rung first."""

from __future__ import annotations

import math

import pytest
from closed_form import ClosedForm, bowl, gone_on, run
from hpobench_fds.methods.asha import ASHA

from hpobench_fds.schedule import Vector


def by_step(vector: Vector, step: int) -> float:
    return bowl(vector, step) + 0.5 / (1 + step) + 0.05 * math.sin(20 * float(vector[3]) + step)


def retold(task: ClosedForm, eta: int, ends: list[int]) -> None:
    """Go through the trainings and assert that each was the right one to do."""
    rungs: list[dict[tuple[float, ...], float]] = [{} for _ in ends]
    promoted: list[set[tuple[float, ...]]] = [set() for _ in ends]
    for trained, report in zip(task.trained, task.ears.reports, strict=True):
        wanted = None
        for at in range(len(ends) - 2, -1, -1):
            ranked = sorted(rungs[at], key=lambda v, at=at: rungs[at][v])  # type: ignore[misc]
            top = [v for v in ranked[: len(ranked) // eta] if v not in promoted[at]]
            top = [v for v in top if rungs[at][v] < math.inf]
            if top:
                wanted = (at + 1, top[0])
                promoted[at].add(top[0])
                break
        at = report.extra["rung"]
        assert (at, trained.vector) == (wanted or (0, trained.vector))
        assert trained.end == ends[at]
        rungs[at][trained.vector] = trained.loss


def test_every_promotion_is_the_papers() -> None:
    task = run(ASHA(ASHA.Options(fidelity="prefix", eta=3, units=81)), 20, loss=by_step)
    retold(task, 3, [1, 3, 9, 27, 81])
    assert {t.end for t in task.trained} == {1, 3, 9, 27, 81}
    task = run(ASHA(ASHA.Options(fidelity="prefix")), 12, horizon=256, loss=by_step)
    retold(task, 4, [1, 4, 16, 64, 256])


def test_promoted_trainings_go_on_from_their_state() -> None:
    task = run(ASHA(ASHA.Options(fidelity="prefix", eta=3, units=81)), 20, loss=by_step)
    assert all(t.begin == (0 if t.end == 1 else t.end // 3) for t in task.trained)
    again = run(ASHA(ASHA.Options(fidelity="prefix", eta=3, units=81, resume=False)), 20, loss=by_step)
    assert all(t.begin == 0 for t in again.trained)
    assert all(len(checkpoint["states"]) <= 1 for checkpoint in again.ears.checkpoints)


def test_states_are_dropped_beyond_the_number_kept() -> None:
    options = ASHA.Options(fidelity="prefix", eta=3, units=81, keep=2)
    task = run(ASHA(options), 20, loss=by_step)
    assert max(len(checkpoint["states"]) for checkpoint in task.ears.checkpoints) <= 2 * 4 + 1
    restarted = [t for t in task.trained if t.begin == 0 and t.end > 1]
    assert restarted
    retold(task, 3, [1, 3, 9, 27, 81])


def test_a_diverged_training_is_never_promoted() -> None:
    task = run(
        ASHA(ASHA.Options(fidelity="prefix", eta=3)),
        5,
        loss=lambda v, step: math.inf if v[3] > -1.2 else bowl(v, step),
    )
    diverged = {t.vector for t in task.trained if math.isinf(t.loss)}
    assert diverged
    assert all(t.end == 1 for t in task.trained if t.vector in diverged)


@pytest.mark.parametrize("keep", [100, 2])
@pytest.mark.parametrize("at", [2, 40, 101])
def test_an_interrupted_run_goes_on(at: int, keep: int) -> None:
    gone_on(lambda: ASHA(ASHA.Options(fidelity="prefix", eta=3, units=81, keep=keep)), 10, at, loss=by_step)


def test_stretched_it_trains_the_whole_schedule_at_each_rung_and_keeps_no_state() -> None:
    task = run(ASHA(ASHA.Options(eta=3, units=81)), 20, loss=by_step)
    assert all(t.begin == 0 and t.end == t.over and t.draw == t.trial for t in task.trained)
    assert {1, 3, 9, 27} <= {t.over for t in task.trained}
    assert all(len(checkpoint["states"]) <= 1 for checkpoint in task.ears.checkpoints)  # that of the last
