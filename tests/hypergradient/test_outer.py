"""Outer optimisers: where a hypergradient moves a schedule, and when the search has converged."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hpobench_fds.hypergradient.outer import CONVERGED_RANGE_SHARE, Outer, OuterOptions, build_outer
from hpobench_fds.schedule import HyperparameterSpace, ScheduleSpace

few = settings(max_examples=40, deadline=None)


def line(size: int = 3, low: float = -1.0, high: float = 1.0, **others: HyperparameterSpace) -> ScheduleSpace:
    """One linear hyperparameter ``lr`` of that many windows, and others."""
    initial = min(max(0.0, low), high)
    lr = HyperparameterSpace(windows=size, low=low, high=high, initial=initial)
    return ScheduleSpace({"lr": lr, **others})


LOG = HyperparameterSpace(low=1e-6, high=1e-2, initial=1e-4, scale="log")


def outer(space: ScheduleSpace, kind: str = "sign", step: float | None = None, **options: Any) -> Outer:
    steps = {} if step is None else dict.fromkeys(space.learned, step)
    return build_outer(OuterOptions(kind=kind, step=steps, **options), space)


# -------------------------------------------------------------------------------------------- the sign rule


def test_a_step_goes_its_length_against_the_sign_however_large_the_hypergradient_is() -> None:
    moved = outer(line(4), step=0.125).step(np.full(4, 0.5), np.array([1e-12, -3.0, 1e12, 0.0]))
    assert moved.tolist() == [0.375, 0.625, 0.375, 0.5]


def test_only_the_hyperparameter_whose_sign_flips_has_its_step_shrunk() -> None:
    rule = outer(line(4), step=0.1)
    vector = rule.step(np.zeros(4), np.array([1.0, 1.0, -1.0, -1.0]))
    vector = rule.step(vector, np.array([1.0, -1.0, -1.0, 1.0]))
    assert rule.steps.tolist() == [0.1, 0.05, 0.1, 0.05]
    # and the smaller step is the one taken
    assert vector == pytest.approx([-0.2, -0.05, 0.2, 0.05], abs=1e-15)


def test_a_step_shrinks_at_every_flip_by_the_decay_and_never_grows() -> None:
    rule = outer(line(1), step=0.1, decay=0.8)
    vector, seen = np.zeros(1), []
    for h in (1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -2.0):
        vector = rule.step(vector, np.array([h]))
        seen.append(rule.steps[0])
    expected = [0.1 * 0.8**flips for flips in (0, 0, 1, 2, 2, 2, 3)]
    assert seen == pytest.approx(expected, rel=1e-12)


def test_the_first_hypergradient_is_no_flip_and_neither_is_a_zero() -> None:
    rule = outer(line(3), step=0.1)
    for h in ([-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]):
        rule.step(np.zeros(3), np.array(h))
    assert rule.steps.tolist() == [0.1] * 3


@few
@given(st.lists(st.lists(st.floats(-10, 10), min_size=2, max_size=2), min_size=1, max_size=12))
def test_the_sign_rule_is_that_of_the_paper(hypergradients: list[list[float]]) -> None:
    """Section 4, spelled out one hyperparameter at a time."""
    rule, vector = outer(line(2, -100, 100), step=0.25), np.zeros(2)
    value, step, before = [0.0, 0.0], [0.25, 0.25], [0.0, 0.0]
    for h in hypergradients:
        vector = rule.step(vector, np.array(h))
        for i in range(2):
            sign = math.copysign(1.0, h[i]) if h[i] else 0.0
            if sign * before[i] == -1:
                step[i] /= 2
            value[i] -= step[i] * sign
            before[i] = sign
    assert vector.tolist() == value  # exact: every number is a multiple of a power of two


def test_it_finds_the_minimum_of_a_quadratic_and_converges_there() -> None:
    rule, best, vector = outer(line(2), step=0.1), np.array([0.43, -0.71]), np.zeros(2)
    for _ in range(100):
        if rule.has_converged(vector):
            break
        vector = rule.step(vector, vector - best)
    assert rule.has_converged(vector)
    assert vector == pytest.approx(best, rel=0.06)  # a step of 5 % of the value, and rounding


# ---------------------------------------------------------------------------------------------------- Rprop


def test_rprop_s_steps_grow_while_a_sign_stays_up_to_two_first_steps_and_shrink_where_it_flips() -> None:
    rule, vector, taken = outer(line(2, -100, 100), "rprop", step=0.1), np.zeros(2), []
    for h in ([1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [1.0, -1.0], [1.0, 0.0], [1.0, -1.0]):
        moved = rule.step(vector, np.array(h))
        taken.append(vector - moved)
        vector = moved
    assert np.array(taken)[:, 0] == pytest.approx([0.1, 0.12, 0.144, 0.1728, 0.2, 0.2], rel=1e-12)
    assert np.array(taken)[:, 1] == pytest.approx([0.1, 0.12, -0.06, -0.072, 0.0, -0.072], rel=1e-12)


def test_from_divergences_in_a_row_rprop_retreats_along_its_path_ever_further() -> None:
    """Half way to the last vector that it stepped from, then to the one before, two before that, four ..."""
    rule = outer(line(1, -100, 100), "rprop", step=1.0, decay=0.5)
    for at in range(10):
        rule.step(np.array([float(at)]), np.array([-1.0]))
    vector, seen = np.array([20.0]), []
    for _ in range(6):
        vector = rule.back_off(vector)
        seen.append(float(vector[0]))
    anchors, expected = (9.0, 8.0, 6.0, 2.0, 0.0, 0.0), [20.0]
    for anchor in anchors:  # the last is the initial one, which is never left behind
        expected.append((expected[-1] + anchor) / 2)
    assert seen == expected[1:]
    assert rule.steps.tolist() == [1.0]  # two first steps by then, shrunk once for all of them


def test_after_a_step_that_went_well_a_retreat_begins_anew_from_there() -> None:
    rule = outer(line(1, -100, 100), "rprop", step=1.0)
    for at in range(10):
        rule.step(np.array([float(at)]), np.array([-1.0]))
    for _ in range(3):
        rule.back_off(np.array([20.0]))
    rule.step(np.array([5.0]), np.array([-1.0]))
    assert rule.back_off(np.array([7.0])).tolist() == [6.0]
    assert rule.back_off(np.array([7.0])).tolist() == [6.5]  # 6 is where its path still led


def test_rprop_goes_on_from_its_state() -> None:
    def told(rule: Outer, rng: np.random.Generator, steps: int) -> list[list[float]]:
        vector, seen = np.zeros(2), []
        for i in range(steps):
            vector = rule.back_off(vector) if i % 5 == 4 else rule.step(vector, rng.normal(size=2))
            seen.append(vector.tolist())
        return seen

    rule, again = (outer(line(2), "rprop", step=0.1) for _ in range(2))
    told(rule, np.random.default_rng(0), 8)
    again.load_state_dict(json.loads(json.dumps(rule.state_dict())))
    assert told(rule, np.random.default_rng(1), 12) == told(again, np.random.default_rng(1), 12)


# ---------------------------------------------------------------------------------------------- first steps


def test_first_steps_are_those_that_the_space_states_or_a_twentieth_of_the_range() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=2, step=0.07),
            "momentum": HyperparameterSpace(low=-1.5, high=1.5),
            "weight_decay": HyperparameterSpace(low=-4e-3, high=4e-3, step=3e-4),
            "beta2": HyperparameterSpace(low=0.9, high=0.999, initial=0.99),
        }
    )
    assert outer(space).steps == pytest.approx([0.07, 0.07, 0.15, 3e-4, 0.05 * 0.099], rel=1e-12)


def test_a_first_step_on_a_log_scale_is_a_share_of_the_range_s_logarithm() -> None:
    assert outer(ScheduleSpace({"lr": LOG})).steps == pytest.approx([0.05 * math.log(1e4)], rel=1e-12)


def test_steps_of_the_options_come_first() -> None:
    space = line(2, weight_decay=HyperparameterSpace(low=-4e-3, high=4e-3))
    rule = build_outer(OuterOptions(step={"weight_decay": 1e-3}), space)
    assert rule.steps.tolist() == [0.1, 0.1, 1e-3]


@pytest.mark.parametrize(("step", "message"), [({"lrr": 0.1}, "'lrr'.*allowed.*lr"), ({"lr": 0.0}, "lr = 0")])
def test_a_step_size_needs_a_known_name_and_a_positive_value(step: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OuterOptions(step=step)


def test_a_step_size_for_what_is_not_learned_has_no_effect() -> None:
    space = ScheduleSpace({"lr": HyperparameterSpace(windows=2)})
    assert build_outer(OuterOptions(step={"lr": 0.3, "momentum": 0.7}), space).steps.tolist() == [0.3, 0.3]


@pytest.mark.parametrize("kind", ["sign", "rprop", "adam", "plain"])
def test_step_scale_multiplies_first_steps_stated_and_given(kind: Any) -> None:
    space = line(2, -1.0, 1.0)
    stated = build_outer(OuterOptions(kind=kind), space).steps
    assert build_outer(OuterOptions(kind=kind, step_scale=3.0), space).steps.tolist() == (3 * stated).tolist()
    assert (
        build_outer(OuterOptions(kind=kind, step={"lr": 0.1}, step_scale=0.3), space).steps.tolist()
        == [0.1 * 0.3] * 2
    )


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan, math.inf])
def test_a_step_that_is_not_positive_and_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        OuterOptions(step={"lr": value})


@pytest.mark.parametrize(
    "bad", [{"decay": 1.0}, {"decay": 0.0}, {"converged": -1.0}, {"kind": "sgd"}, {"steps": {}}]
)
def test_options_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        OuterOptions(**bad)


# ---------------------------------------------------------------------------------------------- convergence


def converged(values: list[float], steps: list[float], share: float = 0.05, high: float = 1.0) -> bool:
    rule = outer(line(len(values), -high, high), converged=share)
    rule.steps = np.array(steps)
    return rule.has_converged(np.array(values))


@pytest.mark.parametrize("sign", [1, -1])
def test_converged_means_that_every_step_is_small_against_its_value_s_magnitude(sign: int) -> None:
    """The published code compares with the value itself, so that a negative one never converges."""
    assert converged([sign * 0.4, 0.8], [0.019, 0.039])
    assert not converged([sign * 0.4, 0.8], [0.021, 0.039])
    assert not converged([sign * 0.4, 0.8], [0.019, 0.041])


def test_a_best_value_of_zero_converges_too_when_its_step_is_tiny_in_its_range() -> None:
    width = 2.0
    assert converged([0.0], [0.99 * CONVERGED_RANGE_SHARE * width])
    assert not converged([0.0], [1.01 * CONVERGED_RANGE_SHARE * width])


def test_on_a_log_scale_a_step_is_a_relative_change_already() -> None:
    rule = outer(ScheduleSpace({"lr": LOG}), converged=0.05)
    for value in (1e-6, 1e-4, 1e-2):
        rule.steps = np.array([0.051])
        assert not rule.has_converged(np.array([value]))
        rule.steps = np.array([0.049])
        assert rule.has_converged(np.array([value]))


@pytest.mark.parametrize("kind", ["adam", "plain"])
def test_other_rules_never_say_that_they_have_converged(kind: str) -> None:
    rule = outer(line(1), kind, step=1e-12)
    assert not rule.has_converged(np.array([0.5]))


# ------------------------------------------------------------------------------------ bounds and logarithms


@pytest.mark.parametrize("kind", ["sign", "rprop", "adam", "plain"])
def test_a_step_ends_at_the_bounds(kind: str) -> None:
    moved = outer(line(3), kind, step=0.15).step(np.array([0.9, -0.9, 0.0]), np.array([-1.0, 1.0, 1.0]))
    assert moved == pytest.approx([1.0, -1.0, -0.15], rel=1e-6)
    assert np.all(np.abs(moved) <= 1.0)


@few
@given(
    start=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    h=st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3),
    kind=st.sampled_from(["sign", "rprop", "adam", "plain"]),
)
def test_every_step_stays_in_the_space(start: list[float], h: list[float], kind: str) -> None:
    space = line(2, weight_decay=LOG)
    vector = space.to_vector(space.from_unit(np.array(start)))
    moved = outer(space, kind, step=3.0).step(vector, np.array(h))
    assert space.contains(space.from_vector(moved))


def test_on_a_log_scale_the_sign_rule_multiplies() -> None:
    space = line(1, weight_decay=LOG)
    moved = outer(space, step=0.3).step(np.array([0.5, 1e-4]), np.array([-1.0, 1.0]))
    assert moved == pytest.approx([0.8, 1e-4 * math.exp(-0.3)], rel=1e-12)


def test_on_a_log_scale_the_hypergradient_is_that_of_the_logarithm() -> None:
    """d f / d ln(x) = x df/dx; the plain rule shows it."""
    space = line(1, weight_decay=LOG)
    moved = outer(space, "plain", step=0.3).step(np.array([0.5, 1e-4]), np.array([0.5, 7e3]))
    assert moved == pytest.approx([0.5 - 0.3 * 0.5, 1e-4 * math.exp(-0.3 * 7e3 * 1e-4)], rel=1e-12)


# ------------------------------------------------------------------------------------------- plain and Adam

# Sizes among which none is an outlier.
ORDINARY = st.one_of(st.just(0.0), st.floats(2.0, 19.0), st.floats(-19.0, -2.0))


def test_plain_is_gradient_descent() -> None:
    space = line(2, -100, 100, momentum=HyperparameterSpace(low=-100, high=100))
    rule = build_outer(OuterOptions(kind="plain", step={"lr": 0.5, "momentum": 2.0}), space)
    assert rule.step(np.array([1.0, 2.0, 3.0]), np.array([4.0, -6.0, 0.25])).tolist() == [-1.0, 5.0, 2.5]


def test_plain_moves_by_a_tenth_of_the_range_at_most() -> None:
    """A hypergradient of 1e30 on the first step must not throw the schedule to the bound."""
    space = line(1, -100, 100, momentum=HyperparameterSpace(low=-1, high=1))
    rule = build_outer(OuterOptions(kind="plain", step={"lr": 0.5, "momentum": 2.0}), space)
    assert rule.step(np.array([1.0, 0.5]), np.array([1e30, -3e25])).tolist() == pytest.approx([-19.0, 0.7])


@pytest.mark.parametrize("kind", ["adam", "plain"])
@pytest.mark.parametrize("at", [0, 3, 7])
def test_one_hypergradient_of_1e30_costs_a_few_steps_not_sixty(kind: str, at: int) -> None:
    """On |x - 3| with noise: where it would be without the outlier, or near."""
    space = line(1, -10, 10)
    rng, found = np.random.default_rng(0), []
    for outlier in (False, True):
        rule = build_outer(OuterOptions(kind=kind, step={"lr": 0.1}), space)
        vector = np.array([0.0])
        for index in range(60):
            slope = np.sign(vector - 3) * rng.uniform(0.8, 1.2, 1)
            vector = rule.step(vector, -1e30 * np.ones(1) if outlier and index == at else slope)
        found.append(float(vector[0]))
    assert found == pytest.approx([3.0, 3.0], abs=0.5)


def test_an_outlier_is_one_against_what_comes_later_too_and_zeros_tell_of_no_size() -> None:
    rule = build_outer(OuterOptions(kind="adam", step={"lr": 0.1}), line(2, -10, 10))
    for h in ([1e30, 0.0], [1.0, 0.0], [-2.0, 3.0]):
        rule.step(np.zeros(2), np.array(h))
    assert rule._without_outliers().tolist() == [[20.0, 0.0], [1.0, 0.0], [-2.0, 3.0]]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(ORDINARY, min_size=2, max_size=2), min_size=1, max_size=12))
def test_adam_is_that_of_torch(hypergradients: list[list[float]]) -> None:
    space = line(1, -1e6, 1e6, momentum=HyperparameterSpace(low=-1e6, high=1e6))
    rule = build_outer(OuterOptions(kind="adam", step={"lr": 0.1, "momentum": 0.03}), space)
    vector = np.array([0.5, -2.0])
    twins = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in vector]
    groups = [{"params": [twins[0]], "lr": 0.1}, {"params": [twins[1]], "lr": 0.03}]
    optimiser = torch.optim.Adam(groups)
    for h in hypergradients:
        vector = rule.step(vector, np.array(h))
        for twin, part in zip(twins, h, strict=True):
            twin.grad = torch.tensor([part], dtype=torch.float64)
        optimiser.step()
        assert vector == pytest.approx([t.item() for t in twins], rel=1e-12, abs=1e-12)


# --------------------------------------------------------------------------- what is not finite, divergence


@pytest.mark.parametrize("kind", ["sign", "adam", "plain"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_hypergradient_that_is_not_finite_is_refused_and_changes_nothing(kind: str, bad: float) -> None:
    rule = outer(line(2), kind)
    rule.step(np.zeros(2), np.array([1.0, -1.0]))
    before = rule.state_dict()
    with pytest.raises(ValueError, match="not finite"):
        rule.step(np.array([0.1, 0.1]), np.array([1.0, bad]))
    assert rule.state_dict() == before


@pytest.mark.parametrize("kind", ["sign", "adam", "plain"])
def test_back_off_goes_half_way_to_the_last_good_vector_with_smaller_steps(kind: str) -> None:
    rule = outer(line(2), kind, step=0.4, decay=0.25)
    good = np.array([0.2, -0.4])
    bad = rule.step(good, np.array([-1.0, 1.0]))
    again = rule.back_off(bad)
    assert again == pytest.approx((good + bad) / 2, rel=1e-12)
    assert rule.steps.tolist() == [0.1, 0.1]
    # that diverged as well: nearer still to the same good one
    assert rule.back_off(again) == pytest.approx((3 * good + bad) / 4, rel=1e-12)
    assert rule.steps.tolist() == [0.025, 0.025]


def test_back_off_before_any_success_goes_towards_the_initial_vector() -> None:
    space = ScheduleSpace({"lr": HyperparameterSpace(initial=0.5)})
    assert outer(space).back_off(np.array([1.0])).tolist() == [0.75]


def test_back_off_goes_half_way_in_the_logarithm_on_a_log_scale() -> None:
    rule = outer(ScheduleSpace({"lr": LOG}))
    rule.step(np.array([1e-5]), np.array([1.0]))
    assert rule.back_off(np.array([1e-3])) == pytest.approx([1e-4], rel=1e-12)


# ------------------------------------------------------------------------------------ going on from a state


def gradients(seed: int, steps: int, size: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(steps, size)))


@pytest.mark.parametrize("kind", ["sign", "adam", "plain"])
@pytest.mark.parametrize("diverged", [False, True])
def test_a_rule_rebuilt_from_its_state_goes_on_identically(kind: str, diverged: bool) -> None:
    space = line(2, weight_decay=LOG)
    rule = outer(space, kind, step=0.01)
    vector = space.to_vector(space.initial)
    for h in gradients(0, 5, 3):
        vector = rule.step(vector, h)
    if diverged:
        vector = rule.back_off(vector)
    twin, copy = outer(space, kind, step=0.01), vector.copy()
    twin.load_state_dict(json.loads(json.dumps(rule.state_dict())))
    for at, h in enumerate(gradients(1, 6, 3)):
        if at in (0, 2):
            vector, copy = rule.back_off(vector), twin.back_off(copy)
        vector, copy = rule.step(vector, h), twin.step(copy, h)
        assert copy.tolist() == vector.tolist()
        assert twin.state_dict() == rule.state_dict()
    # the state is needed: without it the rule goes elsewhere
    if kind != "plain":
        fresh = outer(space, kind, step=0.01)
        assert fresh.step(vector, h).tolist() != rule.step(vector, h).tolist()


@pytest.mark.parametrize("kind", ["sign", "adam", "plain"])
def test_a_fresh_rule_has_a_state_too(kind: str) -> None:
    rule, twin = outer(line(2), kind), outer(line(2), kind)
    twin.load_state_dict(json.loads(json.dumps(rule.state_dict())))
    assert twin.back_off(np.array([0.5, 0.5])).tolist() == rule.back_off(np.array([0.5, 0.5])).tolist()


def test_a_state_is_a_copy() -> None:
    rule = outer(line(1), step=0.1)
    state = rule.state_dict()
    vector = rule.step(np.zeros(1), np.array([1.0]))
    rule.step(vector, np.array([-1.0]))
    assert state["steps"] == [0.1]
