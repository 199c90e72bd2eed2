"""Answers of recorded runs, trained again at home and elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from hpobench_fds.analysis.stats.transfer import by_method
from hpobench_fds.benchmarks.transfer.__main__ import main
from hpobench_fds.benchmarks.transfer.retrainings import answers_of, as_searched, retrained, targets_of

from hpobench_fds import run_suite
from hpobench_fds.errors import InputError
from hpobench_fds.run.referee import Referee, schedule_of
from hpobench_fds.seeds import derive
from hpobench_fds.training.problem import ProblemConfig, load_problem

SUITE = """
name = "few"
seeds = [0, 1]
[budget]
steps = 40
[problems.digits]
dataset = "digits"
model = "mlp"
horizon = 10
batch_size = 16
train_limit = 200
test_limit = 100
space.lr = { windows = 2, low = 0.0, high = 1.0, initial = 0.1, step = 0.05 }
[methods.fds]
[methods.hd]
[methods.schedule_free_sgd]
[methods.cosine]
[methods.random_search]
space.lr = { family = "cosine", warmup = { high = 0.3 } }
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    (folder / "few.toml").write_text(SUITE)
    return run_suite(folder / "few.toml", out=folder / "results").folder


def test_every_answer_is_trained_on_every_target_in_draws_of_its_own(results: Path) -> None:
    answers = answers_of(results, "digits")
    config = ProblemConfig.model_validate(answers[0].run.problem_config)
    targets = targets_of(config, [2], ["breast_cancer"])
    assert [one.name for one in targets] == ["home", "2 times the horizon", "breast_cancer"]
    assert [one.config.horizon for one in targets] == [10, 20, 10]
    assert targets[2].config.train_limit is None

    rows = retrained(answers, targets, draws=2, jobs=1)
    assert len(rows) == 5 * 2 * 3 * 2  # methods, seeds, targets, draws
    # What stands in a row is what the referee says of that answer there, in draws that no record holds.
    for answer in answers[:2]:
        problem, test = load_problem(targets[1].config)
        referee = Referee(problem, test, derive(answer.run.seed, "transfer"))
        schedule = schedule_of(answer.report, as_searched(problem, answer.run))
        expected = [referee.retrain(schedule, draw)[0].metric for draw in (0, 1)]
        own = rows[(rows["method"] == answer.run.method) & (rows["seed"] == answer.run.seed)]
        assert own.loc[own["target"] == "2 times the horizon", "test_metric"].tolist() == expected
        assert answer.run.final is not None
        assert answer.run.final.test_metric not in expected


def test_an_answer_is_of_the_space_its_method_searched(results: Path) -> None:
    # In the suite's first order or any other: the target's own space is a method's too.
    answers = answers_of(results, "digits")
    configs = {one.run.method: one.run.problem_config for one in answers}
    for named in ("random_search", "fds"):
        problem, _ = load_problem(ProblemConfig.model_validate(configs[named]))
        for answer in answers:
            seen = as_searched(problem, answer.run)
            assert seen.space.names == answer.run.schedule_names
            assert seen.x is problem.x


def test_a_table_tells_draws_from_seeds_and_counts_what_diverged() -> None:
    rows = pd.DataFrame(
        {
            "target": "home", "method": "m", "seed": [0, 0, 0, 1, 1, 1, 2, 2, 2],
            "test_metric": [0.8, 0.9, 0.7, 0.6, 0.6, 0.6, 0.5, 0.7, 0.1],
            "diverged": [False] * 8 + [True],
        }
    )  # fmt: skip
    (row,) = by_method(rows).to_dict("records")
    assert row["median"] == pytest.approx(60.0)  # of means 80, 60 and 43.3
    assert (row["low"], row["high"], row["seeds"]) == (pytest.approx(130 / 3), pytest.approx(80.0), 3)
    assert row["spread"] == pytest.approx(10.0)  # of 10, 0 and 14.1
    assert row["diverged"] == pytest.approx(1 / 9)


def test_a_folder_is_written_that_a_person_can_read(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(results), "digits", "--draws", "2", "--horizons", "3", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["transfer", *arguments])
    main()
    page = capsys.readouterr().out
    assert "## 3 times the horizon" in page
    assert "| HD (greedy) |" in page
    assert f"torch {torch.__version__}" in page
    rows = pd.read_csv(tmp_path / "out" / "retrainings.csv")
    assert len(rows) == 5 * 2 * 2 * 2
    assert all(math.isfinite(value) for value in rows["test_metric"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md", "retrainings.csv", "transfer.png",
    }  # fmt: skip


def test_a_problem_that_is_not_there_is_one_line(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="no complete run on 'digit'"):
        answers_of(results, "digit")
    monkeypatch.setattr("sys.argv", ["transfer", str(results), "digit"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
