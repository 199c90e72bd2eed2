"""One-pass implicit differentiation of the weight update (Clarke et al., ICLR 2022)."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from hpobench_fds.hypergradient.online import OnlineMode
from hpobench_fds.method import OnlineLoop, OnlineOptions


class OnePass(OnlineLoop):
    """A Neumann series through the update's fixed point; the paper moves every 10 steps, with 5 terms."""

    name = "one_pass"
    paper = "Clarke, Oldewage & Hernandez-Lobato, Scalable One-Pass Optimisation, ICLR 2022"

    class Options(OnlineOptions):
        every: int = Field(default=10, ge=1)
        terms: int = Field(default=5, ge=1)
        step_scale: float = Field(default=0.1, gt=0.0)

    def mode(self) -> OnlineMode:
        return replace(super().mode(), neumann_terms=self.options.terms)
