"""FDS: forward-mode differentiation with sharing (Micaelli & Storkey, NeurIPS 2021)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.forward import forward
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.method import OuterLoop, OuterOptionsMixin, Task
from hpobench_fds.schedule import Schedule


class FDS(OuterLoop):
    """Tangents of weights and velocity carried forward; hyperparameters shared over windows.

    product_clip : elementwise clamp of Hessian-tangent products (the paper's scripts: 1 or 100).
    """

    name = "fds"
    paper = "Micaelli & Storkey, Gradient-based Hyperparameter Optimization Over Long Horizons, NeurIPS 2021"

    class Options(OuterOptionsMixin):
        product_clip: float | None = Field(default=None, gt=0)

    def hypergradient(self, task: Task, schedule: Schedule, trial: int, horizon: int) -> Hypergradient:
        clip = self.options.product_clip
        return forward(task.trainer, schedule, trial, horizon=horizon, product_clip=clip)
