"""HD: hypergradient descent (Baydin et al., ICLR 2018), on the validation loss."""

from __future__ import annotations

from hpobench_fds.hypergradient.online import OnlineResult
from hpobench_fds.hypergradient.outer import Outer
from hpobench_fds.method import OnlineLoop, Task


class HD(OnlineLoop):
    """Greedy: sees the effect of a hyperparameter on the very next step alone. No Hessian is needed."""

    name = "hd"
    paper = "Baydin et al., Online Learning Rate Adaptation with Hypergradient Descent, ICLR 2018"

    def train_online(self, task: Task, outer: Outer, trial: int) -> OnlineResult:
        return self.moving()(task.trainer, outer, trial)
