"""The referee: the one holder of the test data, always off the method's clock.

Validation steers, test only reports: nothing measured here goes back to a method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from hpobench_fds.data.splits import Split
from hpobench_fds.errors import InputError
from hpobench_fds.records.incumbents import incumbents
from hpobench_fds.records.schema import FinalRecord, ReportRecord, RetrainedRecord, RunRecord
from hpobench_fds.schedule import Schedule
from hpobench_fds.seeds import derive
from hpobench_fds.suite.cell import RefereeConfig
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.expected import ExpectedTraining
from hpobench_fds.training.own_rules import own_rule
from hpobench_fds.training.problem import Problem, TestData
from hpobench_fds.training.state import Evaluation, Recipe, TrainState
from hpobench_fds.training.trainer import Trainer, evaluate_on

SOONEST = 1e-3  # seconds; points of a curve this early are as good as at once

Retraining = tuple[Evaluation, int | None]
"""Test loss and accuracy of a retrained schedule, and the inner step where it diverged, if it did."""


class FullTrainer(Trainer):
    """Trains on all examples, validation included. Its trials are the referee's draws, shared by all methods.

    A draw of initialisation and order is the seed's and its number's alone: no method or cell leaves a
    trace in it. It counts on a clock of its own, so that a retraining adds nothing to the method's cost.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed, Clock())

    def _draw(self, trial: int) -> int:
        return derive(self.seed, "final", trial) if trial else derive(self.seed, "final")

    def _split(self, draw: int) -> Split:
        return Split(train=torch.arange(len(self.problem.y)), validation=torch.arange(0))


class Referee:
    """Measures weights on the test data, and retrains schedules from scratch on training + validation."""

    def __init__(self, problem: Problem, test: TestData, seed: int) -> None:
        self._problem, self._test = problem, test
        self._trainer = FullTrainer(problem, seed)
        self._training = ExpectedTraining.of(problem)
        self._known: dict[tuple[Recipe, int], Retraining] = {}

    def measure(self, state: TrainState) -> Evaluation:
        """Test loss and accuracy of a state's weights."""
        return evaluate_on(self._problem, state, self._test.x, self._test.y)

    def expected(self, schedule: Recipe) -> float | None:
        """The loss of a schedule over the horizon in expectation, where that is known in closed form."""
        if self._training is None or not isinstance(schedule, Schedule):
            return None
        return self._training.loss(schedule, self._problem.horizon)

    def retrain(self, schedule: Recipe, draw: int = 0) -> Retraining:
        """A schedule trained over the final horizon in one draw; what was trained before is known.

        A schedule may have a value for each inner step (as many windows as there are steps); a step rule of
        its own in a schedule's place takes its steps again. A network that diverged guesses: its metric is
        that of guessing, its loss infinite.
        """
        key = (schedule, draw)
        if key not in self._known:
            self._known[key] = self._train(schedule, draw)
        return self._known[key]

    def _train(self, schedule: Recipe, draw: int) -> Retraining:
        trainer, horizon = self._trainer, self._problem.final_horizon
        training = trainer.train(trainer.start(draw), schedule, horizon=horizon)
        measured = self.measure(training.state)
        if not math.isfinite(measured.loss):
            _, guessed = self._problem.objective.guessing(self._problem.classes)
            return Evaluation(math.inf, guessed), training.diverged_at
        return measured, training.diverged_at

    def remember(self, schedule: Recipe, draw: int, known: Retraining) -> None:
        """Take the result of an earlier retraining for this one's."""
        self._known[schedule, draw] = known

    def final(self, incumbent: Recipe, last: Recipe) -> FinalRecord:
        """The incumbent retrained in draw 0, and the last schedule beside it."""
        best, diverged_at = self.retrain(incumbent)
        final, _ = self.retrain(last)
        return FinalRecord(
            test_loss=best.loss,
            test_metric=best.metric,
            diverged_at=diverged_at,
            last_test_loss=final.loss,
            last_test_metric=final.metric,
        )


