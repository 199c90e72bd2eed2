"""A suite's [referee]: what is retrained, which is no part of a cell's configuration."""

from __future__ import annotations

from typing import Any

import pytest
from real_run import SUITE

from hpobench_fds.errors import InputError
from hpobench_fds.suite.cell import RefereeConfig
from hpobench_fds.suite.config import Suite, suite_schema


def suite(**referee: Any) -> Suite:
    return Suite.from_dict({**SUITE, "referee": referee}, where="s.toml")


def test_cells_carry_it_and_their_configuration_does_not_change() -> None:
    plain, more = Suite.from_dict(SUITE), suite(draws=3, points=4)
    assert plain.cells()[0].referee == RefereeConfig(draws=1, points=1)
    assert more.cells()[0].referee == RefereeConfig(draws=3, points=4)
    assert [cell.config_hash for cell in more.cells()] == [cell.config_hash for cell in plain.cells()]
    assert more.describe() == plain.describe()
    assert suite(points="all").referee.points == "all"


@pytest.mark.parametrize(
    ("referee", "retrainings"),
    [({}, 2), ({"draws": 3}, 4), ({"draws": 3, "points": 4}, 13), ({"points": "all"}, None)],
)
def test_it_says_how_many_retrainings_a_cell_has_at_most(
    referee: dict[str, Any], retrainings: int | None
) -> None:
    assert suite(**referee).referee.retrainings() == retrainings  # and one of the last schedule


@pytest.mark.parametrize(
    ("referee", "said"),
    [
        ({"draws": 0}, "s.toml: referee.draws: got 0 (allowed: 1 or more)"),
        ({"draws": True}, "s.toml: referee.draws: got true"),
        ({"draws": 2.5}, "s.toml: referee.draws: got 2.5"),
        ({"points": 0}, "s.toml: referee.points"),
        ({"points": "some"}, "s.toml: referee.points"),
        ({"draw": 1}, "s.toml: referee: unknown key 'draw'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(referee: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        suite(**referee)
    assert str(error.value).startswith(said)
    assert len(str(error.value).splitlines()) == 1


def test_editors_know_it() -> None:
    assert "referee" in suite_schema()["properties"]
