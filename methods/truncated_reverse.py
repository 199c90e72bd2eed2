"""Truncated reverse mode (Shaban et al., AISTATS 2019); one step is Luketina et al. (ICML 2016)."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import ModeLoop, OuterOptionsMixin


class TruncatedReverse(ModeLoop):
    """Hypergradients through the last ``last`` inner steps alone: cheap, and blind to what came before."""

    name = "truncated_reverse"
    truncated = True
    paper = "Shaban et al., Truncated Back-propagation for Bilevel Optimization, AISTATS 2019"

    class Options(OuterOptionsMixin):
        last: int = Field(default=100, ge=1)

    def mode(self) -> ReverseMode:
        return ReverseMode(last=self.options.last, full=True)
