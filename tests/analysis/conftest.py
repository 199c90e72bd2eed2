"""Fixtures of the analysis tests."""

from __future__ import annotations

import pytest
from fabricate import Results, make_study


@pytest.fixture
def results() -> Results:
    """An empty collection of results to add runs to."""
    return Results()


@pytest.fixture
def study() -> Results:
    """Two problems, six methods, five seeds; one failed cell, methods that never get there."""
    return make_study()
