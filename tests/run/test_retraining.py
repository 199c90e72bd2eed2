"""Retrained curves: which incumbents stand for all, draws that methods share, records of before."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.frames import load_retrained
from hpobench_fds.records.incumbents import incumbents
from hpobench_fds.records.schema import CostRecord, ReportRecord, RunRecord
from hpobench_fds.records.verify import verify
from hpobench_fds.run.referee import FullTrainer, Referee, points_of
from hpobench_fds.run.retraining import Refereed, referee_folder
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem
from hpobench_fds.training.state import Evaluation

MORE = {**SUITE, "seeds": [0], "referee": {"draws": 2, "points": 3}}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def record_of(folder: Path, method: str = "random_search") -> tuple[RunRecord, list[ReportRecord]]:
    files = CellFiles(cell(folder, method))
    record = files.record()
    assert record is not None
    return record, files.reports()


# ------------------------------------------------------------------------------------------ the points


def at(*seconds: float) -> list[ReportRecord]:
    return [
        ReportRecord(
            report=i,
            seconds=time,
            cost=CostRecord(),
            schedule=[],
            val_loss=1.0,
            val_metric=0.5,
            incumbent=True,
        )
        for i, time in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("seconds", "points", "chosen"),
    [
        ([1, 2, 4, 100], 1, [3]),  # the last alone
        ([1, 2, 4, 100], 2, [3, 0]),
        ([1, 2, 4, 100], 3, [3, 0, 2]),
        ([1, 2, 10, 50, 100], 3, [4, 0, 2]),  # the middle of 1 and 100 in logarithms
        ([1, 2, 10, 40, 100], 4, [4, 0, 2, 3]),
        ([1, 10, 100], 9, [2, 0, 1]),  # no more than there are
        ([1, 10, 200, 1000], "all", [3, 0, 1, 2]),
        ([0.0, 0.0, 5.0], 2, [2, 0]),  # a first report at once
        ([7.0], 4, [0]),
        ([], 4, []),
    ],
)
def test_points_are_spread_over_the_logarithm_of_time(
    seconds: list[float], points: int | str, chosen: list[int]
) -> None:
    assert [report.report for report in points_of(at(*seconds), points)] == chosen


def test_more_points_hold_those_of_fewer() -> None:
    reports = at(0.5, 0.6, 1.1, 3.0, 3.1, 8.0, 20.0, 60.0)
    for fewer in range(1, 8):
        small = {report.report for report in points_of(reports, fewer)}
        assert small < {report.report for report in points_of(reports, fewer + 1)}


# ------------------------------------------------------------------------------------------- the draws


@pytest.fixture(scope="module")
def problem() -> Problem:
    config = ProblemConfig.model_validate(SUITE["problems"]["tiny"])
    return load_problem(config, name="tiny")[0]


def test_draws_are_of_the_seed_and_their_number_alone(problem: Problem) -> None:
    first, again, other = (FullTrainer(problem, seed) for seed in (0, 0, 1))
    starts = [first.start(draw).w for draw in range(3)]
    orders = [first.data(draw).order.batch(0).tolist() for draw in range(3)]
    again.data(7)  # whatever was asked for before
    for draw in range(3):
        assert torch.equal(again.start(draw).w, starts[draw])
        assert again.data(draw).order.batch(0).tolist() == orders[draw]
        assert not torch.equal(other.start(draw).w, starts[draw])
        assert len(first.data(draw).y_validation) == 0
    assert not torch.equal(starts[0], starts[1])
    assert len({tuple(order) for order in orders}) == 3


def test_all_methods_are_retrained_in_the_same_draws(tmp_path: Path) -> None:
    run_suite(MORE, tmp_path / "out", methods="random_search")
    run_suite(MORE, tmp_path / "other", methods="fds")
    problem, test = load_problem(ProblemConfig.model_validate(SUITE["problems"]["tiny"]), name="tiny")
    for folder, method in ((tmp_path / "out", "random_search"), (tmp_path / "other", "fds")):
        record, reports = record_of(folder, method)
        for one in record.retrained:
            schedule = problem.space.from_vector(reports[one.report].schedule)
            measured, _ = Referee(problem, test, 0).retrain(schedule, one.draw)
            assert (one.test_loss, one.test_metric) == (measured.loss, measured.metric)


# ------------------------------------------------------------------------------------------- in a run


def test_a_run_has_each_point_in_each_draw_and_nothing_twice(tmp_path: Path, trained: list[Any]) -> None:
    folder = run_suite(MORE, tmp_path / "out", methods="random_search").folder
    record, reports = record_of(folder)
    found = incumbents(reports, record.budget, "val_loss")
    points = {report.report for report in points_of(found, 3)}
    assert {(one.report, one.draw) for one in record.retrained} == {(p, d) for p in points for d in (0, 1)}
    assert record.final is not None
    last = next(one for one in record.retrained if (one.report, one.draw) == (record.incumbent, 0))
    assert (record.final.test_loss, record.final.test_metric) == (last.test_loss, last.test_metric)
    assert len(trained) == len(set(trained)) <= 3 * 2 + 1
    assert verify(folder).sound
    frame = load_retrained(folder)
    assert len(frame) == len(record.retrained)


def test_as_little_is_retrained_as_ever_if_nothing_is_asked_for(tmp_path: Path, trained: list[Any]) -> None:
    folder = run_suite({**SUITE, "seeds": [0]}, tmp_path / "out", methods="random_search").folder
    record, _ = record_of(folder)
    assert [(one.report, one.draw) for one in record.retrained] == [(record.incumbent, 0)]
    assert len(trained) <= 2  # the last incumbent and the last schedule


def test_a_draw_that_diverges_is_recorded_as_diverged(tmp_path: Path, monkeypatch: Any) -> None:
    def blown(self: Referee, schedule: Schedule, draw: int) -> tuple[Evaluation, int | None]:
        return (Evaluation(math.inf, 0.1), 4) if draw == 1 else (Evaluation(0.5, 0.8), None)

    monkeypatch.setattr(Referee, "_train", blown)
    folder = run_suite(MORE, tmp_path / "out", methods="random_search").folder
    record, _ = record_of(folder)
    assert {(one.draw, one.diverged_at, one.test_metric) for one in record.retrained} == {
        (0, None, 0.8), (1, 4, 0.1)
    }  # fmt: skip
    assert record.final is not None
    assert record.final.test_metric == 0.8
    frame = load_retrained(folder)
    assert frame[frame["diverged"]]["draw"].unique().tolist() == [1]


def test_an_interrupted_referee_does_nothing_twice(
    tmp_path: Path, trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_suite(MORE, tmp_path / "whole", methods="random_search").folder
    alone = list(trained)
    trained.clear()
    with monkeypatch.context() as patch:
        train = Referee._train

        def stops(self: Referee, schedule: Schedule, draw: int) -> Any:
            if len(trained) == 2:
                raise KeyboardInterrupt
            return train(self, schedule, draw)

        patch.setattr(Referee, "_train", stops)
        with pytest.raises(KeyboardInterrupt):
            run_suite(MORE, tmp_path / "out", methods="random_search")
    run_suite(MORE, tmp_path / "out", methods="random_search")
    assert trained == alone
    first, second = record_of(whole)[0], record_of(tmp_path / "out")[0]
    assert (first.retrained, first.final) == (second.retrained, second.final)


# ------------------------------------------------------------------------------- records of before


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return copy_of_results(tmp_path / "out")


def test_more_draws_of_a_finished_folder_are_no_other_configuration(results: Path) -> None:
    again = run_suite({**SUITE, "referee": {"draws": 5, "points": "all"}}, results)
    assert {result.verdict for result in again.results} == {"complete before"}
    assert verify(results).findings == []


def test_a_folder_gains_what_it_lacks_and_nothing_else_changes(results: Path, trained: list[Any]) -> None:
    before = {path: CellFiles(path).record() for path in results.glob("cells/*/*/*")}
    told: list[str] = []
    done = referee_folder(results, draws=2, points="all", tell=told.append)
    assert (done.retrained, done.had_all, done.held, done.unfinished) == (4, 0, 0, 0)
    assert len(told) == 4
    assert done.retrainings >= len(trained) > 0
    assert verify(results).findings == []
    changed = {"retrained", "refereed", "digest"}
    for path, record in before.items():
        after = CellFiles(path).record()
        assert record is not None
        assert after is not None
        assert after.model_dump(exclude=changed) == record.model_dump(exclude=changed)
        found = incumbents(CellFiles(path).reports(), record.budget, "val_loss")
        assert {(one.report, one.draw) for one in after.retrained} == {
            (i.report, d) for i in found for d in (0, 1)
        }
    trained.clear()
    assert referee_folder(results, draws=2, points="all") == Refereed(had_all=4)
    assert trained == []


def test_it_is_recorded_where_a_run_was_retrained_afterwards(results: Path) -> None:
    assert record_of(results)[0].refereed == []
    referee_folder(results, draws=2)
    referee_folder(results, draws=2)  # has all: no second place
    (where,) = record_of(results)[0].refereed
    assert where.kind == "cpu"
    assert where.threads == 1
    assert where.commit
    assert where.software["torch"] == torch.__version__
    assert verify(results).sound


def test_an_interruption_costs_one_retraining(
    results: Path, trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        train = Referee._train

        def stops(self: Referee, schedule: Schedule, draw: int) -> Any:
            if len(trained) == 3:
                raise KeyboardInterrupt
            return train(self, schedule, draw)

        patch.setattr(Referee, "_train", stops)
        with pytest.raises(KeyboardInterrupt):
            referee_folder(results, draws=3, points=2)
    assert verify(results).findings == []
    referee_folder(results, draws=3, points=2)
    assert load_retrained(results).groupby(["method", "seed", "report"])["draw"].nunique().eq(3).all()


def test_a_cell_that_is_held_or_has_not_ended_is_left_alone(results: Path) -> None:
    running = cell(results, seed=1) / "run.json"
    data = json.loads(running.read_text())
    running.write_text(json.dumps({**data, "status": "interrupted", "finished": None, "digest": None}))
    as_it_was = running.read_bytes()
    lock = CellFiles(cell(results)).lock()
    held = (cell(results) / "run.json").read_bytes()
    done = referee_folder(results, draws=2)
    lock.release()
    assert (done.held, done.unfinished, done.retrained) == (1, 1, 2)
    assert running.read_bytes() == as_it_was
    assert (cell(results) / "run.json").read_bytes() == held


def test_an_edited_record_is_not_made_to_look_sound(results: Path) -> None:
    path = cell(results) / "run.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "jobs": 9}))
    with pytest.raises(InputError, match="edited"):
        referee_folder(results, draws=2)
    assert not verify(results).sound


def test_records_of_schema_1_gain_a_curve_by_the_rule_as_it_is_now(tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(Path(__file__).parents[1] / "assets" / "schema-1", old)
    assert len(load_retrained(old)) == 0
    done = referee_folder(old, draws=2, points=2)
    assert (done.retrained, done.retrainings) == (1, 4)
    frame = load_retrained(old)
    assert frame.groupby("report")["draw"].apply(list).tolist() == [[0, 1], [0, 1]]
    assert frame["test_metric"].iloc[-1] > 0.9
    assert verify(old).findings == []
    record = CellFiles(old / "cells" / "digits-mlp" / "fds" / "seed-0").record()
    assert record is not None
    assert record.incumbent_rule == "best"  # its reports are flagged by the rule of their time


@pytest.mark.parametrize(("draws", "points"), [(0, 1), (1, 0), (1, "some"), (1, True)])
def test_what_cannot_be_asked_for_is_told_in_a_line(results: Path, draws: int, points: Any) -> None:
    with pytest.raises(InputError) as error:
        referee_folder(results, draws=draws, points=points)
    assert len(str(error.value).splitlines()) == 1
