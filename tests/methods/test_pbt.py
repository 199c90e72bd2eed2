"""PBT: who copies from whom, what a lineage's schedule is, and what a perturbation is."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_form import SPACE, ClosedForm, Trained, bowl, gone_on, run
from hpobench_fds.methods.pbt import PBT, perturbed
from hypothesis import given, settings
from hypothesis import strategies as st

from hpobench_fds.method import Report
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace

Generations = dict[int, dict[int, tuple[Trained, Report]]]


def generations(task: ClosedForm, population: int) -> Generations:
    """The first population's trainings by generation and member."""
    found: Generations = defaultdict(dict)
    for trained, report in zip(task.trained[: 3 * population], task.ears.reports, strict=False):
        found[report.extra["generation"]][report.extra["member"]] = trained, report
    return found


@pytest.fixture(scope="module")
def first() -> Generations:
    return generations(run(PBT(PBT.Options(population=10, perturb=0.2)), 10), 10)


def test_a_population_stops_at_the_starts_of_windows(first: Generations) -> None:
    assert [{(t.begin, t.end) for t, _ in members.values()} for members in first.values()] == [
        {(0, 27)}, {(27, 54)}, {(54, 81)},
    ]  # fmt: skip
    assert all(list(members) == list(range(10)) for members in first.values())


def test_members_start_with_one_value_in_all_windows(first: Generations) -> None:
    for trained, report in first[0].values():
        assert len(set(trained.vector[:3])) == 1
        assert report.extra["parent"] is None
    assert first[0][0][0].vector == tuple(SPACE.to_vector(SPACE.initial))


def test_the_worst_fifth_copies_from_the_best_fifth(first: Generations) -> None:
    for generation in (1, 2):
        before, after = first[generation - 1], first[generation]
        ranked = sorted(before, key=lambda member: (before[member][0].loss, member))
        best, worst = ranked[:2], ranked[-2:]
        for member, (trained, report) in after.items():
            parent = report.extra["parent"]
            if member not in worst:
                assert parent is None
                assert trained.vector == before[member][0].vector
                assert trained.draw == before[member][0].draw
            else:
                assert parent in best
                assert trained.draw == before[parent][0].draw  # the weights, with their data


def test_the_past_is_inherited_and_the_future_perturbed(first: Generations) -> None:
    for generation in (1, 2):
        for trained, report in first[generation].values():
            if report.extra["parent"] is None:
                continue
            donor = first[generation - 1][report.extra["parent"]][0].vector
            past, future = slice(0, generation), slice(generation, 3)
            assert trained.vector[past] == donor[past]
            assert trained.vector[3] == donor[3]  # momentum has one window, which has begun
            assert len(set(trained.vector[future])) == 1
            factor = trained.vector[future.start] / donor[2]
            at_bound = trained.vector[future.start] in (1e-3, 1.0)
            assert at_bound or math.isclose(factor, 0.8) or math.isclose(factor, 1.2)


def test_a_diverged_member_always_copies() -> None:
    task = run(PBT(PBT.Options(population=10)), 10, loss=lambda v, s: math.inf if v[3] > 0 else bowl(v, s))
    found = generations(task, 10)
    diverged = [member for member, (trained, _) in found[0].items() if math.isinf(trained.loss)]
    assert len(diverged) > 2
    for member in diverged:
        trained, report = found[1][member]
        assert math.isfinite(trained.loss)
        assert math.isfinite(found[0][report.extra["parent"]][0].loss)


def test_a_population_that_has_diverged_as_a_whole_is_replaced() -> None:
    task = run(PBT(PBT.Options(population=4)), 8, loss=lambda v, step: math.inf)
    assert {(t.begin, t.end) for t in task.trained} == {(0, 27)}
    assert all(t.draw == t.trial for t in task.trained)


def test_states_are_one_a_member() -> None:
    task = run(PBT(PBT.Options(population=5)), 12)
    assert max(len(checkpoint["states"]) for checkpoint in task.ears.checkpoints) == 5


@pytest.mark.parametrize("at", [3, 5, 6, 8, 10, 14, 15, 17])
def test_an_interrupted_run_goes_on(at: int) -> None:
    """Also right after a generation, and while copies wait to be trained."""
    gone_on(lambda: PBT(PBT.Options(population=5)), 8, at)


