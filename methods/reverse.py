"""Full reverse mode (Maclaurin et al., ICML 2015; Franceschi et al., ICML 2017): every state stored."""

from __future__ import annotations

from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import reverse
from hpobench_fds.method import OuterLoop, Task
from hpobench_fds.schedule import Schedule


class Reverse(OuterLoop):
    """Exact hypergradients; memory grows with the horizon."""

    name = "reverse"
    paper = "Maclaurin, Duvenaud & Adams, Gradient-based Hyperparameter Optimization, ICML 2015"

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        return reverse(task.trainer, schedule, trial, horizon=horizon, full=True)
