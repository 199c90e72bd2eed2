"""D-Adaptation of SGD (Defazio & Mishchenko, ICML 2023)."""

from __future__ import annotations

from hpobench_fds.training import own_rules

from ._own_rules import ByOwnRule


class DAdaptSGD(ByOwnRule):
    """SGD whose rate is a lower bound on the distance to a solution, over the first gradient's norm.

    Defaults are those of ``dadaptation.DAdaptSGD``: no momentum, the estimate times 1.
    """

    name = "dadapt_sgd"
    label = "D-Adapt SGD"
    paper = "Defazio & Mishchenko, Learning-Rate-Free Learning by D-Adaptation, ICML 2023"
    rule = own_rules.DAdaptSGD

    class Options(own_rules.DAdaptSGD):
        pass
