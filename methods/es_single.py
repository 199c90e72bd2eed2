"""ES-Single (Vicol, ICML 2023): persistent evolution strategies with one perturbation an episode."""

from __future__ import annotations

from .pes import PES


class ESSingle(PES):
    """PES whose perturbations are drawn once, at step 0, and hold to the horizon.

    Its variance does not grow with the number of unrolls; its options are PES's.
    """

    name = "es_single"
    label = "ES-Single"
    paper = "Vicol, Low-Variance Gradient Estimation in Unrolled Computation Graphs with ES-Single, ICML 2023"
    persistent = False
