"""What is tuned: sharing over windows, the flat view of a space, its bounds and how it is sampled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace, window_index, window_start

horizons = st.integers(1, 400)
shared = horizons.flatmap(lambda T: st.tuples(st.integers(1, T), st.just(T)))  # windows <= horizon


def three_kinds() -> ScheduleSpace:
    """A linear range over three windows, one that is not learned, a logarithmic one over two."""
    return ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=3, low=-1.0, high=2.0, initial=0.5),
            "momentum": HyperparameterSpace(initial=0.9, learn=False),
            "weight_decay": HyperparameterSpace(windows=2, low=1e-5, high=1e-1, initial=1e-3, scale="log"),
        }
    )


# ---------------------------------------------------------------------------- sharing over contiguous steps


@given(n=st.integers(1, 50), step=st.integers(0, 10**6), horizon=st.integers(1, 10**6))
def test_a_step_falls_in_window_floor_of_n_t_over_T(n: int, step: int, horizon: int) -> None:  # noqa: N802
    assert window_index(n, step, horizon) == math.floor(n * step / horizon)


def test_windows_of_a_horizon_that_they_do_not_divide() -> None:
    assert [window_index(3, t, 10) for t in range(10)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [window_start(3, i, 10) for i in range(3)] == [0, 4, 7]


@given(shared)
def test_windows_are_contiguous_and_all_are_used(case: tuple[int, int]) -> None:
    n, horizon = case
    indices = [window_index(n, t, horizon) for t in range(horizon)]
    assert indices == sorted(indices)
    assert set(indices) == set(range(n))


@given(shared)
def test_lengths_of_windows_differ_by_one_step_at_most(case: tuple[int, int]) -> None:
    n, horizon = case
    lengths = np.bincount([window_index(n, t, horizon) for t in range(horizon)])
    assert lengths.max() - lengths.min() <= 1


@given(n=st.integers(1, 60), horizon=horizons)
def test_a_window_starts_at_its_least_step_even_if_there_are_more_windows_than_steps(
    n: int, horizon: int
) -> None:
    for i in range(n):
        start = window_start(n, i, horizon)
        assert window_index(n, start, horizon) >= i
        assert start == 0 or window_index(n, start - 1, horizon) < i


@given(shared)
def test_a_schedule_has_the_value_of_the_window_that_a_step_falls_in(case: tuple[int, int]) -> None:
    n, horizon = case
    schedule = Schedule.of({"momentum": 0.9, "lr": range(n)})
    for t in range(horizon):
        assert schedule.at("lr", t, horizon) == window_index(n, t, horizon)
        assert schedule.at("momentum", t, horizon) == 0.9


# --------------------------------------------------------------------------------------------- the schedule


def test_a_schedule_is_a_value() -> None:
    one = Schedule.of({"lr": [0.1, 0.2], "momentum": 0.9})
    same = Schedule.of({"lr": (0.1, 0.2), "momentum": [0.9]})
    assert one == same
    assert len({one, same, Schedule.of({"lr": [0.1, 0.3], "momentum": 0.9})}) == 2
    assert one["lr"] == (0.1, 0.2)
    assert one.names == ("lr", "momentum")
    assert one.as_dict() == {"lr": [0.1, 0.2], "momentum": [0.9]}
    assert "lr" in one
    assert "decay" not in one
    with pytest.raises(KeyError, match="decay"):
        one["decay"]


def test_a_schedule_holds_plain_floats_whatever_it_is_made_of() -> None:
    schedule = Schedule.of({"lr": np.array([1, 2]), "momentum": 1})
    assert schedule.values == (("lr", (1.0, 2.0)), ("momentum", (1.0,)))
    assert all(type(value) is float for _, values in schedule.values for value in values)


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(0.5),
        np.float32(0.5),
        np.int64(2),
    ],
)
def test_a_number_of_any_kind_is_one_window(scalar: Any) -> None:
    assert Schedule.of({"lr": scalar})["lr"] == (float(scalar),)


# -------------------------------------------------------------------------------------------- the flat view


def test_the_flat_view_lists_learned_hyperparameters_window_by_window() -> None:
    space = three_kinds()
    assert space.names == ["lr[0]", "lr[1]", "lr[2]", "weight_decay[0]", "weight_decay[1]"]
    assert space.size == 5
    assert space.low.tolist() == [-1, -1, -1, 1e-5, 1e-5]
    assert space.high.tolist() == [2, 2, 2, 1e-1, 1e-1]
    assert space.log.tolist() == [False, False, False, True, True]


def test_what_is_not_learned_keeps_its_value() -> None:
    space = three_kinds()
    schedule = space.from_vector([1.0, 2.0, 3.0, 4.0, 5.0])
    assert schedule == Schedule.of({"lr": [1, 2, 3], "momentum": 0.9, "weight_decay": [4, 5]})
    assert space.initial == Schedule.of({"lr": [0.5] * 3, "momentum": 0.9, "weight_decay": [1e-3] * 2})
    assert space.from_unit(np.zeros(5))["momentum"] == (0.9,)
    assert space.sample(np.random.default_rng(0))["momentum"] == (0.9,)


@given(st.lists(st.floats(allow_nan=False), min_size=5, max_size=5))
def test_a_vector_survives_the_way_to_a_schedule_and_back(vector: list[float]) -> None:
    space = three_kinds()
    assert space.to_vector(space.from_vector(vector)).tolist() == vector


@pytest.mark.parametrize("size", [0, 4, 6])
def test_a_vector_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} values for 5 hyperparameters"):
        three_kinds().from_vector([0.0] * size)


@pytest.mark.parametrize(("horizon", "starts"), [(9, [0, 3, 6, 0, 5]), (10, [0, 4, 7, 0, 5])])
def test_starts_are_the_first_steps_at_which_each_hyperparameter_acts(
    horizon: int, starts: list[int]
) -> None:
    space = three_kinds()
    assert space.starts(horizon) == starts
    for i, start in enumerate(starts):  # a change of one hyperparameter is first seen at its start
        moved = space.to_vector(space.initial)
        moved[i] = 0.07
        changed = [
            t
            for t in range(horizon)
            for name in space.learned
            if space.from_vector(moved).at(name, t, horizon) != space.initial.at(name, t, horizon)
        ]
        assert min(changed) == start


def test_the_description_names_every_hyperparameter_and_rebuilds_the_space() -> None:
    space = three_kinds()
    described = space.describe()
    assert list(described) == ["lr", "momentum", "weight_decay"]
    again = ScheduleSpace({name: HyperparameterSpace(**values) for name, values in described.items()})
    assert again.spaces == space.spaces


# --------------------------------------------------------------------------------------------------- bounds


@given(st.lists(st.floats(allow_nan=False), min_size=5, max_size=5))
def test_clipping_moves_to_the_nearest_vector_inside(vector: list[float]) -> None:
    space = three_kinds()
    clipped = space.clip(np.array(vector))
    assert clipped.tolist() == [
        sorted((value, low, high))[1] for value, low, high in zip(vector, space.low, space.high, strict=True)
    ]
    assert space.contains(space.from_vector(clipped))
    assert space.contains(space.from_vector(vector)) == (clipped.tolist() == vector)


def test_a_space_contains_its_bounds_and_nothing_beyond_and_no_other_sharing() -> None:
    space = three_kinds()
    assert space.contains(space.from_vector(space.low))
    assert space.contains(space.from_vector(space.high))
    assert space.contains(space.initial)
    assert not space.contains(space.from_vector(np.nextafter(space.high, np.inf)))
    assert not space.contains(space.from_vector([0, 0, math.nan, 1e-3, 1e-3]))
    assert not space.contains(Schedule.of({"lr": [0.5] * 4, "momentum": 0.9, "weight_decay": [1e-3] * 2}))


# ------------------------------------------------------------------------------------------------- sampling


def test_the_unit_cube_is_mapped_linearly_or_logarithmically() -> None:
    space = three_kinds()
    assert space.from_unit(np.zeros(5)) == space.from_vector(space.low)
    assert space.from_unit(np.ones(5)) == space.from_vector(space.high)
    quarter = space.to_vector(space.from_unit(np.full(5, 0.25)))
    assert quarter == pytest.approx([-0.25, -0.25, -0.25, 1e-4, 1e-4], rel=1e-12)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_every_point_of_the_unit_cube_lands_inside(unit: list[float]) -> None:
    space = three_kinds()
    assert space.contains(space.from_unit(np.array(unit)))


def test_samples_are_uniform_in_the_scale_of_each_range() -> None:
    space = three_kinds()
    rng = np.random.default_rng(0)
    draws = np.array([space.to_vector(space.sample(rng)) for _ in range(2000)])
    share = (draws - space.low) / (space.high - space.low)
    share[:, space.log] = np.log10(draws[:, space.log] / 1e-5) / 4
    # Kolmogorov-Smirnov distance to the uniform distribution: above 3.05 / sqrt(n) in 1 of 1e8 samples
    # (P(sqrt(n) D > x) <= 2 exp(-2 x^2)); sampling the logarithmic range linearly gives 0.66.
    ranks = (np.arange(2000)[:, None] + 0.5) / 2000
    distance = np.abs(np.sort(share, axis=0) - ranks).max(0)
    assert distance.max() < 3.05 / math.sqrt(2000)
    # independent of one another: a correlation of 2000 pairs has sd 0.022, this is 6 sd
    correlation = np.corrcoef(share.T) - np.eye(5)
    assert np.abs(correlation).max() < 6 / math.sqrt(2000)


def test_equal_streams_draw_equal_schedules_and_go_on_differently() -> None:
    space = three_kinds()
    rng, twin = np.random.default_rng(3), np.random.default_rng(3)
    first, second = space.sample(rng), space.sample(rng)
    assert (first, second) == (space.sample(twin), space.sample(twin))
    assert first != second
    assert first != space.sample(np.random.default_rng(4))


# ------------------------------------------------------------------------------------- an initial schedule


def test_initial_may_be_a_list_with_a_value_for_each_window() -> None:
    falling = HyperparameterSpace(windows=3, low=0.0, high=1.0, initial=[0.9, 0.5, 0.1])
    space = ScheduleSpace({"lr": falling, "momentum": HyperparameterSpace(initial=0.5)})
    assert space.initial == Schedule.of({"lr": [0.9, 0.5, 0.1], "momentum": 0.5})
    assert space.to_vector(space.initial).tolist() == [0.9, 0.5, 0.1, 0.5]
    assert space.contains(space.initial)


def test_a_schedule_that_is_not_learned_stays_what_it_is() -> None:
    fixed = HyperparameterSpace(windows=2, initial=[0.5, 0.9], learn=False)
    space = ScheduleSpace({"lr": HyperparameterSpace(), "momentum": fixed})
    assert space.size == 1
    assert space.from_vector([0.3]) == Schedule.of({"lr": 0.3, "momentum": [0.5, 0.9]})


def test_an_initial_schedule_survives_its_way_through_json() -> None:
    space = HyperparameterSpace(windows=2, initial=[0, 0.5])
    assert space.model_dump(mode="json")["initial"] == [0.0, 0.5]
    assert HyperparameterSpace.model_validate_json(space.model_dump_json(), strict=True) == space
    assert HyperparameterSpace(initial=1).model_dump(mode="json")["initial"] == 1.0


# ------------------------------------------------------------------------------------------ what is refused

bad_ranges: list[tuple[dict[str, Any], str]] = [
    ({"low": 1.0, "high": 1.0}, "low = 1 must be below high = 1"),
    ({"low": 2.0, "high": 1.0}, "low = 2 must be below high = 1"),
    ({"low": 0.0, "high": 1.0, "initial": 1.5}, r"initial = 1.5 is outside \[0, 1\]"),
    ({"low": 0.0, "high": 1.0, "initial": -0.1}, r"initial = -0.1 is outside \[0, 1\]"),
    ({"low": 0.0, "high": 1.0, "scale": "log"}, "low = 0 must be above 0 on a log scale"),
    ({"low": -1.0, "high": 1.0, "scale": "log"}, "low = -1 must be above 0 on a log scale"),
    ({"low": math.nan}, "low = nan is not finite"),
    ({"low": -math.inf}, "low = -inf is not finite"),
    ({"high": math.inf}, "high = inf is not finite"),
    ({"initial": math.nan}, "initial = nan is not finite"),
    ({"initial": math.inf, "learn": False}, "initial = inf is not finite"),
    ({"windows": 3, "initial": [0.1, 0.2]}, "initial has 2 values for 3 windows"),
    ({"initial": [0.1, 0.2], "learn": False}, "initial has 2 values for 1 windows"),
    ({"windows": 2, "low": 0.0, "initial": [0.5, -0.5]}, r"initial\[1\] = -0.5 is outside \[0, 1\]"),
    ({"windows": 2, "initial": [0.1, math.nan]}, r"initial\[1\] = nan is not finite"),
    ({"initial": []}, "a number, or a list of one for each window"),
    ({"initial": "0.1"}, "got '0.1' .allowed: a number, or a list"),
    ({"windows": 2, "initial": [0.1, "x"]}, "a number, or a list of one for each window"),
    ({"initial": True}, "a number, or a list of one for each window"),
    ({"windows": 0}, "greater than or equal to 1"),
    ({"windows": 1.5}, "integer"),
    ({"scale": "cubic"}, "'linear' or 'log'"),
    ({"lower": 0.0}, "lower"),
]


@pytest.mark.parametrize(("range_", "says"), bad_ranges)
def test_a_range_that_makes_no_sense_is_refused_with_the_bad_value(range_: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        HyperparameterSpace(**range_)


@pytest.mark.parametrize(
    "fine",
    [
        lambda: HyperparameterSpace(low=0.0, high=1.0, initial=0.0),
        lambda: HyperparameterSpace(low=0.0, high=1.0, initial=1.0),
        lambda: HyperparameterSpace(low=1e-9, high=1.0, initial=1e-9, scale="log"),
        lambda: HyperparameterSpace(initial=5.0, learn=False),  # a range that nothing searches
    ],
)
def test_a_range_may_start_at_its_bounds_and_a_fixed_value_needs_none(
    fine: Callable[[], HyperparameterSpace],
) -> None:
    space = fine()
    assert ScheduleSpace({"lr": space}).initial["lr"] == (space.initial,)


def test_a_space_cannot_be_changed() -> None:
    space = HyperparameterSpace()
    with pytest.raises(ValidationError, match="frozen"):
        space.low = 3.0


# ---------------------------------------------------------------------------------- first steps and the prior


@pytest.mark.parametrize(
    ("space", "step"),
    [
        (HyperparameterSpace(low=-1, high=1), 0.1),
        (HyperparameterSpace(low=-1, high=1, step=0.02), 0.02),
        (HyperparameterSpace(low=1e-4, high=1, initial=0.1, scale="log"), 0.05 * math.log(1e4)),
        (HyperparameterSpace(low=1e-4, high=1, initial=0.1, scale="log", step=0.5), 0.5),
    ],
)
def test_a_first_step_is_a_twentieth_of_the_range_unless_it_is_stated(
    space: HyperparameterSpace, step: float
) -> None:
    assert space.first_step == pytest.approx(step, rel=1e-12)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"step": 0.21}, "step = 0.21 is more than a tenth of the range, 0.2"),
        (
            {"step": 1.0, "low": 1e-4, "initial": 0.1, "scale": "log"},
            "a tenth of the range, 0.92.* in natural log",
        ),
        ({"step": 0.0}, "greater than 0"),
        ({"step": float("inf")}, "finite"),
    ],
)
def test_a_first_step_is_above_zero_and_at_most_a_tenth_of_the_range(
    bad: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        HyperparameterSpace.model_validate({"low": -1, "high": 1, **bad})
    assert HyperparameterSpace(low=-1, high=1, step=0.2).first_step == 0.2


def test_what_is_not_learned_may_have_any_step() -> None:
    assert HyperparameterSpace(initial=0.5, learn=False, step=3.0).step == 3.0


def test_the_prior_is_a_normal_of_two_first_steps_about_the_initial_schedule_cut_to_the_box() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(low=1e-3, high=1, initial=0.5, scale="log", step=0.6),
            "momentum": HyperparameterSpace(windows=2, low=-1.0, high=1.0, initial=(0.0, 0.9), step=0.1),
        }
    )
    rng = np.random.default_rng(0)
    drawn = np.array([space.to_vector(space.sample_prior(rng)) for _ in range(4000)])
    for values, centre, scale, low, high in (
        (np.log(drawn[:, 0]), math.log(0.5), 1.2, math.log(1e-3), 0.0),
        (drawn[:, 1], 0.0, 0.2, -1.0, 1.0),
        (drawn[:, 2], 0.9, 0.2, -1.0, 1.0),
    ):
        truth = stats.truncnorm((low - centre) / scale, (high - centre) / scale, centre, scale)
        assert stats.kstest(values, truth.cdf).pvalue > 1e-3  # a seed in a thousand would fail


def test_coordinates_go_both_ways() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(low=1e-3, high=1, initial=0.5, scale="log"),
            "momentum": HyperparameterSpace(low=-1.0, high=1.0),
        }
    )
    vector = np.array([0.02, -0.3])
    assert space.to_coordinates(vector) == pytest.approx([math.log(0.02), -0.3])
    assert space.from_coordinates(space.to_coordinates(vector)) == pytest.approx(vector)
    assert space.from_coordinates(np.array([7.0, -9.0])).tolist() == [1.0, -1.0]
