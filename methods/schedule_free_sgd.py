"""Schedule-free SGD (Defazio et al., NeurIPS 2024)."""

from __future__ import annotations

from hpobench_fds.training import own_rules

from ._own_rules import ByOwnRule


class ScheduleFreeSGD(ByOwnRule):
    """Averages in place of a schedule: gradients at y, between the iterate z and its average x.

    It is evaluated at x. Defaults are those of ``schedulefree.SGDScheduleFree``: no warm-up, though its
    authors advise one.
    """

    name = "schedule_free_sgd"
    label = "Schedule-free SGD"
    paper = "Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky, The Road Less Scheduled, NeurIPS 2024"
    rule = own_rules.ScheduleFreeSGD

    class Options(own_rules.ScheduleFreeSGD):
        pass
