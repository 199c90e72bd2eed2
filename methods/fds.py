"""FDS: forward-mode differentiation with sharing (Micaelli & Storkey, NeurIPS 2021)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.method import ModeLoop, OuterOptionsMixin


class FDS(ModeLoop):
    """Tangents of weights and velocity carried forward; hyperparameters shared over windows.

    product_clip : elementwise clamp of Hessian-tangent products (the paper's scripts: 1 or 100).
    """

    name = "fds"
    exact = True
    paper = "Micaelli & Storkey, Gradient-based Hyperparameter Optimization Over Long Horizons, NeurIPS 2021"

    class Options(OuterOptionsMixin):
        product_clip: float | None = Field(default=None, gt=0)

    def mode(self) -> ForwardMode:
        return ForwardMode(product_clip=self.options.product_clip)