def test_windows_nearer_than_the_interval_are_passed_by() -> None:
    space = ScheduleSpace({"lr": HyperparameterSpace(windows=10, low=0.1, high=1, initial=0.5, scale="log")})

    def ends(interval: float) -> list[int]:
        options = PBT.Options(population=2, interval=interval)
        task = run(PBT(options), 4, horizon=100, space=space, loss=lambda v, step: 1.0)
        return sorted({t.end for t in task.trained})

    assert ends(0.05) == list(range(10, 101, 10))
    assert ends(0.25) == [30, 60, 90, 100]


def test_it_says_where_it_cannot_work() -> None:
    def problem(windows: int) -> Any:
        space = ScheduleSpace({"lr": HyperparameterSpace(windows=windows)})
        return SimpleNamespace(space=space, horizon=100)

    assert "more than one window" in str(PBT().skip(problem(1)))
    assert PBT().skip(problem(2)) is None


def test_moves_are_first_steps_of_the_space_unless_a_factor_is_given() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=2, low=0.1, high=10, initial=1, scale="log", step=0.3),
            "momentum": HyperparameterSpace(low=-1.5, high=1.5, step=0.25),
            "weight_decay": HyperparameterSpace(low=0, high=1e-2),
        }
    )
    before = np.array([0.5, 2.0, 0.5, 5e-3])
    rng = np.random.default_rng(0)
    moved = np.array([perturbed(space, before, None, rng) for _ in range(200)])
    lr, momentum, decay = (np.unique(moved[:, i].round(12)) for i in (1, 2, 3))
    assert lr == pytest.approx([2 * math.exp(-0.3), 2 * math.exp(0.3)])
    assert momentum == pytest.approx([0.25, 0.75])
    assert decay == pytest.approx([4.5e-3, 5.5e-3])  # a twentieth of the range
    assert np.array_equal(moved[:, 0], moved[:, 1])
    edge = [perturbed(space, np.array([10.0, 10.0, 1.5, 0.0]), None, rng) for _ in range(20)]
    assert np.array_equal(np.clip(edge, space.low, space.high), edge)


def test_perturbations() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=2, low=0.1, high=10, initial=1),
            "momentum": HyperparameterSpace(low=-1.5, high=1.5),
            "weight_decay": HyperparameterSpace(low=0, high=1e-2),
        }
    )
    rng = np.random.default_rng(0)
    moved = np.array([perturbed(space, np.array([5.0, 2.0, 0.0, 9.5e-3]), 0.2, rng) for _ in range(50)])
    assert np.all(moved[:, 0] == moved[:, 1])  # the value now is that of the last window
    assert sorted(set(moved[:, 1].round(9))) == [1.6, 2.4]
    assert sorted(set(moved[:, 2].round(9))) == [-0.3, 0.3]  # a tenth of the width, across zero
    assert sorted(set(moved[:, 3].round(9))) == [8.5e-3, 1e-2]  # held at the bound
    assert len({tuple(np.sign(row - [5.0, 2.0, 0.0, 9.5e-3])[1:]) for row in moved}) == 8  # independently


@given(
    population=st.integers(2, 9), exploit=st.floats(0.01, 0.5), seed=st.integers(0, 50),
    bad=st.floats(-1.5, 1.5), windows=st.integers(2, 5), horizon=st.integers(5, 40),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_with_any_legal_options_nobody_copies_itself(
    population: int, exploit: float, seed: int, bad: float, windows: int, horizon: int
) -> None:
    """Whatever share copies, however many have diverged."""
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=windows, low=1e-3, high=1.0, initial=0.1, scale="log"),
            "momentum": HyperparameterSpace(low=-1.5, high=1.5),
        }
    )
    loss = lambda v, step: math.inf if v[-1] > bad else 1.0 + float(v[0])  # noqa: E731
    method = PBT(PBT.Options(population=population, exploit=exploit, interval=0.0))
    task = run(method, 3 * population, space=space, horizon=horizon, loss=loss, seed=seed)
    for report in task.ears.reports:
        assert report.extra["parent"] != report.extra["member"]
