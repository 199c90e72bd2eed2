"""Reverse mode through a window that slides over the training: a hypergradient of each stretch of steps."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.reverse import SlidingMode
from hpobench_fds.method import ModeLoop, OuterOptionsMixin


class SlidingReverse(ModeLoop):
    """Every step is differentiated, but through the rest of its own stretch alone: short-sighted everywhere,
    where truncated reverse mode sees the last steps alone.

    steps : of a stretch; the validation loss at its end is what is differentiated.
    """

    name = "sliding_reverse"
    label = "Sliding reverse"
    paper = "Williams & Peng, On-Line Training of Recurrent Network Trajectories, Neural Computation 1990"

    class Options(OuterOptionsMixin):
        steps: int = Field(default=100, ge=1)

    def mode(self) -> SlidingMode:
        return SlidingMode(self.options.steps)
