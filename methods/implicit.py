"""Implicit differentiation of the optimum (Lorraine et al., AISTATS 2020); weight decay only."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.implicit import ImplicitMode
from hpobench_fds.method import ModeLoop, OuterOptionsMixin


class Implicit(ModeLoop):
    """A Neumann series of ``terms`` Hessian-vector products at the end of each training."""

    name = "implicit"
    paper = "Lorraine, Vicol & Duvenaud, Optimizing Millions of Hyperparameters, AISTATS 2020"

    class Options(OuterOptionsMixin):
        terms: int = Field(default=20, ge=1)
        scale: float | None = Field(default=None, gt=0)

    def mode(self) -> ImplicitMode:
        return ImplicitMode(terms=self.options.terms, scale=self.options.scale)
