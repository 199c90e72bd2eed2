"""Checkpoints: the split of every stack of stored states costs the least that any split could."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import least_steps_run, steps_run

from hpobench_fds.hypergradient.checkpoints import (
    next_state,
    reach,
    states_needed,
    sweeps_needed,
)

MOST_STEPS, MOST_STATES = 40, 8


@cache
def most_steps(states: int, sweeps: int) -> int:
    """By recursion: the most steps reversed if none runs more than ``sweeps`` times."""
    if sweeps == 0:
        return 1
    if states == 1:
        return sweeps + 1
    # up to the second state runs once more than it will in its own turn
    return most_steps(states, sweeps - 1) + most_steps(states - 1, sweeps)


@dataclass
class Reversal:
    """The stack of states that the reverse mode keeps, without the training: positions alone."""

    horizon: int
    states: int
    stack: list[int] = field(default_factory=lambda: [0])
    runs: list[int] = field(default_factory=list)  # how often each step ran
    most_stored: int = 1
    reversed: list[int] = field(default_factory=list)
    to_the_end: int = 0  # steps run from the last stored state to the final weights

    def play(self) -> Reversal:
        self.runs = [0] * self.horizon
        while len(self.stack) < self.states and self.horizon - self.stack[-1] >= 2:
            self._store(self.horizon)
        self.to_the_end = self.horizon - self.stack[-1]
        self._run(self.stack[-1], self.horizon)
        for step in reversed(range(self.horizon)):
            at = self.stack[-1]
            while at < step and len(self.stack) < self.states:
                self._store(step + 1)
                at = self.stack[-1]
            self._run(at, step)
            self.reversed.append(step)
            if self.stack[-1] == step:
                self.stack.pop()
        return self

    def _store(self, end: int) -> None:
        at = self.stack[-1]
        ahead = next_state(end - at, 1 + self.states - len(self.stack))
        assert 1 <= ahead < end - at
        self._run(at, at + ahead)
        self.stack.append(at + ahead)
        self.most_stored = max(self.most_stored, len(self.stack))

    def _run(self, begin: int, end: int) -> None:
        for step in range(begin, end):
            self.runs[step] += 1


# ---------------------------------------------------------------------------------------- how far they reach


@given(states=st.integers(1, 60), sweeps=st.integers(0, 30))
def test_reach_is_the_binomial_coefficient(states: int, sweeps: int) -> None:
    assert reach(states, sweeps) == comb(states + sweeps, states) == most_steps(states, sweeps)


def test_without_a_sweep_only_one_step_is_reached_and_with_one_as_many_as_states_and_one() -> None:
    assert [reach(states, 0) for states in (1, 2, 9)] == [1, 1, 1]
    assert [reach(states, 1) for states in (1, 2, 9)] == [2, 3, 10]
    assert reach(5, -1) == 0


@given(steps=st.integers(1, 20_000), states=st.integers(1, 300))
def test_sweeps_needed_are_the_least_that_reach(steps: int, states: int) -> None:
    sweeps = sweeps_needed(steps, states)
    assert reach(states, sweeps) >= steps
    assert sweeps == 0 or reach(states, sweeps - 1) < steps


@given(steps=st.integers(1, 20_000), sweeps=st.integers(1, 12))
def test_states_needed_are_the_least_that_reach(steps: int, sweeps: int) -> None:
    states = states_needed(steps, sweeps)
    assert reach(states, sweeps) >= steps
    assert states == 1 or reach(states - 1, sweeps) < steps


def test_without_a_state_nothing_can_be_reversed() -> None:
    with pytest.raises(ValueError, match="first state"):
        sweeps_needed(10, 0)


def test_ten_thousand_steps_need_at_most_141_states_for_two_sweeps() -> None:
    assert states_needed(10_000, 2) == 140 <= 141
    assert sweeps_needed(10_000, 140) == 2
    assert sweeps_needed(10_000, 139) == 3


# -------------------------------------------------------------------------------------------- what they cost


@pytest.mark.parametrize("states", range(1, MOST_STATES + 1))
def test_the_steps_run_again_are_the_fewest_possible(states: int) -> None:
    for horizon in range(1, MOST_STEPS + 1):
        reversal = Reversal(horizon, states).play()
        # the final weights are needed as well: the sweep goes on from the last state, which has to be
        # run through again later
        total = sum(reversal.runs) - reversal.to_the_end
        assert total == least_steps_run(horizon, states), (horizon, states)


@pytest.mark.parametrize("states", range(1, MOST_STATES + 1))
def test_the_closed_form_is_the_least_number_of_steps(states: int) -> None:
    for horizon in range(1, MOST_STEPS + 1):
        assert steps_run(horizon, states) == least_steps_run(horizon, states), (horizon, states)


@settings(max_examples=40, deadline=None)
@given(horizon=st.integers(1, 300), states=st.integers(1, 40))
def test_the_closed_form_holds_far_out_as_well(horizon: int, states: int) -> None:
    reversal = Reversal(horizon, states).play()
    assert sum(reversal.runs) - reversal.to_the_end == steps_run(horizon, states)


@settings(max_examples=40, deadline=None)
@given(horizon=st.integers(1, 300), states=st.integers(1, 40))
def test_every_step_is_reversed_in_turn_with_no_more_states_than_allowed(horizon: int, states: int) -> None:
    reversal = Reversal(horizon, states).play()
    assert reversal.reversed == list(reversed(range(horizon)))
    assert reversal.most_stored <= states
    assert reversal.stack == []  # each state was used up


@settings(max_examples=40, deadline=None)
@given(horizon=st.integers(2, 300), states=st.integers(1, 40))
def test_no_step_runs_more_often_than_the_sweeps_but_for_those_to_the_end(horizon: int, states: int) -> None:
    reversal = Reversal(horizon, states).play()
    first_of_the_end = horizon - reversal.to_the_end
    sweeps = sweeps_needed(horizon, states)
    assert max(reversal.runs[:first_of_the_end], default=0) <= sweeps
    assert max(reversal.runs[first_of_the_end:]) <= sweeps + 1


def test_with_a_state_for_every_step_none_runs_twice() -> None:
    assert Reversal(30, 30).play().runs == [1] * 30


def test_the_default_runs_ten_thousand_steps_forward_less_than_twice() -> None:
    reversal = Reversal(10_000, states_needed(10_000, 2)).play()
    assert sum(reversal.runs) < 20_000
    assert reversal.most_stored == 140
