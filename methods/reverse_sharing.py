"""Reverse mode with sharing: FDS's outer loop on hypergradients from checkpointed reverse mode."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import reverse
from hpobench_fds.method import OuterLoop, OuterOptionsMixin, Task
from hpobench_fds.schedule import Schedule


class ReverseSharing(OuterLoop):
    """The same hypergradient as FDS at a cost that the number of hyperparameters does not change.

    memory : bytes for stored states; None: about sqrt(2 T) states, each step run forward twice.
    """

    name = "reverse_sharing"
    paper = "Griewank & Walther, Revolve, ACM TOMS 2000; sharing: Micaelli & Storkey, NeurIPS 2021"

    class Options(OuterOptionsMixin):
        memory: int | None = Field(default=None, gt=0)

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        return reverse(task.trainer, schedule, trial, horizon=horizon, memory=self.options.memory)
