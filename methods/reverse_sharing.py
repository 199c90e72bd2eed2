"""Reverse mode with sharing: FDS's outer loop on hypergradients from checkpointed reverse mode."""

from __future__ import annotations

from pydantic import Field

from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.method import ModeLoop, OuterOptionsMixin


class ReverseSharing(ModeLoop):
    """The same hypergradient as FDS at a cost that the number of hyperparameters does not change.

    memory : bytes for stored states; None: about sqrt(T) states and tapes, each step run forward twice.
    """

    name = "reverse_sharing"
    exact = True
    paper = "Griewank & Walther, Revolve, ACM TOMS 2000; sharing: Micaelli & Storkey, NeurIPS 2021"

    class Options(OuterOptionsMixin):
        memory: int | None = Field(default=None, gt=0)

    def mode(self) -> ReverseMode:
        return ReverseMode(memory=self.options.memory)
