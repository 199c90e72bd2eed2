"""Regret, from the closed form into records, frames and the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hpobench_fds.analysis.figures.catalogue import draw_all
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.regret import with_regret

from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.training.expected import ExpectedTraining
from hpobench_fds.training.optimum import optimum_of
from hpobench_fds.training.problem import ProblemConfig, load_problem

STREAM: dict[str, Any] = {
    "dataset": "gaussian_stream", "model": "linear", "loss": "squared_error", "horizon": 20, "batch_size": 8,
    "space": {
        "lr": {"windows": 2, "low": 0.0, "high": 1.0, "initial": 0.05},
        "momentum": {"low": 0.0, "high": 0.9, "initial": 0.5},
    },
}  # fmt: skip
PLAIN = {"dataset": "digits", "train_limit": 120, "test_limit": 60, "batch_size": 8, "horizon": 10}
METHODS: dict[str, Any] = {
    "random_search": {}, "fds": {}, "hyperband": {}, "rtho": {}, "default": {},
    "cosines": {
        "adapter": "random_search", "space": {"lr": {"family": "cosine", "low": 0.01, "initial": 0.05}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suite = {
        "name": "regret", "seeds": [0, 1], "device": "cpu", "budget": {"steps": 200},
        "problems": {"stream": STREAM, "plain": PLAIN}, "methods": METHODS,
    }  # fmt: skip
    out = tmp_path_factory.mktemp("regret") / "out"
    assert run_suite(suite, out, isolate=False).exit_code == 0
    return out


def test_incumbents_have_the_expected_loss_of_their_schedule(folder: Path) -> None:
    reports = load_results(folder)
    problem, _ = load_problem(ProblemConfig.model_validate(STREAM))
    training = ExpectedTraining.of(problem)
    assert training is not None
    own = reports[(reports["problem"] == "stream") & reports["method"].isin(["random_search", "fds"])]
    for row in own.itertuples():
        if not row.incumbent:
            assert np.isnan(row.expected_loss)
            continue
        schedule = problem.space.from_vector(row.schedule)
        assert row.expected_loss == pytest.approx(training.loss(schedule, problem.horizon), rel=1e-12)
    assert reports.loc[reports["problem"] == "plain", "expected_loss"].isna().all()


def test_the_best_of_the_space_is_on_record_and_none_has_less(folder: Path) -> None:
    reports, runs = load_results(folder), load_runs(folder)
    least = runs.set_index("problem")["least_expected_loss"]
    best = optimum_of(load_problem(ProblemConfig.model_validate(STREAM))[0])
    assert best is not None
    np.testing.assert_allclose(least.loc["stream"], best.loss, rtol=1e-10)
    assert least.loc["plain"].isna().all()
    table = with_regret(reports, runs)
    assert set(table["problem"]) == {"stream"}
    regret = table.loc[table["incumbent"], "regret"]
    assert (regret >= 0).all()
    assert table.loc[~table["incumbent"], "regret"].isna().all()
    assert set(table["method"]) == set(METHODS)


def test_the_records_are_sound_and_the_figure_draws_that_problem_alone(folder: Path) -> None:
    assert verify(folder).sound
    drawn = draw_all(folder, only=["regret"], formats=("png",), out=folder / "drawn")
    assert "regret" in drawn.captions, drawn.skipped
    data = (folder / "drawn" / "regret.csv").read_text()
    assert "stream" in data
    assert "plain" not in data


def test_without_such_a_problem_there_is_no_regret(folder: Path) -> None:
    reports, runs = load_results(folder), load_runs(folder)
    with pytest.raises(NoAnswer, match="closed form"):
        with_regret(reports, runs[runs["problem"] == "plain"])


def test_a_process_of_its_own_is_told_the_least_loss_too(tmp_path: Path) -> None:
    suite = {
        "name": "apart", "seeds": [0], "device": "cpu", "budget": {"steps": 40},
        "problems": {"stream": STREAM}, "methods": {"default": {}},
    }  # fmt: skip
    assert run_suite(suite, tmp_path / "out").exit_code == 0
    assert load_runs(tmp_path / "out")["least_expected_loss"].notna().all()
