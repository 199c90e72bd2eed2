"""RTHO: real-time hyperparameter optimisation by forward mode (Franceschi et al., ICML 2017)."""

from __future__ import annotations

from dataclasses import replace

from hpobench_fds.hypergradient.online import OnlineMode
from hpobench_fds.method import OnlineLoop


class RTHO(OnlineLoop):
    """Tangents of all steps so far, taken as if the present values had been in force throughout."""

    name = "rtho"
    paper = "Franceschi et al., Forward and Reverse Gradient-Based Hyperparameter Optimization, ICML 2017"

    def mode(self) -> OnlineMode:
        return replace(super().mode(), discount=1.0)
