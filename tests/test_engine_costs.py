"""The engine's table of costs knows every built-in model, and times the same model on both sides."""

from __future__ import annotations

import math

import pytest
from hpobench_fds.benchmarks.engine.models import model_costs
from hpobench_fds.benchmarks.engine.trainer import SHAPES, module_of

from hpobench_fds.nn.zoo import MODELS


def test_every_model_has_a_row() -> None:
    assert SHAPES.keys() == MODELS.keys()


@pytest.mark.parametrize("model", ["tab-mlp", "gpt-nano"])
def test_a_row_is_of_times_that_were_taken(model: str) -> None:
    row = model_costs(model, rounds=1)
    assert row["parameters"] == sum(p.numel() for p in module_of(model).parameters())
    for name in ("plain_ms", "product", "tangent", "func_plain", "func_product", "func_tangent"):
        assert isinstance(row[name], float)
        assert 0 < row[name] < math.inf  # type: ignore[operator]
