"""The search that weighs windows against constants and cosines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hpobench_fds.benchmarks.search import comparing
from hpobench_fds.benchmarks.search.__main__ import page, record
from hpobench_fds.benchmarks.search.comparing import compared, gains, interval
from hpobench_fds.benchmarks.search.families import families
from hpobench_fds.benchmarks.search.figures import draw
from hpobench_fds.benchmarks.search.searching import searched

from hpobench_fds.schedule import Schedule
from hpobench_fds.training.problem import ProblemConfig, load_problem

CONFIG = ProblemConfig.model_validate(
    {
        "dataset": "digits", "train_limit": 200, "test_limit": 100, "validation_fraction": 0.25,
        "horizon": 14, "batch_size": 16,
        "space": {
            "lr": {"windows": 7, "low": 0.01, "high": 1.0, "initial": 0.1, "scale": "log"},
            "momentum": {"low": 0.0, "high": 0.9, "initial": 0.5},
        },
    }
)  # fmt: skip


def test_families_differ_in_the_rate_alone() -> None:
    found = families(CONFIG)
    assert found["windows"] == CONFIG
    spaces = {name: one.schedule_space().names for name, one in found.items()}
    assert spaces["constant"] == ["lr[0]", "momentum[0]"]
    assert spaces["cosine to 0"] == ["lr.peak", "momentum[0]"]
    assert spaces["cosine with warm-up and end"] == ["lr.peak", "lr.warmup", "lr.final", "momentum[0]"]
    assert len(spaces["windows"]) == 8


def test_a_schedule_of_another_family_is_a_start() -> None:
    """A cosine as windows: their middles; windows as a cosine: their peak."""
    found = families(CONFIG)
    cosine, windows = (found[name].schedule_space() for name in ("cosine to 0", "windows"))
    curve = cosine.from_vector([0.5, 0.3])
    near = windows.from_unit(comparing._near(curve, windows, 14))
    np.testing.assert_allclose(
        near["lr"], [curve.at("lr", 2 * i + 1, 14) for i in range(6)] + [0.01], rtol=0.3
    )
    assert near["momentum"] == pytest.approx((0.3,))
    steps = Schedule.of({"lr": [0.1, 0.4, 0.2, 0.1, 0.1, 0.1, 0.1], "momentum": 0.3, "weight_decay": 0.0})
    back = comparing._near(steps, cosine, 14)
    assert cosine.to_vector(cosine.from_unit(back)) == pytest.approx([0.4, 0.3])


def test_an_interval_is_students() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    mean, low, high = interval(values)
    half = 3.182446 * values.std(ddof=1) / 2
    assert (mean, low, high) == pytest.approx((2.5, 2.5 - half, 2.5 + half), rel=1e-6)


def test_a_search_finds_what_its_start_is_not() -> None:
    problem, _ = load_problem(families(CONFIG)["constant"])
    poor = np.array([0.0, 0.0])  # a rate of 0.01: too small for 14 steps
    found = searched(problem, [poor], evaluations=51, draws=1)
    assert found.schedule.shape("lr")[0] > 0.03
    assert found.error < 0.5
    again = searched(problem, [poor], evaluations=51, draws=1)
    assert again.schedule == found.schedule


@pytest.mark.slow
def test_families_are_compared_in_the_same_draws(tmp_path: Path) -> None:
    results = compared(CONFIG, evaluations=51, draws=1, retrainings=3)
    assert [one.family for one in results] == list(families(CONFIG))
    assert len({one.found.trainings for one in results}) == 1
    windows = results[-1].accuracies
    for family, mean, low, high in gains(results):
        other = next(one for one in results if one.family == family)
        assert mean == pytest.approx(float((windows - other.accuracies).mean()))
        assert low <= mean <= high
    draw(results, 14, tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 10_000
    what = {"suite": "s", "problem": "p", "evaluations": 51, "draws": 1, "retrainings": 3}
    assert json.loads(json.dumps(record(results, what)))["families"]["windows"]["trainings"] > 0
    assert "| windows have more than |" in page(results, what)
