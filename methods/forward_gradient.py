"""Forward gradient (Baydin et al. 2022): hypergradients from derivatives along random directions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hpobench_fds.hypergradient.directional import ForwardGradientMode
from hpobench_fds.hypergradient.outer import OuterOptions
from hpobench_fds.method import ModeLoop, OuterOptionsMixin


class ForwardGradient(ModeLoop):
    """FDS with one tangent in place of one a window: cheap at any number of them, and noisy.

    Its outer optimiser is Adam, which averages over outer steps; the sign rule would take the noise's
    flips for convergence.

    directions : how many tangents; their estimates are averaged.
    drawn : their components, normal as in the paper, or signs.
    """

    name = "forward_gradient"
    label = "Forward gradient"
    paper = "Baydin et al., Gradients without Backpropagation, arXiv:2202.08587, 2022"

    class Options(OuterOptionsMixin):
        outer: OuterOptions = OuterOptions(kind="adam")
        directions: int = Field(default=1, ge=1)
        drawn: Literal["normal", "signs"] = "normal"

    def mode(self) -> ForwardGradientMode:
        return ForwardGradientMode(self.options.directions, self.options.drawn)
