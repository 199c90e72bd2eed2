"""Methods that leave nothing to be measured but the runner."""

from __future__ import annotations

from hpobench_fds.method.contract import Method, Task
from hpobench_fds.training.state import Evaluation


class Nothing(Method):
    """Is done at once."""

    name = "nothing"

    def run(self, task: Task) -> str:
        return "done"


class Reports(Method):
    """Reports a thousand times, without training. The first report alone is measured on test data."""

    name = "reports"

    def run(self, task: Task) -> str:
        state = task.trainer.start(0)
        for i in range(1000):
            task.report(task.space.initial, Evaluation(1.0 + i, 0.5), state=state)
        return "done"
