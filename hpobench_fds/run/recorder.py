"""The runner's ear on a method: judges reports, writes them down, keeps checkpoints, off its clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hpobench_fds.method.contract import Report
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.incumbents import RULE, Scores, is_better, is_in_time
from hpobench_fds.records.schema import IncumbentRule, ReportRecord
from hpobench_fds.run.honesty import Trusting
from hpobench_fds.run.referee import Referee
from hpobench_fds.run.spent import clock_record, cost_record
from hpobench_fds.run.watcher import Quiet, Watcher
from hpobench_fds.suite.cell import Cell
from hpobench_fds.training.clock import Budget, Clock, amounts
from hpobench_fds.training.own_rules import OwnRule
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Evaluation

CHECKPOINT_SHARE = 0.05  # at most this share of a run's time goes into checkpoints
OUTSIDE_BOUNDS = 1e-9  # share of a range that rounding may carry a schedule outside it


class Recorder:
    """The runner's side of a task: judges reports, writes them down, keeps checkpoints.

    All of it is off the method's clock. ``reports`` are those of an earlier part of the same run, and
    ``rule`` is the one by which their incumbents are flagged. ``honesty`` sees whether what is told is so.
    """

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        referee: Referee,
        files: CellFiles,
        clock: Clock,
        budget: Budget,
        reports: Sequence[ReportRecord] = (),
        watch: Watcher | None = None,
        source: Callable[[], float] = time.monotonic,
        rule: IncumbentRule = RULE,
        honesty: Trusting | None = None,
    ) -> None:
        self._cell, self._problem, self._referee, self._files = cell, problem, referee, files
        self._clock, self._watch, self._source = clock, watch or Quiet(), source
        self._honesty = honesty or Trusting(clock)
        self._limits = budget.limits  # as they are now: the method holds the budget
        self._memory = _PeakMemory(problem.device)
        self._next_checkpoint, self._rule = -math.inf, rule
        self.count = len(reports)
        self.last = reports[-1] if reports else None
        self.incumbent = next((report for report in reversed(reports) if report.incumbent), None)

    def report(self, report: Report) -> None:
        with self._honesty.charge("referee"):
            seconds, cost = self._clock.seconds, cost_record(self._clock)
            self._honesty.look(report.state)
            peak = self._memory.read()
            schedule, moved = self._checked(report), self._moved(report)
            evaluation, fidelity = report.evaluation, float(report.fidelity)
            scores = Scores(float(evaluation.loss), float(evaluation.metric), fidelity)
            in_time = self._in_time(amounts(seconds, self._clock.cost))
            incumbent = in_time and self._beats(scores)
            test = self._measure(report) if incumbent else None
            self._memory.reset()
            gradient = report.hypergradient
            record = ReportRecord(
                report=self.count,
                seconds=seconds,
                cost=cost,
                schedule=schedule,
                rule=report.schedule.as_data() if isinstance(report.schedule, OwnRule) else None,
                fidelity=fidelity,
                val_loss=scores.loss,
                val_metric=scores.metric,
                incumbent=incumbent,
                test_loss=None if test is None else test.loss,
                test_metric=None if test is None else test.metric,
                expected_loss=self._expected(report) if incumbent else None,
                hypergradient=None if gradient is None else [float(h) for h in gradient],
                peak_memory=peak,
                values=moved if incumbent else None,
                extra=_plain(report.extra, "extra"),
            )
            # Inside, so that no moment between the two is booked to the method.
            with self._clock.charge("records"):
                self._write(record)

    def checkpoint(self, state: dict[str, Any]) -> None:
        if self._source() < self._next_checkpoint:
            return
        # One of after the end would stand on reports that came too late, and with a larger budget have not.
        if not self._in_time(amounts(self._clock.seconds, self._clock.cost)):
            return
        with self._honesty.charge("records"):
            self._honesty.look()
            began = self._source()
            self._files.save_checkpoint(
                {
                    "config_hash": self._cell.config_hash,
                    "clock": clock_record(self._clock).model_dump(),
                    "cost": cost_record(self._clock).model_dump(),
                    "reports": self.count,
                    "state": state,
                }
            )
            self._next_checkpoint = self._source() + (self._source() - began) / CHECKPOINT_SHARE

    def _checked(self, report: Report) -> list[float]:
        space = self._problem.space
        if isinstance(report.schedule, OwnRule):
            return []
        vector = space.to_vector(report.schedule)
        slack = OUTSIDE_BOUNDS * (space.high - space.low)
        if vector.shape != (space.size,):
            raise ValueError(f"the reported schedule has {len(vector)} values, the space has {space.size}")
        if not bool(np.all((space.low - slack <= vector) & (vector <= space.high + slack))):
            raise ValueError(f"the reported schedule is outside the space: {vector.tolist()}")
        values: list[float] = vector.tolist()
        return values

    def _moved(self, report: Report) -> list[list[float]] | None:
        """Values of each step as lists; within the bounds, one row a step that was trained."""
        if report.values is None:
            return None
        values, space = np.asarray(report.values, float), self._problem.space
        if report.state is not None and len(values) != report.state.step:
            raise ValueError(f"values of {len(values)} steps, of a training of {report.state.step}")
        if len(values):
            space.by_step(values)
        for column, (name, one) in zip(values.T, space.learned.items(), strict=True):
            slack = OUTSIDE_BOUNDS * (one.high - one.low)
            if not bool(np.all((one.low - slack <= column) & (column <= one.high + slack))):
                raise ValueError(f"values of {name} are outside [{one.low:g}, {one.high:g}]")
        found: list[list[float]] = values.tolist()
        return found

    def _in_time(self, spent: Mapping[str, float]) -> bool:
        return is_in_time(spent, self._limits)

    def _beats(self, new: Scores) -> bool:
        """Whether it takes the incumbent's place."""
        best = None if self.incumbent is None else Scores.of(self.incumbent)
        return is_better(new, best, self._problem.config.objective, self._rule)

    def _measure(self, report: Report) -> Evaluation:
        if report.state is None:
            raise ValueError("a better incumbent was reported without its trained state")
        self._honesty.check(report)
        return self._referee.measure(report.state)

    def _expected(self, report: Report) -> float | None:
        """What its schedule comes to on average; with values of each step, where they moved."""
        return self._referee.expected(report.trained(self._problem.space))

    def _write(self, record: ReportRecord) -> None:
        self._files.append(record)
        self.count, self.last = self.count + 1, record
        self.incumbent = record if record.incumbent else self.incumbent
        self._watch.report(self._cell, record)


class Ears:
    """All that a method holds of the runner. Closures: no attribute leads to the referee or its data."""

    __slots__ = ("checkpoint", "report")

    def __init__(self, recorder: Recorder) -> None:
        self.report: Callable[[Report], None] = lambda report: recorder.report(report)
        self.checkpoint: Callable[[dict[str, Any]], None] = lambda state: recorder.checkpoint(state)


class _PeakMemory:
    """Most device memory that the method has had allocated, in bytes; the CPU keeps no such count."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._peak = device, 0
        self.reset()

    def read(self) -> int | None:
        if self._device.type != "cuda":
            return None
        self._peak = max(self._peak, torch.cuda.max_memory_allocated(self._device))
        return self._peak

    def reset(self) -> None:
        """Forget what the referee used."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)


def _plain(value: Any, place: str) -> Any:
    """JSON data of what a method may put into ``extra``. Raises TypeError for anything else."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, place) for item in value]
    raise TypeError(f"{place} is a {type(value).__qualname__}, not numbers, strings, lists or dicts")
