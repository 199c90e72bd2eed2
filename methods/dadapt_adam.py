"""D-Adaptation of Adam (Defazio & Mishchenko, ICML 2023)."""

from __future__ import annotations

from hpobench_fds.training import own_rules

from ._own_rules import ByOwnRule


class DAdaptAdam(ByOwnRule):
    """Adam whose rate is a lower bound on the distance to a solution, in the norm that Adam scales by.

    Defaults are those of ``dadaptation.DAdaptAdam``: no correction of the bias, the estimate times 1.
    """

    name = "dadapt_adam"
    label = "D-Adapt Adam"
    paper = "Defazio & Mishchenko, Learning-Rate-Free Learning by D-Adaptation, ICML 2023"
    rule = own_rules.DAdaptAdam

    class Options(own_rules.DAdaptAdam):
        pass
