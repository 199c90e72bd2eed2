"""Prodigy (Mishchenko & Defazio, ICML 2024)."""

from __future__ import annotations

from hpobench_fds.training import own_rules

from ._own_rules import ByOwnRule


class Prodigy(ByOwnRule):
    """Adam whose rate is an estimate of the distance to a solution, from gradients and the way so far.

    Defaults are those of ``prodigyopt.Prodigy``: no correction of the bias, the estimate times 1.
    """

    name = "prodigy"
    label = "Prodigy"
    paper = "Mishchenko & Defazio, Prodigy: An Expeditiously Adaptive Parameter-Free Learner, ICML 2024"
    rule = own_rules.Prodigy

    class Options(own_rules.Prodigy):
        pass
