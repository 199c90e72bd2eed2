"""Both sides of the table "Beside JAX" do the same work: their losses and hypergradients agree."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hpobench_fds.benchmarks.engine import beside_jax
from hpobench_fds.benchmarks.engine.__main__ import markdown

with_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")


@with_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "horizon", "windows"), [("mlp", 7, 2), ("lenet", 5, 2), ("wrn-16-1", 2, 1)]
)
def test_both_sides_agree_in_every_row(model: str, horizon: int, windows: int) -> None:
    rows = beside_jax.rows_of(model, horizon, windows, rounds=1)
    assert [row["mode"] for row in rows] == list(beside_jax.MODES)
    for row in rows:
        difference = row["relative_difference"]
        assert isinstance(difference, float)
        assert difference < 1e-4, row
    assert len(markdown(rows).splitlines()) == 2 + len(rows)


@with_jax
def test_a_wide_resnet_is_the_same_model() -> None:
    from hpobench_fds.benchmarks.engine import jax_side
    from hpobench_fds.benchmarks.engine.hypergradients import trainer_with

    trainer = trainer_with("wrn-16-1", 1, 1)
    side, (x, y) = jax_side.Side.of(trainer), trainer.data(0).batch(0)
    theirs = side.loss(side.w, *(part[side.batches[0]] for part in side.data))
    ours = trainer.problem.network.gradient(trainer.start(0).w, x, y).loss
    assert float(theirs) == pytest.approx(float(ours), rel=1e-5)


@with_jax
def test_scans_and_loops_are_the_same_rows() -> None:
    import numpy as np
    from hpobench_fds.benchmarks.engine import jax_loops, jax_side
    from hpobench_fds.benchmarks.engine.hypergradients import trainer_with

    trainer = trainer_with("mlp", 5, 2, lr=beside_jax.CALM)
    side = jax_side.Side.of(trainer)
    for mode in ("forward", "reverse", "reverse, full"):
        truth = beside_jax.our_side(trainer, mode)()
        for rows in (jax_side.ROWS, jax_loops.ROWS):
            found = torch.from_numpy(np.array(rows[mode](side)()))
            torch.testing.assert_close(found.double(), truth, rtol=1e-4, atol=1e-6)


def test_without_jax_it_is_left_out_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    told = beside_jax.missing()
    assert told is not None
    assert "jax is not installed" in told
    assert len(told.splitlines()) == 1
