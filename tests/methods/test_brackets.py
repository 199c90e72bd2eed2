"""Hyperband's arithmetic against the paper's table, and what holds for any R and eta."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hpobench_fds.methods._brackets import brackets, inner_steps, most_halvings, rung_resources
from hypothesis import given
from hypothesis import strategies as st


def test_the_papers_table() -> None:
    """Li et al. 2018, table 1: R = 81, eta = 3."""
    table = {bracket.s: [(rung.n, rung.r) for rung in bracket.rungs] for bracket in brackets(81, 3)}
    assert table == {
        4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        3: [(34, 3), (11, 9), (3, 27), (1, 81)],
        2: [(15, 9), (5, 27), (1, 81)],
        1: [(8, 27), (2, 81)],
        0: [(5, 81)],
    }


@pytest.mark.parametrize("eta", [2, 3, 4, 5, 10])
def test_exact_powers_lose_no_bracket(eta: int) -> None:
    for s in range(12):
        assert most_halvings(eta**s, eta) == s
        if s:
            assert most_halvings(eta**s - 1, eta) == s - 1


@given(st.integers(1, 100_000), st.integers(2, 10))
def test_what_holds_for_any_table(R: int, eta: int) -> None:
    table = brackets(R, eta)
    s_max = most_halvings(R, eta)
    assert [bracket.s for bracket in table] == list(range(s_max, -1, -1))
    for bracket in table:
        counts, resources = [rung.n for rung in bracket.rungs], [rung.r for rung in bracket.rungs]
        assert len(counts) == bracket.s + 1
        assert resources == rung_resources(R, eta, bracket.s)
        assert resources[-1] == R
        assert resources[0] >= 1
        assert all(n >= 1 for n in counts)
        for n, following in pairwise(counts):
            assert n // eta - 1 <= following <= n / eta
        # Each bracket spends about (s_max + 1) R, as the paper wants; rounding n up adds the rest.
        spent = sum(rung.n * rung.r for rung in bracket.rungs)
        assert spent <= (s_max + 1) * R + (bracket.s + 1) * R
        assert spent >= 0.3 * (s_max + 1) * R


@given(st.integers(1, 500), st.integers(2, 6), st.integers(1, 20_000))
def test_rungs_stay_apart_and_end_at_the_horizon(R: int, eta: int, horizon: int) -> None:
    R = min(R, horizon)
    steps = [inner_steps(r, R, horizon) for r in rung_resources(R, eta, most_halvings(R, eta))]
    assert steps[0] >= 1
    assert steps[-1] == horizon
    assert all(earlier < later for earlier, later in pairwise(steps))


def test_units_are_turned_into_the_nearest_step() -> None:
    assert [inner_steps(r, 81, 9250) for r in (1, 3, 9, 27, 81)] == [114, 343, 1028, 3083, 9250]
    assert inner_steps(1, 81, 9250) == math.floor(9250 / 81 + 0.5)
