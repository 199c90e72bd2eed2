"""MARTHE (Donini et al., IJCAI 2020): tangents discounted between HD (0) and RTHO (1)."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from hpobench_fds.hypergradient.online import OnlineMode
from hpobench_fds.method import OnlineLoop, OnlineOptions


class MARTHE(OnlineLoop):
    """Greedy, with a memory: what was done s steps ago counts by mu^s.

    discount : the paper's mu.
    adaptive : mu moves too, from 0 on, by the rule in the authors' own code (adatune); ``discount`` is then
        of no effect. The step size beta, which they adapt as well, is the outer optimiser's here.
    """

    name = "marthe"
    paper = "Donini et al., MARTHE: Scheduling the Learning Rate Via Online Hypergradients, IJCAI 2020"

    class Options(OnlineOptions):
        discount: float = Field(default=0.99, ge=0.0, le=1.0)
        adaptive: bool = False

    def mode(self) -> OnlineMode:
        adaptive = self.options.adaptive
        return replace(super().mode(), discount=0.0 if adaptive else self.options.discount, adaptive=adaptive)
