"""Curves of a few numbers: what torch's schedulers give, over any horizon, searched as coordinates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpobench_fds.families import Curve
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace
from hpobench_fds.training.inner_step import constant_segments

COSINE = HyperparameterSpace(family="cosine", low=0.01, high=1.0, initial=0.1, scale="log")


def torch_values(horizon: int, build: object, lr: float = 0.3) -> list[float]:
    """The learning rate of each step under one of torch's schedulers."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = build(optimiser)  # type: ignore[operator]
    values = []
    for _ in range(horizon):
        values.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return values


def over(schedule: Schedule, horizon: int) -> list[float]:
    return [schedule.at("lr", step, horizon) for step in range(horizon)]


def test_a_cosine_is_torchs() -> None:
    space = ScheduleSpace({"lr": COSINE.model_copy(update={"final": 0.1})})
    expected = torch_values(
        50, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=50, eta_min=0.03)
    )
    np.testing.assert_allclose(over(space.from_vector([0.3]), 50), expected, rtol=1e-9)


def test_one_cycle_is_torchs() -> None:
    space = ScheduleSpace({"lr": COSINE.model_copy(update={"family": "one_cycle"})})
    expected = torch_values(50, lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.3, total_steps=50))
    np.testing.assert_allclose(over(space.from_vector([0.3]), 50), expected, rtol=1e-9)


def test_a_warm_up_is_a_straight_line_from_start_to_peak() -> None:
    curve = Curve("cosine", peak=2.0, warmup=0.25, start=0.5, final=0.0)
    assert [curve.at(t, 16) for t in range(5)] == [1.0, 1.25, 1.5, 1.75, 2.0]
    assert curve.at(10, 16) == pytest.approx(1.0)  # half way down


@given(
    st.sampled_from(["cosine", "one_cycle"]), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1), st.data()
)
def test_a_curve_stays_between_its_ends_and_its_peak(
    family: str, peak: float, warmup: float, final: float, data: st.DataObject
) -> None:
    horizon = data.draw(st.integers(1, 300))
    step = data.draw(st.integers(0, horizon - 1))
    curve = Curve(family, peak, warmup, start=0.0, final=final)  # type: ignore[arg-type]
    assert -1e-12 <= curve.at(step, horizon) <= peak * (1 + 1e-12)


def test_what_is_searched_of_a_curve_is_said() -> None:
    share = {"low": 0.0, "high": 0.5, "initial": 0.1}
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace.model_validate({**COSINE.model_dump(), "warmup": share, "final": 0.05}),
            "momentum": HyperparameterSpace(low=0.0, high=1.0, initial=0.9),
        }
    )
    assert space.names == ["lr.peak", "lr.warmup", "momentum[0]"]
    assert space.owners == ["lr", "lr", "momentum"]
    assert space.low.tolist() == [0.01, 0.0, 0.0]
    assert space.high.tolist() == [1.0, 0.5, 1.0]
    assert space.log.tolist() == [True, False, False]
    np.testing.assert_allclose(space.steps, [0.05 * math.log(100), 0.025, 0.05])
    assert space.starts(1000) == [0, 0, 0]
    assert space.initial.shape("lr") == Curve("cosine", 0.1, 0.1, 0.0, 0.05, ("peak", "warmup"))
    assert space.curves == ["lr is a cosine"]


def test_a_vector_comes_back_from_its_schedule() -> None:
    share = {"low": 0.0, "high": 1.0}
    table = {**COSINE.model_dump(), "warmup": share, "final": share}
    space = ScheduleSpace({"lr": HyperparameterSpace.model_validate(table)})
    rng = np.random.default_rng(0)
    for _ in range(20):
        schedule = space.sample(rng)
        vector = space.to_vector(schedule)
        assert space.contains(schedule)
        assert space.from_vector(vector) == schedule
        np.testing.assert_allclose(space.to_vector(space.from_unit(space.to_unit(schedule))), vector)


def test_a_constant_is_one_window() -> None:
    space = ScheduleSpace({"lr": HyperparameterSpace(family="constant", low=0.0, high=1.0, initial=0.2)})
    assert space.names == ["lr[0]"]
    assert space.from_vector([0.4])["lr"] == (0.4,)


def test_a_curve_that_is_not_learned_holds_at_its_initial_numbers() -> None:
    fixed = HyperparameterSpace(family="cosine", initial=0.3, learn=False)
    space = ScheduleSpace({"lr": fixed, "momentum": HyperparameterSpace(low=0.0, high=1.0)})
    assert space.names == ["momentum[0]"]
    assert space.from_vector([0.5]).at("lr", 0, 10) == pytest.approx(0.3)
    assert space.from_vector([0.5]).at("lr", 5, 10) == pytest.approx(0.15)


def test_windows_of_a_curve_are_refused() -> None:
    with pytest.raises(TypeError, match="lr is a cosine schedule, which has no windows"):
        ScheduleSpace({"lr": COSINE}).initial["lr"]


def test_a_curve_changes_at_every_step() -> None:
    schedule = ScheduleSpace({"lr": COSINE}).initial
    assert list(constant_segments(schedule, 6, 2, 5)) == [(2, 3), (3, 4), (4, 5)]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"family": "cosine", "windows": 3}, "windows = 3: a cosine schedule has none"),
        ({"family": "constant", "windows": 3}, "windows = 3: a constant schedule has none"),
        ({"warmup": 0.1}, "warmup: a piecewise schedule has none"),
        ({"family": "constant", "final": 0.1}, "final: a constant schedule has none"),
        ({"family": "cosine", "initial": [0.0]}, "a cosine schedule has one peak"),
        ({"family": "cosine", "warmup": 2.0}, "got 2.0 \\(allowed: a number from 0 to 1"),
        ({"family": "cosine", "warmup": True}, "got True"),
        ({"family": "cosine", "warmup": float("nan")}, "got nan"),
        ({"family": "cosine", "final": {"low": 0.5, "high": 0.1}}, "low = 0.5 must be below high = 0.1"),
        ({"family": "cosine", "final": {"initial": 0.5, "high": 0.1}}, "initial = 0.5 is outside"),
        ({"family": "cosine", "final": {"step": 0.5}}, "step = 0.5 is more than a tenth"),
    ],
)
def test_bad_tables_are_refused(table: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HyperparameterSpace.model_validate(table)


def test_spaces_of_windows_are_written_as_before_there_were_families() -> None:
    dumped = HyperparameterSpace(windows=2).model_dump(mode="json")
    assert sorted(dumped) == ["high", "initial", "learn", "low", "scale", "step", "windows"]
    table = HyperparameterSpace(family="cosine", warmup=0.1).model_dump(mode="json")
    assert {key: table[key] for key in ("family", "warmup")} == {"family": "cosine", "warmup": 0.1}
    assert "final" not in table
    assert HyperparameterSpace.model_validate(table) == HyperparameterSpace(family="cosine", warmup=0.1)
