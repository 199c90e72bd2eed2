"""Names at the ends of lines: apart, in order, and moved no more than they must."""

from __future__ import annotations

import numpy as np
import pytest
from hpobench_fds.analysis.figures.ends import shortened, spread
from hypothesis import given
from hypothesis import strategies as st


def test_those_that_are_apart_stay() -> None:
    np.testing.assert_allclose(spread(np.array([0.1, 0.5, 0.9]), 0.1), [0.1, 0.5, 0.9])


def test_two_at_one_place_move_by_half_each() -> None:
    np.testing.assert_allclose(spread(np.array([0.5, 0.5]), 0.1), [0.45, 0.55])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_neighbours_are_apart_and_on_the_page(heights: list[float]) -> None:
    moved = spread(np.sort(np.array(heights)), 0.1)
    assert (np.diff(moved) >= 0.1 - 1e-9).all()
    assert moved.min() >= -1e-9
    assert moved.max() <= 1 + 1e-9


@pytest.mark.parametrize(("name", "short"), [("FDS", "FDS"), ("x" * 40, "x" * 29 + "\u2026")])
def test_long_names_are_shortened(name: str, short: str) -> None:
    assert shortened(name) == short
