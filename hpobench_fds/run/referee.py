"""The referee: the one holder of the test data, always off the method's clock.

Validation steers, test only reports: nothing measured here goes back to a method.
"""

from __future__ import annotations

import math

import torch

from hpobench_fds.data.splits import Split
from hpobench_fds.records.schema import FinalRecord
from hpobench_fds.schedule import Schedule
from hpobench_fds.seeds import derive
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import Problem, TestData
from hpobench_fds.training.state import Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer, evaluate_on


class FullTrainer(Trainer):
    """Trains on all examples, validation included: one draw of initialisation and order a seed.

    It counts on a clock of its own, so that a retraining adds nothing to the method's cost.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed, Clock())

    def _draw(self, trial: int) -> int:
        return derive(self.seed, "final")

    def _split(self, draw: int) -> Split:
        return Split(train=torch.arange(len(self.problem.y)), validation=torch.arange(0))


class Referee:
    """Measures weights on the test data, and retrains schedules from scratch on training + validation."""

    def __init__(self, problem: Problem, test: TestData, seed: int) -> None:
        self._problem, self._test, self._seed = problem, test, seed

    def measure(self, state: TrainState) -> Evaluation:
        """Test loss and accuracy of a state's weights."""
        return evaluate_on(self._problem, state, self._test.x, self._test.y)

    def retrain(self, schedule: Schedule) -> tuple[Evaluation, int | None]:
        """Test loss and accuracy of a schedule trained over the final horizon, and where it diverged.

        A network that diverged guesses: its accuracy is that of chance, its loss infinite.
        """
        trainer = FullTrainer(self._problem, self._seed)
        training = trainer.train(trainer.start(0), schedule, horizon=self._problem.final_horizon)
        measured = self.measure(training.state)
        if not math.isfinite(measured.loss):
            return Evaluation(math.inf, 1 / self._problem.classes), training.diverged_at
        return measured, training.diverged_at

    def final(self, incumbent: Schedule, last: Schedule) -> FinalRecord:
        """The incumbent retrained, and the last schedule beside it, retrained only if it is another."""
        best, diverged_at = self.retrain(incumbent)
        final = best if last == incumbent else self.retrain(last)[0]
        return FinalRecord(
            test_loss=best.loss,
            test_accuracy=best.accuracy,
            diverged_at=diverged_at,
            last_test_loss=final.loss,
            last_test_accuracy=final.accuracy,
        )
