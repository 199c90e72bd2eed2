"""Truncated reverse mode (Shaban et al., AISTATS 2019); one step is Luketina et al. (ICML 2016)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import reverse
from hpobench_fds.method import OuterLoop, OuterOptionsMixin, Task
from hpobench_fds.schedule import Schedule


class TruncatedReverse(OuterLoop):
    """Hypergradients through the last ``last`` inner steps alone: cheap, and blind to what came before."""

    name = "truncated_reverse"
    paper = "Shaban et al., Truncated Back-propagation for Bilevel Optimization, AISTATS 2019"

    class Options(OuterOptionsMixin):
        last: int = Field(default=100, ge=1)

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        last = self.options.last
        return reverse(task.trainer, schedule, trial, horizon=horizon, last=last, full=True)
