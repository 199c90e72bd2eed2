"""Methods that train once by a rule of their own: what is reported, retrained, verified and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hpobench_fds.analysis.figures.catalogue import draw_all
from hpobench_fds.analysis.stats.schedules import long_form

from hpobench_fds import load_results, load_runs, run_suite
from hpobench_fds.method import AskTell, Proposal, Report, Task
from hpobench_fds.method.conformance import assert_conforms, check_method
from hpobench_fds.method.registry import methods
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.export import export
from hpobench_fds.records.verify import verify
from hpobench_fds.run.honesty import untrue
from hpobench_fds.run.referee import FullTrainer
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.own_rules import OWN_RULES, DAdaptSGD, Prodigy, own_rule
from hpobench_fds.training.problem import ProblemConfig, load_problem
from hpobench_fds.training.state import Evaluation
from hpobench_fds.training.trainer import Trainer, evaluate_on

PROBLEM: dict[str, Any] = {
    "dataset": "digits", "train_limit": 150, "test_limit": 50, "batch_size": 8, "horizon": 18,
    "space": {"lr": {"windows": 3, "low": 0.0, "high": 0.6, "initial": 0.05, "step": 0.05}},
}  # fmt: skip


@pytest.mark.parametrize("name", OWN_RULES)
def test_they_conform(name: str) -> None:
    method = methods()[name]
    assert (method.family, method.searches) == ("baseline", False)
    assert_conforms(method)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own") / "out"
    suite = {
        "name": "own", "seeds": [0, 1], "device": "cpu", "budget": {"steps": 100}, "problems": {"p": PROBLEM},
        "methods": {**{name: {} for name in OWN_RULES}, "random_search": {}},
        "referee": {"draws": 2, "points": "all"},
    }  # fmt: skip
    assert all(result.verdict == "complete" for result in run_suite(suite, out).results)
    return out


def test_they_train_once_and_are_done(folder: Path) -> None:
    runs = load_runs(folder).query("method != 'random_search'")
    assert set(runs["stopped"]) == {"done"}
    assert set(runs["reports"]) == {1}
    assert set(runs["inner_steps"]) == {18}
    assert set(runs["searched"]) == {"nothing"}
    assert not runs["searches"].any()


def test_their_record_says_by_which_rule_and_has_no_schedule(folder: Path) -> None:
    reports = load_results(folder)
    own = reports[reports["method"] != "random_search"]
    assert all(schedule == [] for schedule in own["schedule"])
    assert set(long_form(reports)["method"]) == {"random_search"}
    for name in OWN_RULES:
        (report,) = CellFiles(folder / "cells" / "p" / name / "seed-0").reports()
        assert report.rule is not None
        assert own_rule(report.rule) == OWN_RULES[name]()


@pytest.mark.parametrize("name", OWN_RULES)
def test_the_referee_trains_by_the_rule_again(folder: Path, name: str) -> None:
    record = CellFiles(folder / "cells" / "p" / name / "seed-1").record()
    assert record is not None
    assert record.final is not None
    problem, test = load_problem(ProblemConfig.model_validate(PROBLEM), name="p")
    trainer = FullTrainer(problem, 1)
    for one in record.retrained:
        trained = trainer.train(trainer.start(one.draw), OWN_RULES[name]()).state
        assert evaluate_on(problem, trained, test.x, test.y) == Evaluation(one.test_loss, one.test_metric)
    assert len(record.retrained) == 2
    assert record.final.test_loss == record.retrained[0].test_loss


def test_verify_and_figures_take_them(folder: Path, tmp_path: Path) -> None:
    assert not verify(folder).findings
    drawn = draw_all(folder, formats=["png"], reference="random_search", out=tmp_path)
    assert "schedules" in drawn.captions
    for suffix in ("csv", "parquet"):
        assert export(folder, tmp_path / f"reports.{suffix}") == len(load_results(folder))


# ------------------------------------------------------------------------------------------ the truth


def reported(by: Any, told: Any) -> str:
    problem = load_problem(ProblemConfig.model_validate(PROBLEM), name="p")[0]
    trainer = Trainer(problem, 0, Clock())
    state = trainer.train(trainer.start(0), by or problem.space.initial).state
    evaluation = trainer.evaluate(state)
    return untrue(Report(told or problem.space.initial, evaluation, state), problem, evaluation)


def test_another_rule_than_the_one_that_was_trained_by_is_untrue() -> None:
    assert reported(Prodigy(), Prodigy()) == ""
    assert reported(None, None) == ""
    assert "prodigy" in reported(Prodigy(), DAdaptSGD())
    assert "the problem's was trained by" in reported(None, Prodigy())
    assert "the step rule that was reported is the problem's" in reported(Prodigy(), None)
    assert "trained by" in reported(Prodigy(lr=0.5), Prodigy())


class Liar(AskTell):
    """Trains by one rule and reports another."""

    name = "liar"
    paper = "none"
    family = "baseline"

    def ask(self, task: Task) -> Proposal:
        return Proposal(Prodigy(d0=1e-2))

    def run(self, task: Task) -> str:
        outcome = task.train(Prodigy(d0=1e-2), trial=0)
        task.report(Prodigy(d0=1e-1), outcome.evaluation, state=outcome.state)
        return "done"


def test_the_conformance_kit_sees_it_too() -> None:
    failed = [finding.rule for finding in check_method(Liar) if not finding.passed]
    assert failed == ["reports what it trained"]
