"""How a run gets on, on stderr: plain lines, or on a terminal what every running cell is doing."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpobench_fds.wording import duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hpobench_fds.metrics import Metric
    from hpobench_fds.records.schema import ReportRecord
    from hpobench_fds.run.spent import Spent
    from hpobench_fds.run.watcher import CellResult, Watcher
    from hpobench_fds.suite.cell import Cell

BAR = 16  # columns
BLOCKS = "▁▂▃▄▅▆▇█"
SURE_ENOUGH = 0.02  # share of the work from which on its pace says more than the budgets


@contextmanager
def watcher(quiet: bool) -> Iterator[Watcher | None]:
    """The watcher that suits where stderr leads."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        watch = Live()
        with watch.live:
            yield watch
    else:
        yield Lines()


class Lines:
    """Progress as lines: one a cell."""

    def __init__(self) -> None:
        self.todo, self.done = 0, 0
        self._worth: dict[str, list[bool]] = defaultdict(list)  # by cell: whether a hypergradient is sound

    def plan(self, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int) -> None:
        self.todo = len(todo)
        self.tell(f"{len(cells)} cells, {len(cells) - len(todo)} of them settled before")

    def begin(self, cell: Cell, spent: Callable[[], Spent]) -> None:
        pass

    def report(self, cell: Cell, report: ReportRecord) -> None:
        told = report.extra.get("conditioning")
        if isinstance(told, dict) and "soundness" in told:
            self._worth[str(cell)].append(told["soundness"] == "ok")

    def end(self, result: CellResult) -> None:
        self.done += 1
        self.tell(f"[{self.done}/{self.todo}] {outcome(result)}")
        if noise := mostly_noise(self._worth.pop(str(result.cell), [])):
            self.tell(f"warning: {result.cell}: {noise}")

    def tell(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def mostly_noise(sound: Sequence[bool]) -> str:
    """A line if over half of a run's hypergradients are not sound (``hypergradient.conditioning``)."""
    bad = len(sound) - sum(sound)
    if 2 * bad <= len(sound):
        return ""
    return (
        f"{bad} of {len(sound)} hypergradients are ill conditioned or overflowed: rounding decides where "
        "they point; see the figure conditioning"
    )


def outcome(result: CellResult) -> str:
    """What became of a cell, in a line."""
    record = result.record
    if result.why is not None or record is None or result.verdict not in ("complete", "complete before"):
        return str(result)
    text = f"{result.cell}: {record.stopped}, {record.reports} reports in {record.clock.method:.1f} s"
    if record.final is None:
        return f"{text}, {record.reason}"
    return f"{text}, final test {_told(record.final.test_metric, _metric(result.cell))}"


def _metric(cell: Cell) -> Metric:
    return cell.config.trained_for.metric


def _told(value: float, metric: Metric) -> str:
    """``accuracy 97.5 %``, ``bits a token 1.259``."""
    return f"{metric.name} {metric.text(value, 1 if metric.unit else 3)}"


@dataclass
class _Running:
    """A cell that runs: what it has spent, its incumbent in words, and the validation metric of each."""

    spent: Callable[[], Spent]
    metric: str = ""
    incumbents: list[float] = field(default_factory=list)


def _left(spent: Spent) -> str:
    """How long a cell may yet take, referee included, at the pace at which its budget was used so far."""
    used, gone = spent.used, spent.clock.elapsed
    return f"{duration(gone * (1 - used) / used)} left" if gone and SURE_ENOUGH <= used < 1 else ""


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """Values as a line of blocks, the last ``width`` of them, from the lowest to the highest shown."""
    shown = [value for value in values if math.isfinite(value)][-width:]
    if len(shown) < 2:
        return ""
    low, high = min(shown), max(shown)
    return "".join(BLOCKS[round((v - low) / (high - low or 1.0) * (len(BLOCKS) - 1))] for v in shown)


class Live(Lines):
    """The same lines above a bar for all cells and one for each that runs."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()  # it is drawn from another thread
        self._left = TimeLeft([], 1)
        # Drawing in-process takes the method's time: once a second costs it well under 1 %.
        self.live = Live(
            console=console or Console(stderr=True), get_renderable=self._render, refresh_per_second=1
        )

    def plan(self, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int) -> None:
        super().plan(cells, todo, jobs)
        self._left = TimeLeft(todo, jobs)

    def begin(self, cell: Cell, spent: Callable[[], Spent]) -> None:
        with self._lock:
            self._running[str(cell)] = _Running(spent)

    def report(self, cell: Cell, report: ReportRecord) -> None:
        super().report(cell, report)
        if report.incumbent and report.test_metric is not None:
            metric = _metric(cell)
            digits = 1 if metric.unit else 3
            val, test = (metric.text(value, digits) for value in (report.val_metric, report.test_metric))
            running = self._running[str(cell)]
            running.metric = f"incumbent val {val}, test {test}"
            running.incumbents.append(report.val_metric)

    def end(self, result: CellResult) -> None:
        with self._lock:
            self._running.pop(str(result.cell), None)
            self._left.end(result.cell)
        super().end(result)

    def tell(self, line: str) -> None:
        self.live.console.print(line, markup=False, highlight=False)

    def _render(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            running = [(name, each.spent(), each) for name, each in self._running.items()]
            left = self._left.seconds({name: spent.used for name, spent, _ in running})
        grid = Table.grid(padding=(0, 1))
        text = f"{self.done} of {self.todo}" + (f", {duration(left)} left" if left is not None else "")
        grid.add_row("cells", ProgressBar(self.todo or 1, self.done, width=BAR), text)
        for name, spent, each in running:
            told = (against(spent), _left(spent), each.metric, sparkline(each.incumbents))
            grid.add_row(Text(name), ProgressBar(1.0, spent.used, width=BAR), "  ".join(filter(None, told)))
        return grid


def against(spent: Spent) -> str:
    """The clock against the budget: ``12 s of 60 s``, with steps and gradients if they are limited."""
    seconds, steps, gradients = (
        spent.limits.get(name) for name in ("seconds", "steps", "gradient_equivalents")
    )
    text = f"{spent.clock.method:.0f} s" + (f" of {seconds:g} s" if seconds else "")
    if steps:
        text += f", {spent.cost.inner_steps} of {steps:.0f} steps"
    if gradients:
        text += f", {spent.cost.gradient_equivalents:.0f} of {gradients:.0f} gradients"
    return text


class TimeLeft:
    """How long the rest of a run may take: from the budgets, and from its pace once there is one."""

    def __init__(self, todo: Sequence[Cell], jobs: int, source: Callable[[], float] = time.monotonic) -> None:
        known = [cell.budget.seconds for cell in todo if cell.budget.seconds is not None]
        self._known = len(known) == len(todo)
        typical = sum(known) / len(known) if known else 1.0
        self._work = {str(cell): cell.budget.seconds or typical for cell in todo}
        self._total, self._done, self._jobs = sum(self._work.values()), 0.0, jobs
        self._source, self._began = source, source()

    def end(self, cell: Cell) -> None:
        """A cell is done with, however much of its budget it used."""
        self._done += self._work.pop(str(cell), 0.0)

    def seconds(self, used: dict[str, float]) -> float | None:
        """Given the share of its budget that each running cell has used; None: it cannot be told yet."""
        done = self._done + sum(self._work.get(name, 0.0) * share for name, share in used.items())
        left = self._total - done
        if self._total and done / self._total >= SURE_ENOUGH:
            return left * (self._source() - self._began) / done
        # Budgets in steps say nothing of seconds.
        return left / self._jobs if self._known else None
