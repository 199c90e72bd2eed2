"""RTHO: real-time hyperparameter optimisation by forward mode (Franceschi et al., ICML 2017)."""

from __future__ import annotations

from hpobench_fds.hypergradient.online import OnlineResult
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.method import OnlineLoop, Task


class RTHO(OnlineLoop):
    """Tangents of all steps so far, taken as if the present values had been in force throughout."""

    name = "rtho"
    paper = "Franceschi et al., Forward and Reverse Gradient-Based Hyperparameter Optimization, ICML 2017"

    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        return self.moving(discount=1.0)(task.trainer, outer, trial)
