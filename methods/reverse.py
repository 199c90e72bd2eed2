"""Full reverse mode (Maclaurin et al., ICML 2015; Franceschi et al., ICML 2017): every state stored."""

from __future__ import annotations

from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import ModeLoop


class Reverse(ModeLoop):
    """Exact hypergradients; memory grows with the horizon."""

    name = "reverse"
    exact = True
    paper = "Maclaurin, Duvenaud & Adams, Gradient-based Hyperparameter Optimization, ICML 2015"

    def mode(self) -> ReverseMode:
        return ReverseMode(full=True)