# ------------------------------------------------------------------------------------ anytime curves


def points_of(reports: Sequence[ReportRecord], points: int | str) -> list[ReportRecord]:
    """The incumbents that stand for all on a curve, the most important first.

    The last, then the first, then again and again the one that is farthest in the logarithm of method
    time from all that are chosen (of two as far the later): spread evenly over a logarithmic axis, and more
    points hold all of fewer points.

    Parameters
    ----------
    reports : the incumbents, in their order.
    points : how many at most, or "all".
    """
    if not reports:
        return []
    wanted = len(reports) if isinstance(points, str) else min(points, len(reports))
    logs = [math.log(max(report.seconds, SOONEST)) for report in reports]
    chosen = [len(reports) - 1]
    gaps = [math.inf if index == 0 else abs(log - logs[-1]) for index, log in enumerate(logs)]
    while len(chosen) < wanted:
        left = [index for index in range(len(reports)) if index not in chosen]
        new = max(left, key=lambda index: (gaps[index], index))
        chosen.append(new)
        gaps = [min(gap, abs(log - logs[new])) for gap, log in zip(gaps, logs, strict=True)]
    return [reports[index] for index in chosen]


def missing(
    record: RunRecord, reports: Sequence[ReportRecord], asked: RefereeConfig
) -> list[tuple[ReportRecord, int]]:
    """The reports and draws that are asked for and not on record, the most important first."""
    objective = str(record.problem_config.get("objective"))
    chosen = points_of(incumbents(reports, record.budget, objective), asked.points)
    there = {(one.report, one.draw) for one in record.retrained}
    wanted = [(report, draw) for report in chosen for draw in range(asked.draws)]
    return [(report, draw) for report, draw in wanted if (report.report, draw) not in there]


def retrain_curve(
    record: RunRecord,
    reports: Sequence[ReportRecord],
    referee: Referee,
    problem: Problem,
    asked: RefereeConfig,
    keep: Callable[[], None],
) -> None:
    """Retrain what is asked for and not on record yet, into ``record``; ``keep`` is called after each.

    Incumbents are those of the rule as it is now, whatever rule flagged the reports: a retraining needs a
    schedule alone. What was retrained before, or stands in the record's last word, is not trained again.
    """
    schedules = {report.report: schedule_of(report, problem) for report in reports}
    for one in record.retrained:
        referee.remember(schedules[one.report], one.draw, _known(one))
    if record.final is not None and record.final.report is not None:
        referee.remember(schedules[record.final.report], 0, _known(record.final))
    for report, draw in missing(record, reports, asked):
        evaluation, diverged_at = referee.retrain(schedules[report.report], draw)
        record.retrained.append(
            RetrainedRecord(
                report=report.report, draw=draw, test_loss=evaluation.loss,
                test_metric=evaluation.metric, diverged_at=diverged_at,
                by_step=report.values is not None,
            )
        )  # fmt: skip
        record.retrained.sort(key=lambda one: (one.report, one.draw))
        keep()


def refuse_without_values(record: RunRecord, where: Path) -> None:
    """Means over windows must not pass for the values of each step that ``pack`` left out of a record.

    Raises InputError for a record that it did so to.
    """
    if record.whole_trace_sha256 is not None:
        raise InputError("its values of each step were left out when it was packed", where=where)


def schedule_of(report: ReportRecord, problem: Problem) -> Recipe:
    """What is trained again of a report: the values of each of its steps if they moved, else its schedule.

    Those are recorded of incumbents. Of a method whose hyperparameters moved, other reports and those of
    older records have the means over windows alone. Of a step rule of its own it is that rule.
    """
    if report.rule is not None:
        return own_rule(report.rule)
    if report.values is not None:
        return problem.space.by_step(report.values)
    return problem.space.from_vector(report.schedule)


def _known(one: RetrainedRecord | FinalRecord) -> Retraining:
    return Evaluation(one.test_loss, one.test_metric), one.diverged_at
