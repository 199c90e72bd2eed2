"""The numbers of every method are those that were recorded, bit for bit where the machine is the same."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from pinned_run import PINNED, SUITE, cells, machine, numbers

RECORD: dict[str, Any] = json.loads(PINNED.read_text())
SAME_MACHINE = RECORD["machine"] == machine()
# Elsewhere other kernels round differently, and training makes the most of it: in float64 it stays small.
ELSEWHERE = 1e-6
# Of a thousand rates it takes the one of the largest deviation, all but alike: rounding decides.
RESTLESS = ("autolrs",)
DOUBLE = [name for name, problem in SUITE["problems"].items() if problem.get("dtype") == "float64"]


@pytest.mark.parametrize("cell", cells())
def test_numbers_are_those_recorded(cell: str) -> None:
    if not SAME_MACHINE and cell.partition("/")[0] not in DOUBLE:
        pytest.skip("single precision is only the same on the machine it was recorded on")
    if not SAME_MACHINE and cell.partition("/")[2] in RESTLESS:
        pytest.skip("which rate it tries next is only the same on the machine it was recorded on")
    recorded, found = dict(RECORD["numbers"][cell]), numbers(cell)
    # A sum of many terms, which may be added up in another order.
    costs = [numbers_["reports"].pop("gradient_equivalents") for numbers_ in (recorded, found)]
    assert costs[1] == pytest.approx(costs[0], rel=1e-12)
    if SAME_MACHINE:
        assert _text(found) == _text(recorded)
    else:
        _assert_close(found, recorded, cell)


def test_every_method_is_pinned() -> None:
    from hpobench_fds.method.registry import methods

    adapters = {table.get("adapter", label) for label, table in SUITE["methods"].items()}
    assert adapters | {"smac"} == set(methods())  # an extra, which is not everywhere


def _text(data: object) -> str:
    """JSON, in which nan equals nan."""
    return json.dumps(data, indent=1, sort_keys=True)


def _assert_close(found: Any, recorded: Any, place: str) -> None:
    if isinstance(recorded, dict):
        assert found.keys() == recorded.keys(), place
        for key in recorded:
            _assert_close(found[key], recorded[key], f"{place}: {key}")
    elif isinstance(recorded, list):
        assert len(found) == len(recorded), place
        for i, (a, b) in enumerate(zip(found, recorded, strict=True)):
            _assert_close(a, b, f"{place}[{i}]")
    elif isinstance(recorded, float) and math.isfinite(recorded):
        assert np.isclose(found, recorded, rtol=ELSEWHERE, atol=ELSEWHERE), f"{place}: {found} {recorded}"
    else:
        assert _text(found) == _text(recorded), place
